"""Partners over HTTP, on both databases: who shows whom their timeline, where it appears, and what stays private."""

import uuid
from pathlib import Path

import pytest
from sqlalchemy import insert

from cluster.db.tables.partner import Partner
from cluster.db.tables.user import User
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_album, add_asset, add_person, add_tag, embed

MONTH = "2024-03-01"


@pytest.fixture
def shared(stack: ApiStack, ann: Person, ben: Person) -> Person:
    """Ann shows Ben her timeline, and he has it in his."""
    return share(stack, ann, ben)


def share(stack: ApiStack, owner: Person, viewer: Person, *, in_timeline: bool = True) -> Person:
    both = {"shared_by_id": owner.user_id, "shared_with_id": viewer.user_id}
    with stack.services.database.session() as session:
        session.execute(insert(Partner).values(**both, in_timeline=in_timeline, created_at=NOON, updated_at=NOON))
    return owner


def found(client: CheckedClient, **filters: object) -> set[str]:
    return {one["id"] for one in client.post("/search/metadata", **filters)["assets"]["items"]}


def in_month(client: CheckedClient, **asked: object) -> set[str]:
    return set(client.get("/timeline/bucket", timeBucket=MONTH, **asked)["id"])


def test_partners_come_and_go(ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient) -> None:
    made = as_ann.post("/partners", sharedWithId=ben.user_id)
    assert (made["id"], made["email"], made["inTimeline"]) == (ben.user_id, "ben@example.org", False)
    again = as_ann.refused("POST", "/partners", json={"sharedWithId": ben.user_id})
    assert again == (400, "Partner already exists")
    assert [one["id"] for one in as_ann.get("/partners", direction="shared-by")] == [ben.user_id]
    assert as_ann.get("/partners", direction="shared-with") == []
    assert [one["id"] for one in as_ben.get("/partners", direction="shared-with")] == [ann.user_id]
    assert as_ben.put(f"/partners/{ann.user_id}", inTimeline=True)["inTimeline"] is True
    assert as_ann.get("/partners", direction="shared-by")[0]["inTimeline"] is True
    refused = as_ann.refused("PUT", f"/partners/{ben.user_id}", json={"inTimeline": True})
    assert refused == (400, "Not found or no partner.update access")
    assert as_ben.refused("DELETE", f"/partners/{ann.user_id}") == (400, "Partner not found")
    as_ann.delete(f"/partners/{ben.user_id}")
    assert as_ben.get("/partners", direction="shared-with") == []
    assert as_ann.post(f"/partners/{ben.user_id}")["id"] == ben.user_id


def test_nobody_is_a_partner_of_themselves_or_of_who_is_not_there(ann: Person, as_ann: CheckedClient) -> None:
    for other in (ann.user_id, str(uuid.uuid4())):
        assert as_ann.refused("POST", "/partners", json={"sharedWithId": other}) == (400, "Invalid user")
    assert as_ann.request("GET", "/partners").status_code == 400


def test_a_partner_reads_and_changes_nothing(
    stack: ApiStack, shared: Person, as_ann: CheckedClient, as_ben: CheckedClient, tmp_path: Path
) -> None:
    path = stack.services.layout.media_root / "a.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    asset_id = add_asset(stack, shared, is_favorite=True, original_path=str(path), city="Rome")
    add_person(stack, shared, "Carla", asset_id)
    seen = as_ben.get(f"/assets/{asset_id}")
    assert (seen["isFavorite"], seen["people"], seen["exifInfo"]["city"]) == (False, [], "Rome")
    assert as_ben.request("GET", f"/assets/{asset_id}/original").content == b"picture"
    assert as_ben.get(f"/assets/{asset_id}/ocr") == []
    assert as_ben.post("/download/info", assetIds=[asset_id])["archives"][0]["assetIds"] == [asset_id]
    assert as_ben.request("POST", "/download/archive", json={"assetIds": [asset_id]}).status_code == 200
    for method, where, body in (
        ("PUT", f"/assets/{asset_id}", {"description": "x"}),
        ("PUT", "/assets", {"ids": [asset_id], "isFavorite": True}),
        ("DELETE", "/assets", {"ids": [asset_id]}),
        ("POST", "/assets/jobs", {"assetIds": [asset_id], "name": "refresh-metadata"}),
        ("POST", "/stacks", {"assetIds": [asset_id, add_asset(stack, shared)]}),
        ("POST", "/trash/restore/assets", {"ids": [asset_id]}),
    ):
        assert as_ben.request(method, where, json=body).status_code == 400, where
    assert as_ben.request("GET", f"/faces?id={asset_id}").status_code == 400
    assert as_ben.request("POST", "/download/info", json={"userId": shared.user_id}).status_code == 400
    assert as_ann.get(f"/assets/{asset_id}")["isFavorite"] is True


