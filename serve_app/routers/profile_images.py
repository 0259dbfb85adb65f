"""People's own pictures. Source: spec/openapi.json."""

from typing import Annotated

from anyio import CancelScope, CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.file_response import respond_with_file
from serve_app.multipart import BOUNDED_ELSEWHERE, UploadCutOff, read_form
from serve_app.services import profile_image
from serve_app.wire.common import WireId
from serve_app.wire.user import ProfileImage, profile_image_seen

router = APIRouter(prefix="/users", tags=["users"])

CACHE = "private, no-cache, no-transform"
"""Somebody may get another picture at the same address."""
AT_ONCE = CapacityLimiter(2)
"""So many are drawn at once in a process: each may take as much memory as its limits let it, and those who wait keep no
thread from others."""


@router.post("/profile-image", status_code=201, response_model=ProfileImage, max_body_size=BOUNDED_ELSEWHERE)
async def create_profile_image(
    request: Request, services: ServicesOf, caller: Annotated[Caller, Depends(allow("userProfileImage.update"))]
) -> ProfileImage | Response:
    """A new picture of the caller, in place of the one before."""
    upload = profile_image.ProfileImageUpload(services, caller.user_id)
    try:
        await read_form(request.receive, request.headers.get("content-type", ""), upload.open_file)
        return profile_image_seen(await to_thread.run_sync(upload.accept, limiter=AT_ONCE))
    except UploadCutOff:
        return Response(status_code=400)  # to nobody
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(upload.discard)


@router.delete("/profile-image", status_code=204)
def delete_profile_image(
    services: ServicesOf, caller: Annotated[Caller, Depends(allow("userProfileImage.delete"))]
) -> None:
    """No picture any more."""
    profile_image.delete_profile_image(services, caller.user_id)


@router.get("/{id}/profile-image", response_class=Response)
def get_profile_image(
    id: WireId,
    request: Request,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("userProfileImage.read"))],
) -> Response:
    """Anybody's picture."""
    found = profile_image.profile_image(services, id)
    response = respond_with_file(found.path, found.content_type, found.file_name, request.headers)
    response.headers["cache-control"] = CACHE
    return response
