"""/people: who is in the caller's pictures. Source: spec/api.md §6."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.file_response import respond_with_file
from serve_app.services import people
from serve_app.services.serve_person import person_thumbnail
from serve_app.wire import person as wire
from serve_app.wire.common import LARGEST, WireId
from serve_app.wire.outcome import OutcomeResponse, outcome_response

router = APIRouter(prefix="/people", tags=["people"])

CACHE = "private, no-cache, no-transform"
"""A person may get another picture at the same address."""

Reader = Annotated[Caller, Depends(allow("person.read"))]
Updater = Annotated[Caller, Depends(allow("person.update"))]
Deleter = Annotated[Caller, Depends(allow("person.delete"))]


@router.get("")
def get_all_people(
    caller: Reader,
    services: ServicesOf,
    page: Annotated[int, Query(ge=1, le=LARGEST)] = 1,
    size: Annotated[int, Query(ge=1, le=1000)] = 500,
    withHidden: bool = False,
    closestPersonId: WireId | None = None,
    closestAssetId: WireId | None = None,
) -> wire.PeopleResponse:
    """A page of those who have a name, or faces enough."""
    found = people.list_people(
        services,
        caller.user_id,
        page=page,
        size=size,
        with_hidden=withHidden,
        closest_person_id=closestPersonId,
        closest_asset_id=closestAssetId,
    )
    return wire.people_response(found)


@router.post("", status_code=201)
def create_person(
    body: wire.PersonCreate, caller: Annotated[Caller, Depends(allow("person.create"))], services: ServicesOf
) -> wire.PersonResponse:
    """Somebody without a face yet."""
    return wire.person_response(people.create_person(services, caller.user_id, body.columns()))


@router.put("")
@router.patch("", include_in_schema=False)
def update_people(body: wire.PeopleUpdate, caller: Updater, services: ServicesOf) -> list[OutcomeResponse]:
    """Change many; each may fail alone."""
    wanted = [(one.id, one.columns(), one.feature_face_asset_id or None) for one in body.people]
    return [outcome_response(one) for one in people.update_people(services, caller.user_id, wanted)]


@router.delete("", status_code=204)
def delete_people(body: wire.PeopleIds, caller: Deleter, services: ServicesOf) -> None:
    """Delete many; their faces stay, as nobody's."""
    people.delete_people(services, caller.user_id, body.ids)


@router.get("/{id}")
def get_person(id: WireId, caller: Reader, services: ServicesOf) -> wire.PersonResponse:
    """One person."""
    return wire.person_response(people.get_person(services, caller.user_id, id))


@router.put("/{id}")
@router.patch("/{id}", include_in_schema=False)
def update_person(id: WireId, body: wire.PersonUpdate, caller: Updater, services: ServicesOf) -> wire.PersonResponse:
    """Name, birthday, who sees them, which face stands for them."""
    feature = body.feature_face_asset_id or None
    return wire.person_response(people.update_person(services, caller.user_id, id, body.columns(), feature))


@router.delete("/{id}", status_code=204)
def delete_person(id: WireId, caller: Deleter, services: ServicesOf) -> None:
    """Delete one."""
    people.delete_people(services, caller.user_id, [id])


@router.get("/{id}/statistics")
def get_person_statistics(
    id: WireId, caller: Annotated[Caller, Depends(allow("person.statistics"))], services: ServicesOf
) -> wire.PersonStatistics:
    """How many pictures somebody is in."""
    return wire.PersonStatistics(assets=people.count_pictures(services, caller.user_id, id))


@router.post("/{id}/merge")
def merge_person(
    id: WireId,
    body: wire.PeopleIds,
    caller: Annotated[Caller, Depends(allow("person.merge"))],
    services: ServicesOf,
) -> list[OutcomeResponse]:
    """Others are this person."""
    return [outcome_response(one) for one in people.merge_people(services, caller.user_id, id, body.ids)]


@router.put("/{id}/reassign")
def reassign_faces(
    id: WireId,
    body: wire.FaceMoves,
    caller: Annotated[Caller, Depends(allow("person.reassign"))],
    services: ServicesOf,
) -> list[wire.PersonResponse]:
    """Faces of others are this person's."""
    wanted = [(one.asset_id, one.person_id) for one in body.data]
    return [wire.person_response(one) for one in people.reassign_faces(services, caller.user_id, id, wanted)]


@router.get("/{id}/thumbnail", response_class=Response)
def get_person_thumbnail(id: WireId, request: Request, caller: Reader, services: ServicesOf) -> Response:
    """The face that stands for a person."""
    found = person_thumbnail(services, caller.user_id, id)
    response = respond_with_file(found.path, found.content_type, found.file_name, request.headers)
    response.headers["cache-control"] = CACHE
    return response
