"""Likes and comments over HTTP, on both databases: who may say them of an album, read them and take them back."""

from typing import Any

from tests.api_stack import ApiStack, AppClient, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_album, add_asset


def said(client: CheckedClient, **asked: Any) -> list[tuple[str, str | None, str | None]]:
    return [(one["type"], one["comment"], one["assetId"]) for one in client.get("/activities", **asked)]


def test_members_comment_and_like(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    asset_id = add_asset(stack, ann)
    album = {"albumId": add_album(stack, ann, asset_id, shared_with=ben)}
    made = as_ben.post("/activities", **album, type="comment", comment="Lovely")
    assert (made["type"], made["comment"], made["assetId"], made["user"]["id"]) == (
        "comment",
        "Lovely",
        None,
        ben.user_id,
    )
    liked = as_ben.post("/activities", **album, assetId=asset_id, type="like", comment="not read")
    assert liked["comment"] is None
    assert as_ben.post("/activities", **album, assetId=asset_id, type="like")["id"] == liked["id"]
    as_ann.post("/activities", **album, type="like")
    as_ann.post("/activities", **album, assetId=asset_id, type="comment", comment="There")
    of_asset, of_album = [("like", None, asset_id), ("comment", "There", asset_id)], [("comment", "Lovely", None)]
    assert said(as_ann, **album) == [*of_album, of_asset[0], ("like", None, None), of_asset[1]]
    assert said(as_ann, **album, level="album") == [*of_album, ("like", None, None)]
    assert said(as_ann, **album, assetId=asset_id) == of_asset
    assert said(as_ann, **album, type="comment", userId=ben.user_id) == of_album
    assert as_ann.get("/activities/statistics", **album) == {"comments": 2, "likes": 2}
    assert as_ann.get("/activities/statistics", **album, assetId=asset_id) == {"comments": 1, "likes": 1}


def test_what_was_said_is_taken_back_by_who_said_it_or_the_albums_owner(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    album = {"albumId": add_album(stack, ann, shared_with=ben)}
    of_ann = as_ann.post("/activities", **album, type="comment", comment="a")["id"]
    of_ben = [as_ben.post("/activities", **album, type="comment", comment=text)["id"] for text in "bc"]
    no_access = (400, "Not found or no activity.delete access")
    assert as_ben.refused("DELETE", f"/activities/{of_ann}") == no_access
    as_ben.delete(f"/activities/{of_ben[0]}")
    as_ann.delete(f"/activities/{of_ben[1]}")
    assert as_ben.refused("DELETE", f"/activities/{of_ben[1]}") == no_access
    assert said(as_ann, **album) == [("comment", "a", None)]


def test_strangers_say_and_read_nothing(
    stack: ApiStack, ann: Person, ben: Person, as_ben: CheckedClient, as_nobody: CheckedClient
) -> None:
    album = {"albumId": add_album(stack, ann)}
    body = {**album, "type": "like"}
    assert as_ben.refused("POST", "/activities", json=body) == (400, "Not found or no activity.create access")
    for path in ("/activities", "/activities/statistics"):
        assert as_ben.refused("GET", path, params=album) == (400, "Not found or no album.read access")
    assert as_nobody.request("POST", "/activities", json=body).status_code == 401


def test_the_albums_owner_may_end_it(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    album_id = add_album(stack, ann)
    as_ann.patch(f"/albums/{album_id}", isActivityEnabled=False)
    body = {"albumId": album_id, "type": "comment", "comment": "x"}
    assert as_ann.refused("POST", "/activities", json=body) == (400, "Not found or no activity.create access")
    as_ann.patch(f"/albums/{album_id}", isActivityEnabled=True)
    as_ann.post("/activities", **body)


def test_only_what_the_album_shows_is_spoken_of(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    asset_id, locked, outside = add_asset(stack, ann), add_asset(stack, ann, visibility="locked"), add_asset(stack, ann)
    trashed = add_asset(stack, ann, deleted_at=NOON)
    album_id = add_album(stack, ann, asset_id, locked, trashed)
    for one in (locked, outside, trashed):
        body = {"albumId": album_id, "assetId": one, "type": "like"}
        assert as_ann.refused("POST", "/activities", json=body) == (400, "Asset not found in album")
    as_ann.post("/activities", albumId=album_id, assetId=asset_id, type="like")
    assert as_ann.get("/activities/statistics", albumId=album_id)["likes"] == 1
    as_ann.delete("/assets", ids=[asset_id])
    assert as_ann.get("/activities/statistics", albumId=album_id)["likes"] == 0
    assert said(as_ann, albumId=album_id) == []
    as_ann.post("/trash/restore/assets", ids=[asset_id])
    assert len(said(as_ann, albumId=album_id)) == 1
    as_ann.delete(f"/albums/{album_id}/assets", ids=[asset_id])
    as_ann.put(f"/albums/{album_id}/assets", ids=[asset_id])
    assert said(as_ann, albumId=album_id) == []
    as_ann.delete(f"/albums/{album_id}")


def test_a_comment_says_something(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    body = {"albumId": add_album(stack, ann), "type": "comment"}
    for wrong in (body, {**body, "comment": ""}, {**body, "type": "x"}, {"type": "like"}):
        assert as_ann.refused("POST", "/activities", json=wrong) == (400, "Validation failed")


def test_a_key_needs_its_permission(stack: ApiStack, client: AppClient, ann: Person) -> None:
    reader = CheckedClient(client, stack.add_person("eve", permissions=("activity.read",)))
    refused = reader.refused("POST", "/activities", json={"albumId": add_album(stack, ann), "type": "like"})
    assert refused == (403, "Missing required permission: activity.create")
