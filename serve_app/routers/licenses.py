"""Product keys, of users and of the server. Immich sells them, for Immich: here none counts, so that none is kept and
nothing is ever called licensed. Source: spec/openapi.json.
"""

from typing import Annotated

from fastapi import APIRouter, Depends

from cluster.errors import BadRequest, NotFound
from serve_app.deps import Caller, allow
from serve_app.wire.license import License, LicenseKey

router = APIRouter(tags=["licenses"])


@router.get("/users/me/license")
async def get_user_license(caller: Annotated[Caller, Depends(allow("userLicense.read"))]) -> License:
    """There is none."""
    raise NotFound("Not Found")


@router.put("/users/me/license")
async def set_user_license(
    body: LicenseKey, caller: Annotated[Caller, Depends(allow("userLicense.update"))]
) -> License:
    """No key counts here."""
    raise BadRequest("Invalid license key")


@router.delete("/users/me/license", status_code=204)
async def delete_user_license(caller: Annotated[Caller, Depends(allow("userLicense.delete"))]) -> None:
    """There is none already."""


@router.get("/server/license")
async def get_server_license(
    caller: Annotated[Caller, Depends(allow("serverLicense.read", admin=True))],
) -> License:
    """There is none."""
    raise NotFound("Not Found")


@router.put("/server/license")
async def set_server_license(
    body: LicenseKey, caller: Annotated[Caller, Depends(allow("serverLicense.update", admin=True))]
) -> License:
    """No key counts here."""
    raise BadRequest("Invalid license key")


@router.delete("/server/license", status_code=204)
async def delete_server_license(
    caller: Annotated[Caller, Depends(allow("serverLicense.delete", admin=True))],
) -> None:
    """There is none already."""
