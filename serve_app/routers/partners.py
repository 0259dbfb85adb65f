"""/partners: who shows whom their timeline. Source: spec/openapi.json."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import partners
from serve_app.wire import partner as wire
from serve_app.wire.common import WireId

router = APIRouter(prefix="/partners", tags=["partners"])

Creator = Annotated[Caller, Depends(allow("partner.create"))]


@router.get("")
def get_partners(
    direction: wire.Direction, services: ServicesOf, caller: Annotated[Caller, Depends(allow("partner.read"))]
) -> list[wire.PartnerResponse]:
    ask = partners.list_sharing_by if direction is wire.Direction.SHARED_BY else partners.list_sharing_with
    return [wire.partner_response(one) for one in ask(services, caller.user_id)]


@router.post("", status_code=201)
def create_partner(body: wire.NewPartner, services: ServicesOf, caller: Creator) -> wire.PartnerResponse:
    return wire.partner_response(partners.create_partner(services, caller.user_id, body.shared_with_id))


@router.post("/{id}", status_code=201, deprecated=True)
def create_partner_of_path(id: WireId, services: ServicesOf, caller: Creator) -> wire.PartnerResponse:
    """What older clients call."""
    return wire.partner_response(partners.create_partner(services, caller.user_id, id))


@router.put("/{id}")
def update_partner(
    id: WireId,
    body: wire.UpdatePartner,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("partner.update"))],
) -> wire.PartnerResponse:
    changed = partners.update_partner(services, caller.user_id, id, in_timeline=body.in_timeline)
    return wire.partner_response(changed)


@router.delete("/{id}", status_code=204)
def remove_partner(
    id: WireId, services: ServicesOf, caller: Annotated[Caller, Depends(allow("partner.delete"))]
) -> None:
    partners.remove_partner(services, caller.user_id, id)
