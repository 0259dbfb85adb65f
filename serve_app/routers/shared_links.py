"""/shared-links: made and ended by their owners, opened by who has one. Source: spec/openapi.json."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from serve_app.client_address import client_address
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.permissions import ANY
from serve_app.services import link_assets, shared_links
from serve_app.visitors import LINK_COOKIE, PROOFS_MOST, proofs_of
from serve_app.wire import shared_link as wire
from serve_app.wire.common import WireId

router = APIRouter(prefix="/shared-links", tags=["shared links"])

Reader = Annotated[Caller, Depends(allow("sharedLink.read"))]
Updater = Annotated[Caller, Depends(allow("sharedLink.update"))]
COOKIE_AGE_S = 24 * 3600


@router.get("")
def get_all_shared_links(
    services: ServicesOf, caller: Reader, id: WireId | None = None, albumId: WireId | None = None
) -> list[wire.LinkResponse]:
    found = shared_links.list_links(services, caller.user_id, link_id=id, album_id=albumId)
    return [wire.link_response(one) for one in found]


@router.post("", status_code=201)
def create_shared_link(
    body: wire.CreateLink, services: ServicesOf, caller: Annotated[Caller, Depends(allow("sharedLink.create"))]
) -> wire.LinkResponse:
    return wire.link_response(shared_links.create_link(services, caller, body.link()))


@router.post("/login", status_code=201, response_model=wire.LinkResponse)
def shared_link_login(
    body: wire.LinkPassword,
    request: Request,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow(ANY, shared=True, with_password=False))],
) -> Response:
    """A cookie for who knows the password of the link that they came by."""
    address = client_address(request, services.settings.trusted_proxies)
    seen, proof = shared_links.sign_in_by_link(services, caller, body.password, address)
    proofs = [*(one for one in proofs_of(request) if one != proof), proof][-PROOFS_MOST:]
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    answer = JSONResponse(wire.visited_link(seen), 201)
    answer.set_cookie(
        LINK_COOKIE, ",".join(proofs), COOKIE_AGE_S, path="/", samesite="lax", httponly=True, secure=secure
    )
    return answer


@router.get("/me", response_model=wire.LinkResponse)
def get_my_shared_link(services: ServicesOf, caller: Annotated[Caller, Depends(allow(ANY, shared=True))]) -> Response:
    """The link that the caller came by."""
    return JSONResponse(wire.visited_link(shared_links.open_link(services, caller)))


@router.get("/{id}")
def get_shared_link(id: WireId, services: ServicesOf, caller: Reader) -> wire.LinkResponse:
    return wire.link_response(shared_links.get_link(services, caller.user_id, id))


@router.patch("/{id}")
def update_shared_link(id: WireId, body: wire.UpdateLink, services: ServicesOf, caller: Updater) -> wire.LinkResponse:
    return wire.link_response(shared_links.update_link(services, caller.user_id, id, body.changes()))


@router.delete("/{id}", status_code=204)
def remove_shared_link(
    id: WireId, services: ServicesOf, caller: Annotated[Caller, Depends(allow("sharedLink.delete"))]
) -> None:
    shared_links.remove_link(services, caller.user_id, id)


@router.put("/{id}/assets")
def add_shared_link_assets(
    id: WireId, body: wire.AssetIds, services: ServicesOf, caller: Updater
) -> list[wire.AssetOutcome]:
    outcomes = link_assets.add_link_assets(services, caller.user_id, id, body.asset_ids)
    return [wire.asset_outcome(one) for one in outcomes]


@router.delete("/{id}/assets")
def remove_shared_link_assets(
    id: WireId, body: wire.AssetIds, services: ServicesOf, caller: Updater
) -> list[wire.AssetOutcome]:
    outcomes = link_assets.remove_link_assets(services, caller.user_id, id, body.asset_ids)
    return [wire.asset_outcome(one) for one in outcomes]
