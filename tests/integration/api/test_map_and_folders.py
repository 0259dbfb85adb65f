"""The map and the folder view over HTTP, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_album, add_asset

ROME = {"latitude": 41.9, "longitude": 12.5, "city": "Rome", "state": "Lazio", "country": "Italy"}


def test_a_pin_says_where(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    asset_id = add_asset(stack, ann, **ROME)
    add_asset(stack, ann)
    assert as_ann.get("/map/markers") == [
        {"id": asset_id, "lat": 41.9, "lon": 12.5, "city": "Rome", "state": "Lazio", "country": "Italy"}
    ]


@pytest.mark.parametrize(
    ("columns", "asked", "others"),
    [
        ({}, {}, [{"visibility": "archive"}, {"visibility": "hidden"}, {"deleted_at": NOON}]),
        ({"visibility": "archive"}, {"isArchived": "true"}, [{"visibility": "locked"}]),
        ({"is_favorite": True}, {"isFavorite": "true"}, [{}]),
        ({}, {"isFavorite": "false"}, [{"is_favorite": True}]),
        ({}, {"fileCreatedAfter": "2024-03-05T00:00:00.000Z"}, [{"file_created_at": NOON - timedelta(days=1)}]),
        ({}, {"fileCreatedBefore": "2024-03-06T00:00:00.000Z"}, [{"file_created_at": NOON + timedelta(days=1)}]),
    ],
)
def test_pins_are_filtered(
    stack: ApiStack,
    ann: Person,
    as_ann: CheckedClient,
    columns: dict[str, Any],
    asked: dict[str, str],
    others: list[dict[str, Any]],
) -> None:
    fitting = add_asset(stack, ann, **ROME, **columns)
    for other in others:
        add_asset(stack, ann, **ROME, **other)
    assert [pin["id"] for pin in as_ann.get("/map/markers", **asked)] == [fitting]


def test_pins_of_shared_albums_are_shown_where_wanted(
    stack: ApiStack, ann: Person, ben: Person, as_ben: CheckedClient
) -> None:
    hers, his = add_asset(stack, ann, **ROME), add_asset(stack, ben, NOON - timedelta(days=1), **ROME)
    album_id = add_album(stack, ann, hers, shared_with=ben)
    unseen = add_album(stack, ann, add_asset(stack, ann, **ROME))
    assert [pin["id"] for pin in as_ben.get("/map/markers")] == [his]
    assert [pin["id"] for pin in as_ben.get("/map/markers", withSharedAlbums="true")] == [hers, his]
    assert [pin["id"] for pin in as_ben.get(f"/albums/{album_id}/map-markers")] == [hers]
    assert as_ben.refused("GET", f"/albums/{unseen}/map-markers") == (400, "Not found or no album.read access")


def test_a_place_has_a_name(as_ann: CheckedClient, as_nobody: CheckedClient) -> None:
    (place,) = as_ann.get("/map/reverse-geocode", lat=41.9, lon=12.5)
    assert (place["city"], place["country"]) == ("Rome", "Italy")
    assert as_ann.get("/map/reverse-geocode", lat=-40, lon=-130) == []
    for wrong in ({"lat": 91, "lon": 0}, {"lat": 0}, {"lat": "x", "lon": 0}, {"lat": "nan", "lon": 0}):
        assert as_ann.refused("GET", "/map/reverse-geocode", params=wrong) == (400, "Validation failed")
    assert as_nobody.refused("GET", "/map/markers")[0] == 401


def test_folders_and_what_lies_right_in_them(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    paths = ("/a/1.jpg", "/a/b/2.jpg", "/a/b/3.jpg", "/a/b c/Ü.jpg", "/a/b/c/4.jpg", "/top.jpg")
    by_path = {path: add_asset(stack, ann, original_path=path) for path in paths}
    add_asset(stack, ben, original_path="/ben/1.jpg")
    add_asset(stack, ann, original_path="/gone/1.jpg", deleted_at=NOON)
    assert sorted(as_ann.get("/view/folder/unique-paths")) == ["/", "/a", "/a/b", "/a/b c", "/a/b/c"]

    def inside(path: str) -> list[str]:
        return [asset["id"] for asset in as_ann.request("GET", "/view/folder", params={"path": path}).json()]

    assert inside("/a/b") == inside("/a/b/") == [by_path["/a/b/2.jpg"], by_path["/a/b/3.jpg"]]
    assert inside("/a") == [by_path["/a/1.jpg"]]
    assert inside("/a/b c") == [by_path["/a/b c/Ü.jpg"]]
    assert inside("/") == [by_path["/top.jpg"]]
    assert inside("/%") == inside("/ben") == inside("/gone") == []
    assert as_ann.refused("GET", "/view/folder", params={"path": "a\0b"}) == (400, "Validation failed")


def test_a_folder_shows_what_lies_right_in_it_and_is_the_callers(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    shown = [add_asset(stack, ann, original_path=f"/Zoë/写真/{name}.jpg") for name in ("1", "a b", "Ü")]
    for beside in ("/Zoë/写真.jpg", "/Zoë/写真0/1.jpg", "/Zoë/写真-/1.jpg", "/Zoë/写真/below/1.jpg", "/zoë/写真/1.jpg"):
        add_asset(stack, ann, original_path=beside)
    add_asset(stack, ben, original_path="/Zoë/写真/2.jpg")
    add_asset(stack, ann, original_path="/Zoë/写真/3.jpg", visibility="archive")
    add_asset(stack, ann, original_path="/Zoë/写真/4.jpg", deleted_at=NOON)
    found = as_ann.request("GET", "/view/folder", params={"path": "/Zoë/写真"}).json()
    assert [asset["id"] for asset in found] == shown


def test_what_others_like_is_no_filter_for_pins(
    stack: ApiStack, ann: Person, ben: Person, as_ben: CheckedClient
) -> None:
    liked, his = add_asset(stack, ann, is_favorite=True, **ROME), add_asset(stack, ben, is_favorite=True, **ROME)
    add_album(stack, ann, liked, add_asset(stack, ann, **ROME), shared_with=ben)
    shared = {"withSharedAlbums": "true"}
    assert len(as_ben.get("/map/markers", **shared)) == 3
    assert [pin["id"] for pin in as_ben.get("/map/markers", isFavorite="true", **shared)] == [his]
    assert as_ben.get("/map/markers", isFavorite="false", **shared) == []
