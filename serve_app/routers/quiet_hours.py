"""/quiet-hours: hours of the day in which queues start nothing. Ours."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from cluster.names import QueueName
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import quiet_hours
from serve_app.wire.common import PlainText, Wire

router = APIRouter(prefix="/quiet-hours", include_in_schema=False)


class QuietHoursSet(Wire):
    """`HH:MM-HH:MM` in the server's own time; empty for none."""

    hours: Annotated[PlainText, Field(max_length=11)]


@router.get("")
def get_quiet_hours(
    caller: Annotated[Caller, Depends(allow("queue.read", admin=True))], services: ServicesOf
) -> dict[QueueName, str]:
    """Of the queues that have any."""
    return quiet_hours.quiet_hours(services)


@router.put("/{name}", status_code=204)
def set_quiet_hours(
    name: QueueName,
    body: QuietHoursSet,
    caller: Annotated[Caller, Depends(allow("queue.update", admin=True))],
    services: ServicesOf,
) -> None:
    """Start nothing of this queue in these hours of each day."""
    quiet_hours.set_quiet_hours(services, name, body.hours, caller)
