"""/schedule: what runs at its times, and running it now. Ours."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import schedule
from serve_app.wire.job_details import Changed
from serve_app.wire.schedule import ScheduledSeen, scheduled_seen

router = APIRouter(prefix="/schedule", include_in_schema=False)


@router.get("")
def get_schedule(
    caller: Annotated[Caller, Depends(allow("job.read", admin=True))], services: ServicesOf
) -> list[ScheduledSeen]:
    """The timetable: when next, and what became of the last run."""
    return [scheduled_seen(entry) for entry in schedule.list_schedule(services)]


@router.post("/{name}/run")
def run_scheduled(
    name: str, caller: Annotated[Caller, Depends(allow("job.create", admin=True))], services: ServicesOf
) -> Changed:
    """Enqueue now what the entry would at its time."""
    return Changed(count=schedule.run_now(services, name, caller))
