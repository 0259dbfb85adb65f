"""The timeline over HTTP, on both databases: months and what is in them."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from cluster.db.tables.asset import Asset
from cluster.db.tables.stack import Stack
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add, add_album, add_asset, add_person, add_tag

JUNE = datetime(2024, 6, 30, 23, 30, tzinfo=UTC)


def months(who: CheckedClient, **asked: str) -> dict[str, int]:
    return {month["timeBucket"]: month["count"] for month in who.get("/timeline/buckets", **asked)}


def ids(who: CheckedClient, month: str = "2024-03-01", **asked: str) -> list[str]:
    found: list[str] = who.get("/timeline/bucket", timeBucket=month, **asked)["id"]
    return found


def test_months_are_those_of_the_place_where_it_was_taken(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    add_asset(stack, ann, JUNE)
    in_july = add_asset(stack, ann, JUNE, local_date_time=JUNE + timedelta(hours=2))
    add_asset(stack, ann)
    assert months(as_ann) == {"2024-07-01": 1, "2024-06-01": 1, "2024-03-01": 1}
    assert list(months(as_ann)) == ["2024-07-01", "2024-06-01", "2024-03-01"]
    assert list(months(as_ann, order="asc")) == ["2024-03-01", "2024-06-01", "2024-07-01"]
    july = as_ann.get("/timeline/bucket", timeBucket="2024-07-01")
    assert (july["id"], july["localOffsetHours"]) == ([in_july], [2.0])
    assert july["fileCreatedAt"] == ["2024-06-30T23:30:00.000Z"]


def test_a_month_as_columns(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    video = add_asset(stack, ann, type="VIDEO", visibility="hidden", duration_ms=3000)
    one = add_asset(
        stack,
        ann,
        NOON + timedelta(hours=1),
        width_px=400,
        height_px=300,
        is_favorite=True,
        thumbhash=b"\x01\x02",
        live_photo_video_id=video,
        latitude=41.9,
        longitude=12.5,
        city="Rome",
        country="Italy",
        projection_type="EQUIRECTANGULAR",
    )
    two = add_asset(stack, ann, type="VIDEO", duration_ms=1500, visibility="archive")
    month = as_ann.get("/timeline/bucket", timeBucket="2024-03-01")
    assert {len(column) for column in month.values()} == {2}
    assert month["id"] == [one, two]
    assert month["ratio"] == [1.333, 1.0]
    assert month["isImage"] == [True, False]
    assert month["isFavorite"] == [True, False]
    assert month["visibility"] == ["timeline", "archive"]
    assert month["thumbhash"] == ["AQI=", None]
    assert month["duration"] == [None, 1500]
    assert month["livePhotoVideoId"] == [video, None]
    assert month["city"] == ["Rome", None]
    assert month["projectionType"] == ["EQUIRECTANGULAR", None]
    assert {"latitude", "stack"}.isdisjoint(month)
    assert as_ann.get("/timeline/bucket", timeBucket="2024-03-01", withCoordinates="true")["latitude"] == [41.9, None]


def test_within_a_day_what_came_first_counts(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    first = add_asset(stack, ann, NOON, local_date_time=NOON + timedelta(hours=9))
    second = add_asset(stack, ann, NOON + timedelta(hours=1))
    assert ids(as_ann) == [second, first]
    assert ids(as_ann, order="asc") == [first, second]


def test_a_stack_counts_as_its_primary(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    members = [add_asset(stack, ann, visibility="archive") for _ in range(3)]
    alone = add_asset(stack, ann, NOON + timedelta(days=1))
    stack_id = add(stack, Stack, owner_id=ann.user_id, primary_asset_id=members[1], created_at=NOON, updated_at=NOON)
    with stack.services.database.session() as session:
        session.execute(update(Asset).where(Asset.id.in_(members)).values(stack_id=stack_id))
    assert months(as_ann) == {"2024-03-01": 4}
    assert months(as_ann, withStacked="true") == {"2024-03-01": 2}
    month = as_ann.get("/timeline/bucket", timeBucket="2024-03-01", withStacked="true")
    assert (month["id"], month["stack"]) == ([alone, members[1]], [None, [stack_id, "3"]])
    assert as_ann.get(f"/assets/{members[0]}")["stack"] == {
        "id": stack_id,
        "primaryAssetId": members[1],
        "assetCount": 3,
    }


@pytest.mark.parametrize(
    ("columns", "asked", "others"),
    [
        ({"is_favorite": True}, {"isFavorite": "true"}, [{}]),
        ({}, {"isFavorite": "false"}, [{"is_favorite": True}]),
        (
            {"deleted_at": NOON, "status": "trashed"},
            {"isTrashed": "true"},
            [{}, {"deleted_at": NOON, "status": "deleted"}],
        ),
        ({}, {}, [{"deleted_at": NOON, "status": "trashed"}, {"visibility": "hidden"}, {"visibility": "locked"}]),
        ({"visibility": "hidden"}, {"visibility": "hidden"}, [{}]),
        ({"visibility": "archive"}, {"visibility": "archive"}, [{}]),
        (
            {"latitude": 49.43, "longitude": 11.1},
            {"bbox": "11.07,49.41,11.11,49.45"},
            [{}, {"latitude": 49.43, "longitude": 11.2}],
        ),
        (
            {"latitude": -17.0, "longitude": 179.5},
            {"bbox": "179,-18,-179,-16"},
            [{"latitude": -17.0, "longitude": 0.0}],
        ),
    ],
)
def test_a_filter_shows_what_fits_and_nothing_else(
    stack: ApiStack,
    ann: Person,
    ben: Person,
    as_ann: CheckedClient,
    columns: dict[str, Any],
    asked: dict[str, str],
    others: list[dict[str, Any]],
) -> None:
    fitting = add_asset(stack, ann, **columns)
    add_asset(stack, ben, **columns)
    for other in others:
        add_asset(stack, ann, **other)
    for stacked in ("true", "false"):
        assert months(as_ann, **asked, withStacked=stacked) == {"2024-03-01": 1}
        assert ids(as_ann, **asked, withStacked=stacked) == [fitting]


def test_by_arrival(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    late = add_asset(stack, ann, created_at=JUNE)
    add_asset(stack, ann, JUNE)
    assert months(as_ann, orderBy="createdAt") == {"2024-06-01": 1, "2024-03-01": 1}
    assert ids(as_ann, "2024-06-01", orderBy="createdAt") == [late]


def test_by_arrival_on_a_part_of_the_map(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    here, elsewhere = {"latitude": 49.43, "longitude": 11.1}, {"latitude": 49.43, "longitude": 12.1}
    late = add_asset(stack, ann, created_at=JUNE, **here)
    add_asset(stack, ann, created_at=JUNE, **elsewhere)
    add_asset(stack, ann, **here)
    add_asset(stack, ben, created_at=JUNE, **here)
    assert ids(as_ann, "2024-06-01", orderBy="createdAt", bbox="11,49,12,50") == [late]


def test_of_a_person_and_of_a_tag(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    one, two = add_asset(stack, ann), add_asset(stack, ann)
    carla = add_person(stack, ann, "Carla", one)
    places = add_tag(stack, ann, "Places")
    add_tag(stack, ann, "Places/Rome", two, parent_id=places)
    assert months(as_ann, personId=carla) == {"2024-03-01": 1}
    assert ids(as_ann, personId=carla) == [one]
    assert ids(as_ann, tagId=places) == [two]
    refused = as_ann.refused("GET", "/timeline/buckets", params={"tagId": add_tag(stack, ben, "x")})
    assert refused == (400, "Not found or no tag.read access")


def test_of_an_album_whosever_the_assets_are(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    hers, his = add_asset(stack, ann, NOON + timedelta(hours=1), is_favorite=True), add_asset(stack, ben)
    album_id = add_album(stack, ann, hers, his)
    refused = as_ben.refused("GET", "/timeline/buckets", params={"albumId": album_id})
    assert refused == (400, "Not found or no album.read access")
    shared = add_album(stack, ann, hers, his, shared_with=ben)
    assert months(as_ben, albumId=shared) == {"2024-03-01": 2}
    month = as_ben.get("/timeline/bucket", timeBucket="2024-03-01", albumId=shared)
    assert (month["id"], month["isFavorite"]) == ([hers, his], [False, False])
    assert ids(as_ann, albumId=album_id, userId=ann.user_id) == [hers]


def test_what_is_wrong_is_refused(ann: Person, ben: Person, as_ann: CheckedClient, as_nobody: CheckedClient) -> None:
    def refusal(path: str = "/timeline/buckets", **asked: str) -> tuple[int, str]:
        return as_ann.refused("GET", path, params=asked)

    assert refusal(userId=ben.user_id) == (400, "Not found or no timeline.read access")
    assert refusal(visibility="locked") == (401, "Elevated permission is required")
    assert refusal(withPartners="true")[1].startswith("withPartners is only supported")
    assert months(as_ann, withPartners="true", visibility="timeline") == {}
    for wrong in ({"bbox": "1,2,3"}, {"bbox": "1,2,3,nan"}, {"bbox": "0,9,1,8"}, {"order": "up"}, {"personId": "x"}):
        assert refusal(**wrong) == (400, "Validation failed"), wrong
    for bucket in ("2024-3-1", "2024-13-01", "now", ""):
        assert refusal("/timeline/bucket", timeBucket=bucket) == (400, "Validation failed"), bucket
    assert refusal("/timeline/bucket")[0] == 400
    assert ids(as_ann, "2024-03-01T00:00:00.000Z") == ids(as_ann, "9999-12-01") == []
    assert as_nobody.refused("GET", "/timeline/buckets") == (401, "Authentication required")
    assert as_ann.refused("GET", "/timeline/buckets", params={"albumId": str(uuid.uuid4())})[0] == 400


def test_what_others_threw_away_is_not_shown_in_their_albums(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    hers = [add_asset(stack, ann, status="trashed", deleted_at=NOON) for _ in range(2)]
    album_id = add_album(stack, ann, *hers, shared_with=ben)
    trash = {"albumId": album_id, "isTrashed": "true"}
    assert (months(as_ben, **trash), ids(as_ben, **trash)) == ({}, [])
    assert (months(as_ann, **trash), set(ids(as_ann, **trash))) == ({"2024-03-01": 2}, set(hers))
