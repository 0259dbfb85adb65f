"""Searching over HTTP, on both databases: every filter against assets that differ in it alone."""

import base64
import hashlib
import uuid
from datetime import timedelta
from typing import Any

import pytest

from cluster.db.tables.asset import AssetFile, Library
from serve_app.wire import search as wire
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add, add_album, add_asset, add_person, add_tag, embed

SMART_FILTERS = set(wire.SmartSearch.model_json_schema()["properties"])
LATER = NOON + timedelta(days=1)


def found(who: CheckedClient, **wanted: Any) -> list[str]:
    return [item["id"] for item in who.post("/search/metadata", **wanted)["assets"]["items"]]


def library(stack: ApiStack, owner: Person) -> str:
    times = {"created_at": NOON, "updated_at": NOON}
    return add(stack, Library, owner_id=owner.user_id, name="l", import_paths=[], exclusion_patterns=[], **times)


def add_derived(stack: ApiStack, asset_id: str, kind: str, path: str) -> None:
    add(stack, AssetFile, asset_id=asset_id, type=kind, path=path, created_at=NOON, updated_at=NOON)


@pytest.mark.parametrize(
    ("columns", "wanted", "others"),
    [
        ({"city": "Rome"}, {"city": "Rome"}, [{"city": "rome"}, {"city": None}]),
        ({"city": None}, {"city": None}, [{"city": "Rome"}]),
        ({"state": None}, {"state": None}, [{"state": "Lazio"}]),
        ({"country": "Italy"}, {"country": "Italy"}, [{"country": "France"}]),
        ({"make": "Canon", "model": "R5"}, {"make": "Canon", "model": "R5"}, [{"make": "Canon", "model": "R6"}]),
        ({"lens_model": None}, {"lensModel": None}, [{"lens_model": "50mm"}]),
        ({"rating": 3}, {"rating": 3}, [{"rating": 4}, {}]),
        ({"rating": None}, {"rating": None}, [{"rating": 5}]),
        ({"type": "VIDEO"}, {"type": "VIDEO"}, [{}]),
        ({"is_favorite": True}, {"isFavorite": True}, [{}]),
        ({}, {"isFavorite": False}, [{"is_favorite": True}]),
        ({"is_offline": True, "deleted_at": NOON}, {"isOffline": True}, [{}]),
        ({"visibility": "archive"}, {"visibility": "archive"}, [{}]),
        ({"visibility": "hidden"}, {}, [{"visibility": "locked"}]),
        ({"file_created_at": LATER}, {"takenAfter": "2024-03-06T12:00:00.000Z"}, [{}]),
        ({}, {"takenBefore": "2024-03-05T13:00:00.000+01:00"}, [{"file_created_at": LATER}]),
        ({"created_at": LATER}, {"createdAfter": "2024-03-06T00:00:00Z"}, [{}]),
        ({}, {"createdBefore": "2024-03-06T00:00:00Z"}, [{"created_at": LATER}]),
        ({"updated_at": LATER}, {"updatedAfter": "2024-03-06T00:00:00Z"}, [{}]),
        ({"deleted_at": LATER, "status": "trashed"}, {"trashedAfter": "2024-03-06T00:00:00Z"}, [{}]),
        ({"deleted_at": NOON}, {"trashedBefore": "2024-03-05T12:00:00Z"}, [{"deleted_at": LATER}]),
        ({"deleted_at": NOON}, {"withDeleted": True}, [{"deleted_at": NOON, "status": "deleted"}]),
        ({}, {}, [{"deleted_at": NOON}]),
        ({"original_file_name": "Été à la PLAGE.jpg"}, {"originalFileName": "ete a la plage"}, [{}]),
        ({"original_file_name": "plage.jpg"}, {"originalFileName": "PLÁGE"}, [{"original_file_name": "page.jpg"}]),
        ({"original_file_name": "100%_a.jpg"}, {"originalFileName": "100%_"}, [{"original_file_name": "1000.jpg"}]),
        ({"original_path": "/Photos/Zoë/1.jpg"}, {"originalPath": "s/zoe/"}, [{"original_path": "/Photos/z/1.jpg"}]),
        ({"description": "A dog, asleep"}, {"description": "DOG"}, [{"description": "a cat"}]),
    ],
)
def test_a_filter_finds_what_fits_and_nothing_else(
    stack: ApiStack,
    ann: Person,
    ben: Person,
    as_ann: CheckedClient,
    columns: dict[str, Any],
    wanted: dict[str, Any],
    others: list[dict[str, Any]],
) -> None:
    fitting = add_asset(stack, ann, **columns)
    unfit = [add_asset(stack, ben, **columns), *(add_asset(stack, ann, **other) for other in others)]
    assert found(as_ann, **wanted) == [fitting]
    if wanted.keys() <= SMART_FILTERS:
        embed(stack, dict.fromkeys([fitting, *unfit], (1.0, 0.5)))
        alike = as_ann.post("/search/smart", queryAssetId=fitting, **wanted)
        assert [item["id"] for item in alike["assets"]["items"]] == [fitting]


