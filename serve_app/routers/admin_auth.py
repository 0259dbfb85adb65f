"""/admin/auth: what an admin does to how everybody signs in. Source: spec/openapi.json."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, allow

router = APIRouter(prefix="/admin/auth", tags=["auth"])


@router.post("/unlink-all", status_code=204)
async def unlink_all_oauth_accounts_admin(
    caller: Annotated[Caller, Depends(allow("adminAuth.unlinkAll", admin=True))],
) -> None:
    """No account is linked to another server's any more: as there is no OAuth here, none ever was."""
