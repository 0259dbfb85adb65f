"""/faces: the faces of an asset. Source: spec/api.md §6."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import faces
from serve_app.wire import face as wire
from serve_app.wire.common import WireId
from serve_app.wire.person import PersonResponse, person_response

router = APIRouter(prefix="/faces", tags=["faces"])


@router.get("")
def get_faces(
    id: WireId, caller: Annotated[Caller, Depends(allow("face.read"))], services: ServicesOf
) -> list[wire.FaceResponse]:
    """All that can be seen in an asset."""
    return [wire.face_response(shown) for shown in faces.list_faces(services, caller, id)]


@router.post("", status_code=201, response_class=Response)
def create_face(
    body: wire.FaceCreate, caller: Annotated[Caller, Depends(allow("face.create"))], services: ServicesOf
) -> None:
    """A face that no model found."""
    faces.create_face(services, caller, body.asset_id, body.person_id, body.box())


@router.put("/{id}")
def reassign_faces_by_id(
    id: WireId, body: wire.FaceId, caller: Annotated[Caller, Depends(allow("face.update"))], services: ServicesOf
) -> PersonResponse:
    """A face is somebody else's."""
    return person_response(faces.reassign_face(services, caller, id, body.id))


@router.delete("/{id}", status_code=204)
def delete_face(
    id: WireId, body: wire.FaceDelete, caller: Annotated[Caller, Depends(allow("face.delete"))], services: ServicesOf
) -> None:
    """No face, or not one to show."""
    faces.delete_face(services, caller, id, force=body.force)