def test_filters_by_what_hangs_on_an_asset(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    a, b, c = (add_asset(stack, ann, NOON - timedelta(hours=hour)) for hour in range(3))
    video = add_asset(stack, ann, NOON - timedelta(hours=4), type="VIDEO", visibility="hidden")
    live = add_asset(stack, ann, NOON - timedelta(hours=3), live_photo_video_id=video)
    album = add_album(stack, ann, a, b)
    second = add_album(stack, ann, b, c)
    carla, dora = add_person(stack, ann, "Carla", a, b), add_person(stack, ann, "Dora", b)
    places = add_tag(stack, ann, "Places", c)
    rome = add_tag(stack, ann, "Places/Rome", a, parent_id=places)
    add_derived(stack, video, "encoded_video", "/media/encoded-video/v.mp4")
    add_derived(stack, a, "preview", "/media/thumbs/a.jpeg")
    assert found(as_ann, albumIds=[album]) == [a, b]
    assert found(as_ann, albumIds=[album, second]) == [b]
    assert found(as_ann, isNotInAlbum=True) == [live, video]
    assert found(as_ann, isNotInAlbum=True, albumIds=[album]) == [a, b]
    assert found(as_ann, personIds=[carla]) == [a, b]
    assert found(as_ann, personIds=[carla, dora]) == [b]
    assert found(as_ann, tagIds=[rome]) == [a]
    assert found(as_ann, tagIds=[places]) == [a, c]
    assert found(as_ann, tagIds=[places, rome]) == [a]
    assert found(as_ann, tagIds=None) == [b, live, video]
    assert found(as_ann, tagIds=[]) == [a, b, c, live, video]
    assert found(as_ann, isMotion=True) == [live]
    assert found(as_ann, isMotion=False, type="IMAGE") == [a, b, c]
    assert found(as_ann, isEncoded=True) == [video]
    assert found(as_ann, isEncoded=False, type="VIDEO") == []
    assert found(as_ann, encodedVideoPath="/media/encoded-video/v.mp4") == [video]
    assert found(as_ann, previewPath="/media/thumbs/a.jpeg") == [a]
    assert found(as_ann, thumbnailPath="/media/thumbs/a.jpeg") == []
    assert found(as_ann, id=c) == [c]
    assert found(as_ann, ocr="stop") == []


def test_filters_by_library_and_checksum(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    sha1 = hashlib.sha1(b"x", usedforsecurity=False)
    library_id = library(stack, ann)
    inside = add_asset(stack, ann, library_id=library_id, is_external=True)
    uploaded = add_asset(stack, ann, checksum=sha1.digest())
    assert found(as_ann, libraryId=library_id) == [inside]
    assert found(as_ann, libraryId=None) == [uploaded]
    assert found(as_ann, checksum=sha1.hexdigest()) == [uploaded]
    assert found(as_ann, checksum=base64.b64encode(sha1.digest()).decode()) == [uploaded]


def test_orders(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    a = add_asset(stack, ann, original_file_name="a.jpg", file_size_bytes=30)
    b = add_asset(stack, ann, LATER, original_file_name="b.jpg", file_size_bytes=10)
    c = add_asset(stack, ann, NOON, original_file_name="b.jpg", file_size_bytes=20)
    assert found(as_ann)[0] == b
    assert found(as_ann, order="asc")[2] == b
    assert found(as_ann, orderBy="fileSizeInByte") == [a, c, b]
    assert found(as_ann, orderBy="fileSizeInByte", order="asc") == [b, c, a]
    assert found(as_ann, orderBy="originalFileName", order="asc")[0] == a
    by_name = [{"field": "originalFileName", "order": "desc"}, {"field": "fileSizeInByte", "order": "asc"}]
    assert found(as_ann, sort=by_name, order="asc") == [b, c, a]


def test_pages_have_everything_once(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    ids = {add_asset(stack, ann) for _ in range(7)}
    seen: list[str] = []
    page: str | None = "1"
    while page is not None:
        answer = as_ann.post("/search/metadata", size=3, page=int(page))["assets"]
        assert answer["total"] == answer["count"] == len(answer["items"])
        seen += [item["id"] for item in answer["items"]]
        page = answer["nextPage"]
    assert len(seen) == 7
    assert set(seen) == ids
    assert found(as_ann, size=1000, page=2**53 - 1) == []


def test_an_answer_carries_what_was_asked_for(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    asset_id = add_asset(stack, ann, city="Rome")
    add_person(stack, ann, "Carla", asset_id)
    answer = as_ann.post("/search/metadata")
    assert answer["albums"] == {"total": 0, "count": 0, "items": [], "facets": []}
    (bare,) = answer["assets"]["items"]
    assert {"exifInfo", "people", "tags"}.isdisjoint(bare)
    (whole,) = as_ann.post("/search/metadata", withExif=True, withPeople=True, withStacked=True)["assets"]["items"]
    assert (whole["exifInfo"]["city"], whole["people"][0]["name"], whole["stack"]) == ("Rome", "Carla", None)


def test_what_is_wrong_is_refused(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_nobody: CheckedClient
) -> None:
    def refusal(**wanted: Any) -> tuple[int, str]:
        return as_ann.refused("POST", "/search/metadata", json=wanted)

    for wrong in (
        {"size": 1001},
        {"size": 0},
        {"page": 0},
        {"rating": 0},
        {"isFavorite": None},
        {"takenAfter": "yesterday"},
        {"checksum": "x"},
        {"sort": []},
        {"type": "PICTURE"},
        {"city": "a\0b"},
        {"personIds": ["x"]},
    ):
        assert refusal(**wrong) == (400, "Validation failed"), wrong
    assert refusal(visibility="locked") == (401, "Elevated permission is required")
    assert refusal(albumIds=[add_album(stack, ben)]) == (400, "Not found or no album.read access")
    assert as_nobody.refused("POST", "/search/metadata", json={}) == (401, "Authentication required")


def test_a_sample_is_as_large_as_asked_for(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    ids = {add_asset(stack, ann) for _ in range(8)}
    add_asset(stack, ann, is_favorite=True)
    drawn = [tuple(item["id"] for item in as_ann.post("/search/random", size=4, isFavorite=False)) for _ in range(12)]
    assert all(len(set(one)) == 4 and ids.issuperset(one) for one in drawn)
    assert len(set(drawn)) > 1
    assert {item["id"] for item in as_ann.post("/search/random", isFavorite=False)} == ids


def test_the_number_of_what_fits(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    for city in ("Rome", "Rome", "Oslo", None):
        add_asset(stack, ann, city=city, description="one" if city else "", make="Canon" if city else None)
    add_asset(stack, ben, city="Rome", make="Canon")
    add_asset(stack, ann, city="Rome", make="Canon", deleted_at=NOON)
    assert as_ann.post("/search/statistics") == {"total": 4}
    assert as_ann.post("/search/statistics", city="Rome") == {"total": 2}
    assert as_ann.post("/search/statistics", make="Canon") == {"total": 3}
    assert as_ann.post("/search/statistics", make=None) == {"total": 1}
    assert as_ann.post("/search/statistics", description="ONE", city=None) == {"total": 0}


def test_suggestions_are_narrowed_down(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    add_asset(stack, ann, country="Italy", state="Lazio", city="Rome", make="Canon", model="R5", lens_model="50mm")
    add_asset(stack, ann, country="Italy", state="Veneto", city="Venice", make="Canon", model="R6")
    add_asset(stack, ann, country="Norway", city="Oslo", make="Nikon", visibility="timeline")
    add_asset(stack, ann, country="Spain", visibility="archive")
    add_asset(stack, ben, country="Chile")
    assert as_ann.get("/search/suggestions", type="country") == ["Italy", "Norway"]
    assert as_ann.get("/search/suggestions", type="state", country="Italy") == ["Lazio", "Veneto"]
    assert as_ann.get("/search/suggestions", type="city", country="Italy", state="Lazio") == ["Rome"]
    assert as_ann.get("/search/suggestions", type="camera-make") == ["Canon", "Nikon"]
    assert as_ann.get("/search/suggestions", type="camera-model", make="Canon") == ["R5", "R6"]
    assert as_ann.get("/search/suggestions", type="camera-lens-model") == ["50mm"]
    assert as_ann.refused("GET", "/search/suggestions", params={"type": "colour"}) == (400, "Validation failed")


def test_null_is_suggested_where_it_is_wanted(stack: ApiStack, ann: Person, client: Any) -> None:
    add_asset(stack, ann, country="Italy")
    asked = {"type": "country", "includeNull": "true"}
    answer = client.get("/search/suggestions", headers=ann.headers, params=asked)  # null is not in the description
    assert answer.json() == ["Italy", None]


def test_cities_are_shown_by_a_picture(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    in_rome = {add_asset(stack, ann, city="Rome") for _ in range(6)}
    in_oslo = add_asset(stack, ann, city="Oslo")
    for _ in range(6):
        add_asset(stack, ben, city="Lima")
        add_asset(stack, ann, city="Bern", type="VIDEO")
    (explored,) = as_ann.get("/search/explore")
    assert explored["fieldName"] == "exifInfo.city"
    assert [item["value"] for item in explored["items"]] == ["Rome"]
    assert explored["items"][0]["data"]["id"] in in_rome
    oslo, rome = as_ann.get("/search/cities")
    assert oslo["id"] == in_oslo
    assert rome["id"] in in_rome
    assert rome["exifInfo"]["city"] == "Rome"


def test_a_city_is_shown_by_a_picture_of_the_callers_timeline(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    for _ in range(6):
        add_asset(stack, ben, city="Rome")
        add_asset(stack, ann, city="Rome", visibility="archive")
        add_asset(stack, ann, city="Rome", deleted_at=NOON)
        add_asset(stack, ann, city="Oslo", visibility="archive")
    hers = add_asset(stack, ann, city="Rome")
    (explored,) = as_ann.get("/search/explore")
    assert [(item["value"], item["data"]["id"]) for item in explored["items"]] == [("Rome", hers)]
    assert [asset["id"] for asset in as_ann.get("/search/cities")] == [hers]


def test_places_by_name(as_ann: CheckedClient) -> None:
    (first, *_) = as_ann.get("/search/places", name="Zurich")
    assert (first["name"], first["admin1name"]) == ("Zürich", "Zurich")
    assert (round(first["latitude"]), round(first["longitude"])) == (47, 9)
    assert as_ann.get("/search/places", name=str(uuid.uuid4())) == []
