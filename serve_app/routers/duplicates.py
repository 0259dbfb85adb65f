"""/duplicates: groups of assets that look alike. Source: spec/api.md §6."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import duplicates
from serve_app.wire import duplicate as wire
from serve_app.wire.asset import Ids
from serve_app.wire.common import WireId

router = APIRouter(prefix="/duplicates", tags=["duplicates"])

Deleter = Annotated[Caller, Depends(allow("duplicate.delete"))]


@router.get("")
def get_duplicates(
    services: ServicesOf, caller: Annotated[Caller, Depends(allow("duplicate.read"))]
) -> list[wire.DuplicateResponse]:
    return [wire.duplicate_response(group) for group in duplicates.list_groups(services, caller.user_id)]


@router.delete("", status_code=204)
def delete_duplicates(body: Ids, services: ServicesOf, caller: Deleter) -> None:
    """These groups are none any more; nothing is deleted."""
    duplicates.dissolve_groups(services, caller.user_id, body.ids)


@router.post("/resolve")
def resolve_duplicates(
    body: wire.ResolveDuplicates, services: ServicesOf, caller: Deleter
) -> list[wire.ResolvedResponse]:
    wanted = [group.resolution() for group in body.groups]
    return [wire.resolved_response(one) for one in duplicates.resolve_groups(services, caller.user_id, wanted)]


@router.delete("/{duplicate_id}", status_code=204)
def delete_duplicate(duplicate_id: WireId, services: ServicesOf, caller: Deleter) -> None:
    """This group is none any more; nothing is deleted."""
    duplicates.dissolve_groups(services, caller.user_id, [duplicate_id])
