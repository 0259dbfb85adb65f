"""/stacks: assets that the timeline shows as one. Source: spec/openapi.json."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import stacks
from serve_app.wire import stack as wire
from serve_app.wire.asset import Ids
from serve_app.wire.common import WireId

router = APIRouter(prefix="/stacks", tags=["stacks"])

Reader = Annotated[Caller, Depends(allow("stack.read"))]
Updater = Annotated[Caller, Depends(allow("stack.update"))]
Deleter = Annotated[Caller, Depends(allow("stack.delete"))]


@router.get("")
def search_stacks(
    services: ServicesOf, caller: Reader, primaryAssetId: WireId | None = None
) -> list[wire.StackResponse]:
    return [wire.stack_response(one) for one in stacks.list_stacks(services, caller.user_id, primaryAssetId)]


@router.post("", status_code=201)
def create_stack(
    body: wire.NewStack, services: ServicesOf, caller: Annotated[Caller, Depends(allow("stack.create"))]
) -> wire.StackResponse:
    return wire.stack_response(stacks.create_stack(services, caller.user_id, body.asset_ids))


@router.delete("", status_code=204)
def delete_stacks(body: Ids, services: ServicesOf, caller: Deleter) -> None:
    stacks.dissolve_stacks(services, caller.user_id, body.ids)


@router.get("/{stack_id}")
def get_stack(stack_id: WireId, services: ServicesOf, caller: Reader) -> wire.StackResponse:
    return wire.stack_response(stacks.get_stack(services, caller.user_id, stack_id))


@router.put("/{stack_id}")
@router.patch("/{stack_id}", include_in_schema=False)
def update_stack(stack_id: WireId, body: wire.UpdateStack, services: ServicesOf, caller: Updater) -> wire.StackResponse:
    return wire.stack_response(stacks.lead_stack(services, caller.user_id, stack_id, body.primary_asset_id))


@router.delete("/{stack_id}", status_code=204)
def delete_stack(stack_id: WireId, services: ServicesOf, caller: Deleter) -> None:
    stacks.dissolve_stacks(services, caller.user_id, [stack_id])


@router.delete("/{stack_id}/assets/{asset_id}", status_code=204)
def remove_asset_from_stack(stack_id: WireId, asset_id: WireId, services: ServicesOf, caller: Updater) -> None:
    stacks.leave_stack(services, caller.user_id, stack_id, asset_id)
