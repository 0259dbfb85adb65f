"""/people: so far their pictures. Source: spec/api.md §6."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.file_response import respond_with_file
from serve_app.services.serve_person import person_thumbnail
from serve_app.wire.common import WireId

router = APIRouter(prefix="/people", tags=["people"])

CACHE = "private, no-cache, no-transform"
"""A person may get another picture at the same address."""


@router.get("/{id}/thumbnail", response_class=Response)
def get_person_thumbnail(
    id: WireId, request: Request, caller: Annotated[Caller, Depends(allow("person.read"))], services: ServicesOf
) -> Response:
    """The face that stands for a person."""
    found = person_thumbnail(services, caller.user_id, id)
    response = respond_with_file(found.path, found.content_type, found.file_name, request.headers)
    response.headers["cache-control"] = CACHE
    return response