@pytest.mark.parametrize("hidden", [{"visibility": "archive"}, {"visibility": "locked"}, {"deleted_at": NOON}])
def test_what_is_not_on_the_timeline_is_shown_to_no_partner(
    stack: ApiStack, shared: Person, as_ben: CheckedClient, hidden: dict[str, object]
) -> None:
    motion = add_asset(stack, shared, type="VIDEO", visibility="hidden")
    asset_id = add_asset(stack, shared, latitude=1.0, longitude=2.0, live_photo_video_id=motion, **hidden)
    for one in (asset_id, motion):
        for path in ("", "/thumbnail", "/original"):
            assert as_ben.request("GET", f"/assets/{one}{path}").status_code == 400
    assert found(as_ben) | found(as_ben, withDeleted=True) == set()
    assert as_ben.post("/search/statistics")["total"] == 0
    assert as_ben.post("/search/random") == []
    assert in_month(as_ben, withPartners=True, visibility="timeline") == set()
    assert in_month(as_ben, userId=shared.user_id) == set()
    assert as_ben.get("/map/markers", withPartners=True, isArchived=True) == []


def test_the_moving_part_of_a_partners_photo_is_shown(stack: ApiStack, shared: Person, as_ben: CheckedClient) -> None:
    motion = add_asset(stack, shared, type="VIDEO", visibility="hidden")
    assert as_ben.request("GET", f"/assets/{motion}").status_code == 400
    add_asset(stack, shared, live_photo_video_id=motion)
    assert as_ben.get(f"/assets/{motion}")["type"] == "VIDEO"


def test_a_partner_stands_among_ones_own_where_one_wants_it(
    stack: ApiStack, shared: Person, ben: Person, as_ben: CheckedClient
) -> None:
    theirs = add_asset(stack, shared, is_favorite=True, latitude=1.0, longitude=2.0, make="Canon")
    mine = add_asset(stack, ben, is_favorite=True)
    both = {theirs, mine}
    assert in_month(as_ben, withPartners=True, visibility="timeline") == both
    assert in_month(as_ben, visibility="timeline") == {mine}
    assert in_month(as_ben, userId=shared.user_id, visibility="timeline") == {theirs}
    columns = as_ben.get("/timeline/bucket", timeBucket=MONTH, withPartners=True, visibility="timeline")
    assert dict(zip(columns["id"], columns["isFavorite"], strict=True)) == {mine: True, theirs: False}
    counted = as_ben.get("/timeline/buckets", withPartners=True, visibility="timeline")
    assert counted == [{"timeBucket": MONTH, "count": 2}]
    assert found(as_ben) == both
    assert {one["id"]: one["isFavorite"] for one in as_ben.post("/search/random")} == {mine: True, theirs: False}
    assert as_ben.post("/search/statistics")["total"] == 2
    assert found(as_ben, make="Canon") == {theirs}
    assert [one["id"] for one in as_ben.get("/map/markers", withPartners=True)] == [theirs]
    assert as_ben.get("/map/markers") == []
    as_ben.put(f"/partners/{shared.user_id}", inTimeline=False)
    assert in_month(as_ben, withPartners=True, visibility="timeline") == found(as_ben) == {mine}
    assert as_ben.get(f"/assets/{theirs}")["id"] == theirs


def test_pages_go_through_ones_own_and_a_partners_in_one_order(
    stack: ApiStack, shared: Person, ben: Person, as_ben: CheckedClient
) -> None:
    days = [NOON.replace(day=day) for day in range(1, 8)]
    ids = [add_asset(stack, shared if day.day % 2 else ben, day, file_size_bytes=day.day) for day in days]
    for sort in ({}, {"orderBy": "fileSizeInByte"}):
        for order, expected in (("asc", ids), ("desc", ids[::-1])):
            pages = [
                [
                    one["id"]
                    for one in as_ben.post("/search/metadata", page=page, size=3, order=order, **sort)["assets"][
                        "items"
                    ]
                ]
                for page in (1, 2, 3)
            ]
            assert pages == [expected[:3], expected[3:6], expected[6:]]
    sampled = as_ben.post("/search/random", size=7)
    assert sorted(one["id"] for one in sampled) == sorted(ids)


