"""Albums over HTTP, on both databases: who sees them, who may change them, and what becomes of each asset."""

import uuid
from datetime import timedelta

from sqlalchemy import select

from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset
from cluster.db.tables.job import Event
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_album, add_asset, add_person


def told(stack: ApiStack) -> list[tuple[str, str | None]]:
    with stack.services.database.reader() as session:
        return [(event.type, event.user_id) for event in session.scalars(select(Event).order_by(Event.id))]


def test_an_album_from_its_making_to_its_end(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    old, new = add_asset(stack, ann), add_asset(stack, ann, NOON + timedelta(days=2))
    made = as_ann.post("/albums", albumName="Rome", description="by train", assetIds=[old])
    assert (made["albumName"], made["description"], made["assetCount"]) == ("Rome", "by train", 1)
    assert (made["albumThumbnailAssetId"], made["shared"], made["order"]) == (old, False, "desc")
    assert [(one["user"]["id"], one["role"]) for one in made["albumUsers"]] == [(ann.user_id, "owner")]
    path = f"/albums/{made['id']}"
    outcomes = as_ann.put(f"{path}/assets", ids=[old, new, new])
    assert [(one["success"], one.get("error")) for one in outcomes] == [
        (False, "duplicate"),
        (True, None),
        (False, "duplicate"),
    ]
    seen = as_ann.get(path)
    assert (seen["startDate"], seen["endDate"]) == ("2024-03-05T12:00:00.000Z", "2024-03-07T12:00:00.000Z")
    assert seen["contributorCounts"] == [{"userId": ann.user_id, "assetCount": 2}]
    changed = as_ann.patch(path, albumName="Roma", albumThumbnailAssetId=new, order="asc", isActivityEnabled=False)
    assert (changed["albumName"], changed["albumThumbnailAssetId"]) == ("Roma", new)
    assert (changed["order"], changed["isActivityEnabled"], changed["description"]) == ("asc", False, "by train")
    assert [one["success"] for one in as_ann.delete(f"{path}/assets", ids=[new, str(uuid.uuid4())])] == [True, False]
    assert as_ann.get(path)["albumThumbnailAssetId"] == old
    as_ann.delete(path)
    assert as_ann.refused("GET", path) == (400, "Not found or no album.read access")
    assert as_ann.get(f"/assets/{old}")["id"] == old


def test_an_empty_album_has_no_dates_and_no_picture(as_ann: CheckedClient) -> None:
    made = as_ann.post("/albums", albumName="Empty")
    assert made["albumThumbnailAssetId"] is None
    assert {"startDate", "endDate", "lastModifiedAssetTimestamp"}.isdisjoint(made)


def test_trashed_and_hidden_assets_are_not_counted(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    shown = add_asset(stack, ann, visibility="archive")
    gone = [add_asset(stack, ann, deleted_at=NOON), add_asset(stack, ann, visibility="hidden")]
    album_id = add_album(stack, ann, shown, *gone)
    seen = as_ann.get(f"/albums/{album_id}")
    assert (seen["assetCount"], seen["albumThumbnailAssetId"]) == (1, shown)


def test_a_viewer_sees_all_and_changes_nothing(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    motion = add_asset(stack, ann, type="VIDEO", visibility="hidden")
    asset_id = add_asset(stack, ann, is_favorite=True, live_photo_video_id=motion, city="Rome")
    add_person(stack, ann, "Carla", asset_id)
    album_id = add_album(stack, ann, asset_id)
    path = f"/albums/{album_id}"
    assert as_ben.refused("GET", path) == (400, "Not found or no album.read access")
    assert as_ben.refused("GET", f"/assets/{asset_id}") == (400, "Not found or no asset.read access")
    shared = as_ann.put(f"{path}/users", albumUsers=[{"userId": ben.user_id, "role": "viewer"}])
    assert shared["shared"] is True
    assert [one["role"] for one in shared["albumUsers"]] == ["owner", "viewer"]
    assert as_ben.get(path)["id"] == album_id
    seen = as_ben.get(f"/assets/{asset_id}")
    assert (seen["isFavorite"], seen["people"], seen["exifInfo"]["city"]) == (False, [], "Rome")
    assert as_ben.get(f"/assets/{motion}")["type"] == "VIDEO"
    assert [one["name"] for one in as_ann.get(f"/assets/{asset_id}")["people"]] == ["Carla"]
    for method, rest, body in (
        ("PATCH", "", {"albumName": "x"}),
        ("DELETE", "", None),
        ("PUT", "/assets", {"ids": []}),
        ("DELETE", "/assets", {"ids": []}),
        ("PUT", "/users", {"albumUsers": [{"userId": ann.user_id}]}),
        ("PUT", f"/user/{ben.user_id}", {"role": "editor"}),
        ("DELETE", f"/user/{ann.user_id}", None),
    ):
        status, message = as_ben.refused(method, path + rest, json=body)
        assert (status, message[:20]) == (400, "Not found or no albu"), (method, rest)
    assert as_ben.request("PUT", f"/assets/{asset_id}", json={"isFavorite": True}).status_code == 400


def test_an_editor_adds_and_takes_out_what_is_theirs(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    hers, his = add_asset(stack, ann), add_asset(stack, ben)
    album_id = add_album(stack, ann, hers)
    as_ann.put(f"/albums/{album_id}/users", albumUsers=[{"userId": ben.user_id}])
    outcomes = as_ben.put(f"/albums/{album_id}/assets", ids=[his, str(uuid.uuid4())])
    assert [(one["success"], one.get("error")) for one in outcomes] == [(True, None), (False, "no_permission")]
    assert as_ann.get(f"/assets/{his}")["ownerId"] == ben.user_id
    outcomes = as_ben.delete(f"/albums/{album_id}/assets", ids=[hers, his])
    assert [(one["success"], one.get("error")) for one in outcomes] == [(False, "no_permission"), (True, None)]
    assert as_ann.refused("GET", f"/assets/{his}") == (400, "Not found or no asset.read access")


def test_sharing_is_refused_where_it_makes_no_sense(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    path = f"/albums/{add_album(stack, ann, shared_with=ben)}"

    def refusal(user_id: str, role: str = "viewer") -> tuple[int, str]:
        return as_ann.refused("PUT", f"{path}/users", json={"albumUsers": [{"userId": user_id, "role": role}]})

    assert refusal(ben.user_id) == (400, "User already added")
    assert refusal(ann.user_id) == (400, "Cannot share album with owner")
    assert refusal(str(uuid.uuid4())) == (400, "User not found")
    assert refusal(ben.user_id, "king") == (400, "Validation failed")
    assert as_ann.refused("DELETE", f"{path}/user/me") == (400, "Cannot remove album owner")
    assert as_ann.refused("PATCH", path, json={"albumThumbnailAssetId": str(uuid.uuid4())}) == (
        400,
        "Invalid album thumbnail",
    )


def test_a_member_leaves_and_an_owner_ends_the_sharing(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    album_id = add_album(stack, ann, shared_with=ben)
    as_ann.put(f"/albums/{album_id}/user/{ben.user_id}", role="editor")
    assert as_ann.get(f"/albums/{album_id}")["albumUsers"][1]["role"] == "editor"
    as_ben.delete(f"/albums/{album_id}/user/me")
    assert as_ben.get("/albums") == []
    assert as_ann.refused("DELETE", f"/albums/{album_id}/user/{ben.user_id}") == (400, "Album not shared with user")
    assert ("album_update", ben.user_id) in told(stack)


def test_the_list_by_owner_sharing_name_and_asset(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    asset_id = add_asset(stack, ann)
    alone, shared = add_album(stack, ann, asset_id), add_album(stack, ann, shared_with=ben)
    his = add_album(stack, ben, shared_with=ann)

    def ids(**wanted: str) -> set[str]:
        return {album["id"] for album in as_ann.get("/albums", **wanted)}

    assert ids() == {alone, shared, his}
    assert ids(isOwned="true") == {alone, shared}
    assert ids(isOwned="false") == {his}
    assert ids(isShared="true") == {shared, his}
    assert ids(isShared="false") == {alone}
    assert ids(id=alone) == {alone}
    assert ids(name="Trip") == {alone, shared, his}
    assert ids(name="trip") == set()
    assert ids(assetId=asset_id, name="other") == {alone}
    assert as_ann.get("/albums/statistics") == {"owned": 2, "shared": 2, "notShared": 1}
    assert [album["id"] for album in as_ben.get("/albums", isOwned="false")] == [shared]


def test_many_assets_into_many_albums(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    assets = [add_asset(stack, ann) for _ in range(3)]
    albums = [add_album(stack, ann, assets[0]), add_album(stack, ann)]
    wanted = {"albumIds": [*albums, str(uuid.uuid4())], "assetIds": assets}
    assert as_ben.put("/albums/assets", **wanted) == {"success": False, "error": "no_permission"}
    assert as_ann.put("/albums/assets", **wanted) == {"success": True}
    assert as_ann.put("/albums/assets", **wanted) == {"success": False, "error": "duplicate"}
    assert [album["assetCount"] for album in as_ann.get("/albums")] == [3, 3]


def test_thousands_of_assets_at_once(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    assets = [add_asset(stack, ann) for _ in range(3)]
    strangers = [str(uuid.uuid4()) for _ in range(3000)]
    album_id = add_album(stack, ann)
    outcomes = as_ann.put(f"/albums/{album_id}/assets", ids=[*strangers, *assets])
    assert [one["id"] for one in outcomes if one["success"]] == assets
    with stack.services.database.reader() as session:
        assert set(session.scalars(select(AlbumAsset.asset_id))) == set(assets)


def test_locked_assets_go_into_no_album(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    locked = add_asset(stack, ann, visibility="locked")
    album_id = as_ann.post("/albums", albumName="x", assetIds=[locked])["id"]
    assert as_ann.get(f"/albums/{album_id}")["assetCount"] == 0
    assert as_ann.put(f"/albums/{album_id}/assets", ids=[locked])[0]["error"] == "no_permission"


def test_nobody_and_keys_without_permission_are_refused(
    stack: ApiStack, client: object, as_nobody: CheckedClient, as_ann: CheckedClient
) -> None:
    assert as_nobody.refused("GET", "/albums") == (401, "Authentication required")
    carl = CheckedClient(as_ann._client, stack.add_person("carl", ("album.read",)))
    assert carl.get("/albums") == []
    assert carl.refused("POST", "/albums", json={"albumName": "x"}) == (
        403,
        "Missing required permission: album.create",
    )
    assert as_ann.refused("POST", "/albums", json={"albumName": "a\0b"})[0] == 400
    assert as_ann.refused("GET", "/albums/not-an-id") == (400, "Validation failed")


def test_an_asset_that_leaves_takes_its_picture_of_the_album_along(
    stack: ApiStack, ann: Person, as_ann: CheckedClient
) -> None:
    first, second = add_asset(stack, ann), add_asset(stack, ann)
    album_id = as_ann.post("/albums", albumName="x", assetIds=[first, second])["id"]
    with stack.services.database.session() as session:
        session.delete(session.get_one(Asset, first))
    assert as_ann.get(f"/albums/{album_id}")["albumThumbnailAssetId"] == second
