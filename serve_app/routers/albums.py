"""/albums: what they are called, who sees them, what is in them. Source: spec/api.md §9."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import album_assets, album_users, albums
from serve_app.services.maps import album_markers
from serve_app.wire import album as wire
from serve_app.wire.asset import Ids
from serve_app.wire.common import PlainText, WireId
from serve_app.wire.maps import Marker, marker
from serve_app.wire.outcome import OutcomeResponse, outcome_response

router = APIRouter(prefix="/albums", tags=["albums"])

Reader = Annotated[Caller, Depends(allow("album.read"))]
Visitor = Annotated[Caller, Depends(allow("album.read", shared=True))]


@router.get("")
def get_all_albums(
    services: ServicesOf,
    caller: Reader,
    id: WireId | None = None,
    name: PlainText | None = None,
    isOwned: bool | None = None,
    isShared: bool | None = None,
    assetId: WireId | None = None,
) -> list[wire.AlbumResponse]:
    """Those that the caller owns or that are shared with them."""
    found = albums.list_albums(
        services, caller.user_id, album_id=id, name=name, owned=isOwned, shared=isShared, asset_id=assetId
    )
    return [wire.album_response(one, caller.user_id) for one in found]


@router.post("", status_code=201)
def create_album(
    body: wire.NewAlbum, services: ServicesOf, caller: Annotated[Caller, Depends(allow("album.create"))]
) -> wire.AlbumResponse:
    members = [(one.user_id, one.role) for one in body.album_users]
    made = albums.create_album(services, caller.user_id, body.album_name, body.description, members, body.asset_ids)
    return wire.album_response(made, caller.user_id)


@router.get("/statistics")
def get_album_statistics(
    services: ServicesOf, caller: Annotated[Caller, Depends(allow("album.statistics"))]
) -> wire.AlbumStatisticsResponse:
    return wire.statistics_response(albums.album_statistics(services, caller.user_id))


@router.put("/assets")
def add_assets_to_albums(
    body: wire.AddToAlbums, services: ServicesOf, caller: Annotated[Caller, Depends(allow("albumAsset.create"))]
) -> wire.AddedToAlbums:
    refusal = album_assets.add_assets_to_albums(services, caller, body.album_ids, body.asset_ids)
    return wire.AddedToAlbums(success=refusal is None, error=refusal)


@router.get("/{album_id}")
def get_album_info(album_id: WireId, services: ServicesOf, caller: Visitor) -> wire.AlbumResponse:
    return wire.album_response(albums.get_album(services, caller, album_id), caller.user_id)


@router.patch("/{album_id}")
def update_album_info(
    album_id: WireId,
    body: wire.UpdateAlbum,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("album.update"))],
) -> wire.AlbumResponse:
    changed = albums.update_album(services, caller, album_id, body.changes())
    return wire.album_response(changed, caller.user_id)


@router.delete("/{album_id}", status_code=204)
def delete_album(
    album_id: WireId, services: ServicesOf, caller: Annotated[Caller, Depends(allow("album.delete"))]
) -> None:
    albums.delete_album(services, caller, album_id)


@router.get("/{album_id}/map-markers")
def get_album_map_markers(album_id: WireId, services: ServicesOf, caller: Visitor) -> list[Marker]:
    return [marker(row) for row in album_markers(services, caller, album_id)]


@router.put("/{album_id}/assets")
def add_assets_to_album(
    album_id: WireId,
    body: Ids,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("albumAsset.create"))],
) -> list[OutcomeResponse]:
    outcomes = album_assets.add_assets(services, caller, album_id, body.ids)
    return [outcome_response(one) for one in outcomes]


@router.delete("/{album_id}/assets")
def remove_asset_from_album(
    album_id: WireId,
    body: Ids,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("albumAsset.delete"))],
) -> list[OutcomeResponse]:
    outcomes = album_assets.remove_assets(services, caller, album_id, body.ids)
    return [outcome_response(one) for one in outcomes]


@router.put("/{album_id}/users")
def add_users_to_album(
    album_id: WireId,
    body: wire.AddMembers,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("albumUser.create"))],
) -> wire.AlbumResponse:
    members = [(one.user_id, one.role) for one in body.album_users]
    return wire.album_response(album_users.share_album(services, caller, album_id, members), caller.user_id)


@router.put("/{album_id}/user/{user_id}", status_code=204)
def update_album_user(
    album_id: WireId,
    user_id: PlainText,
    body: wire.ChangeRole,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("albumUser.update"))],
) -> None:
    album_users.change_role(services, caller, album_id, user_id, body.role)


@router.delete("/{album_id}/user/{user_id}", status_code=204)
def remove_user_from_album(
    album_id: WireId,
    user_id: PlainText,
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("albumUser.delete"))],
) -> None:
    """`me` leaves."""
    album_users.unshare_album(services, caller, album_id, user_id)