def test_what_a_partner_keeps_private_is_not_told_by_filters(
    stack: ApiStack, shared: Person, ben: Person, as_ben: CheckedClient
) -> None:
    theirs, mine = add_asset(stack, shared, is_favorite=True), add_asset(stack, ben, is_favorite=True)
    person, tag = add_person(stack, shared, "Carla", theirs), add_tag(stack, shared, "trip", theirs)
    assert found(as_ben, isFavorite=True) == {mine}
    assert found(as_ben, isFavorite=False) == found(as_ben, personIds=[person]) == found(as_ben, tagIds=[tag]) == set()
    assert found(as_ben, tagIds=None) == found(as_ben, isNotInAlbum=True) == {mine}
    asked = {"visibility": "timeline", "withPartners": True}
    assert in_month(as_ben, personId=person, **asked) == set()
    for private in ({"isFavorite": True}, {"isTrashed": True}, {"personId": person}):
        of_ann = {"userId": shared.user_id, **private}
        refused = as_ben.refused("GET", "/timeline/buckets", params=of_ann)
        assert refused == (400, "Not found or no timeline.read access")
    archive = as_ben.refused("GET", f"/timeline/buckets?userId={shared.user_id}&visibility=archive")
    assert archive == (400, "Not found or no archive.read access")
    refused = as_ben.request("GET", "/timeline/buckets", params={**asked, "isFavorite": True})
    assert refused.status_code == 400
    album_id = add_album(stack, shared, theirs, shared_with=ben)
    assert in_month(as_ben, albumId=album_id) == {theirs}
    assert in_month(as_ben, albumId=album_id, isFavorite=True) == set()


def test_a_smart_search_looks_through_a_partners_timeline(
    stack: ApiStack, shared: Person, ben: Person, as_ben: CheckedClient
) -> None:
    mine, theirs = add_asset(stack, ben), add_asset(stack, shared)
    archived = add_asset(stack, shared, visibility="archive")
    embed(stack, {mine: [1.0, 0.0], theirs: [0.9, 0.1], archived: [1.0, 0.0]})
    items = as_ben.post("/search/smart", queryAssetId=mine)["assets"]["items"]
    assert [one["id"] for one in items] == [mine, theirs]
    assert as_ben.request("POST", "/search/smart", json={"queryAssetId": archived}).status_code == 400


def test_a_stranger_and_the_other_way_round_see_nothing(
    stack: ApiStack, shared: Person, ben: Person, as_ann: CheckedClient, as_nobody: CheckedClient
) -> None:
    bens = add_asset(stack, ben)
    assert as_ann.request("GET", f"/assets/{bens}").status_code == 400
    assert as_ann.request("GET", f"/timeline/buckets?userId={ben.user_id}").status_code == 400
    assert found(as_ann) == set()
    assert as_nobody.request("GET", "/partners?direction=shared-by").status_code == 401


def test_a_partner_who_is_deleted_shows_nothing(stack: ApiStack, shared: Person, as_ben: CheckedClient) -> None:
    asset_id = add_asset(stack, shared)
    with stack.services.database.session() as session:
        session.get_one(User, shared.user_id).deleted_at = NOON
    assert as_ben.request("GET", f"/assets/{asset_id}").status_code == 400
    assert as_ben.get("/partners", direction="shared-with") == []
    assert found(as_ben) == set()
    assert as_ben.request("PUT", f"/partners/{shared.user_id}", json={"inTimeline": False}).status_code == 400


def test_a_partners_photo_may_be_put_into_an_album(stack: ApiStack, shared: Person, as_ben: CheckedClient) -> None:
    shown, archived = add_asset(stack, shared), add_asset(stack, shared, visibility="archive")
    album_id = as_ben.post("/albums", albumName="Both", assetIds=[shown, archived])["id"]
    assert as_ben.get(f"/albums/{album_id}")["assetCount"] == 1
    outcomes = as_ben.put(f"/albums/{album_id}/assets", ids=[archived])
    assert outcomes[0]["error"] == "no_permission"


def test_a_key_needs_its_permission(stack: ApiStack, client: object, as_ben: CheckedClient) -> None:
    reader = CheckedClient(client, stack.add_person("eve", permissions=("partner.read",)))  # type: ignore[arg-type]
    assert reader.get("/partners", direction="shared-by") == []
    refused = reader.refused("POST", "/partners", json={"sharedWithId": str(uuid.uuid4())})
    assert refused == (403, "Missing required permission: partner.create")
