"""/admin/actions: who did what to the queues and the settings. Ours."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import audit
from serve_app.wire.admin_action import AdminActionSeen, admin_action

router = APIRouter(prefix="/admin/actions", include_in_schema=False)


@router.get("")
def get_admin_actions(
    caller: Annotated[Caller, Depends(allow("job.read", admin=True))],
    services: ServicesOf,
    before: Annotated[int | None, Query(ge=1)] = None,
    action: Annotated[str, Query(max_length=40)] = "",
    subject: Annotated[str, Query(max_length=100)] = "",
) -> list[AdminActionSeen]:
    """Newest first, 100 at most; `before`: the id of the last one that is known."""
    return [admin_action(line) for line in audit.list_actions(services, before, action, subject)]
