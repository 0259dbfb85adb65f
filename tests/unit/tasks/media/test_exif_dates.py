"""When a picture was taken and in which zone: one row per rule of spec jobs-media §1.2."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.media.dates import DATE_TAGS, Moment, moment, parse_stamp, read_dates

PARIS = {"GPSLatitude": 48.8566, "GPSLongitude": 2.3522}


def taken(tags: dict[str, Any], sidecar: dict[str, Any] | None = None) -> Moment | None:
    return moment(read_dates(tags), read_dates(sidecar) if sidecar is not None else None)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("tags", "instant", "wall", "zone"),
    [
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 12:00:00"}, "2023-07-01T12:00", "2023-07-01T12:00", None, id="no zone"
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 12:00:00", "OffsetTimeOriginal": "+02:00"},
            *("2023-07-01T10:00", "2023-07-01T12:00", "UTC+2"),
            id="offset tag",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 12:00:00", "OffsetTimeOriginal": "-03:30"},
            *("2023-07-01T15:30", "2023-07-01T12:00", "UTC-3:30"),
            id="offset of half an hour",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 12:00:00", "OffsetTimeOriginal": "+00:00"},
            *("2023-07-01T12:00", "2023-07-01T12:00", "UTC"),
            id="offset tag of zero",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 12:00:00", "OffsetTimeOriginal": "+99:00", **PARIS},
            *("2023-07-01T10:00", "2023-07-01T12:00", "Europe/Paris"),
            id="impossible offset falls back to the position",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 12:00:00", "OffsetTimeOriginal": "+09:00", **PARIS},
            *("2023-07-01T03:00", "2023-07-01T12:00", "UTC+9"),
            id="offset tag wins over position",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:01:01 12:00:00", "TimeZoneOffset": "-8 -8"},
            *("2023-01-01T20:00", "2023-01-01T12:00", "UTC-8"),
            id="offset in hours, twice",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:01:01 12:00:00", "TimeZone": "Asia/Tokyo"},
            *("2023-01-01T03:00", "2023-01-01T12:00", "Asia/Tokyo"),
            id="named zone",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:01:01 12:00:00", "TimeZone": "Asia/Atlantis", **PARIS},
            *("2023-01-01T11:00", "2023-01-01T12:00", "Europe/Paris"),
            id="a zone that nobody knows falls back to the position",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:01:01 12:00:00", **PARIS},
            *("2023-01-01T11:00", "2023-01-01T12:00", "Europe/Paris"),
            id="position in winter",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:01:01 12:00:00", "GPSLatitude": 0, "GPSLongitude": 0},
            *("2023-01-01T12:00", "2023-01-01T12:00", None),
            id="position without a fix",
        ),
        pytest.param(
            {"CreateDate": "2000:09:27 14:35:33+02:00"},
            *("2000-09-27T12:35:33", "2000-09-27T14:35:33", "UTC+2"),
            id="offset within the date",
        ),
        pytest.param(
            {"CreateDate": "2000:09:27 14:35:33-04:00", **PARIS},
            *("2000-09-27T18:35:33", "2000-09-27T20:35:33", "Europe/Paris"),
            id="the date's own offset gives the instant, the position the wall clock",
        ),
        pytest.param(
            {"CreateDate": "2000:09:27 14:35:33Z"}, "2000-09-27T14:35:33", "2000-09-27T14:35:33", "UTC+0", id="Z"
        ),
        pytest.param(
            {"CreateDate": "2000:09:27 14:35:33+00:00"},
            *("2000-09-27T14:35:33", "2000-09-27T14:35:33", "UTC+0"),
            id="ends in +00:00",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 17:29:30", "GPSDateTime": "2023:07:01 12:00:11Z"},
            *("2023-07-01T11:59:30", "2023-07-01T17:29:30", "UTC+5:30"),
            id="difference between camera and satellite clock",
        ),
        pytest.param(
            {"DateTimeOriginal": "2023:07:01 12:00:00", "GPSDateTime": "2020:01:01 12:00:00Z"},
            *("2023-07-01T12:00", "2023-07-01T12:00", None),
            id="difference of years says nothing",
        ),
        pytest.param(
            {"GPSDateTime": "2023:07:01 12:00:00Z", **PARIS},
            *("2023-07-01T12:00", "2023-07-01T14:00", "Europe/Paris"),
            id="satellite time alone is UTC",
        ),
        pytest.param(
            {"MIMEType": "video/quicktime", "CreateDate": "2023:07:01 12:00:00"},
            *("2023-07-01T12:00", "2023-07-01T12:00", "UTC"),
            id="videos are in UTC",
        ),
        pytest.param(
            {"MIMEType": "video/quicktime", "CreateDate": "2023:07:01 12:00:00", **PARIS},
            *("2023-07-01T12:00", "2023-07-01T14:00", "Europe/Paris"),
            id="videos are in UTC and shown where they were made",
        ),
    ],
)
def test_instant_wall_clock_and_zone(tags: dict[str, Any], instant: str, wall: str, zone: str | None) -> None:
    assert taken(tags) == Moment(at(instant), at(wall), zone)


@pytest.mark.parametrize("later", range(1, len(DATE_TAGS)))
def test_the_earlier_tag_of_the_list_wins(later: int) -> None:
    tags = {DATE_TAGS[later - 1]: "2001:01:01 00:00:00Z", DATE_TAGS[later]: "2002:01:01 00:00:00Z"}
    found = taken(tags)
    assert found is not None
    assert found.taken_at.year == 2001


def test_a_junk_date_gives_way_to_the_next_tag() -> None:
    found = taken({"DateTimeOriginal": "0000:00:00 00:00:00", "CreateDate": "2002:01:01 00:00:00"})
    assert found is not None
    assert found.taken_at == at("2002-01-01")


@pytest.mark.parametrize(
    "junk",
    [
        *("0000:00:00 00:00:00", "2023:13:01 00:00:00", "2023:02:30 00:00:00", "2023:01:01 25:00:00"),
        *("    :  :     :  :  ", "2023:01:01", "2023", "", "yesterday", "٢٠٢٣:01:01 00:00:00"),
        *("2023:01:01 12:00:00+99:99", "2023:01:01 12:00:00 \n-x"),
        *(None, 2023, 2023.5, True, ["2023:01:01 00:00:00"], {"a": 1}),
    ],
)
def test_junk_is_no_date(junk: Any) -> None:
    assert parse_stamp(junk) is None
    assert taken({"DateTimeOriginal": junk}) is None


@pytest.mark.parametrize("edge", ["0001:01:01 00:00:00+14:00", "9999:12:31 23:59:59-12:00"])
def test_an_instant_outside_the_calendar_is_no_date(edge: str) -> None:
    assert taken({"DateTimeOriginal": edge}) is None


def test_the_wall_clock_at_the_end_of_the_calendar_falls_back_to_utc() -> None:
    found = taken({"GPSDateTime": "9999:12:31 23:59:59Z", **PARIS})
    assert found is not None
    assert found.local == found.taken_at


def test_fractions_are_cut_to_milliseconds() -> None:
    found = taken({"SubSecDateTimeOriginal": "2025:06:01 16:59:26.0239"})
    assert found is not None
    assert found.taken_at.microsecond == 23_000


def test_a_sidecar_with_a_date_replaces_date_and_zone() -> None:
    found = taken(
        {"DateTimeOriginal": "2023:07:01 12:00:00", "OffsetTimeOriginal": "+02:00", **PARIS},
        {"CreateDate": "2010:01:01 08:00:00"},
    )
    assert found == Moment(at("2010-01-01T08:00"), at("2010-01-01T08:00"), None)


def test_a_sidecar_with_only_a_position_replaces_the_zone_alone() -> None:
    """The original's wall clock was read before the sidecar's zone was known: as UTC, then shown in that zone."""
    found = taken({"DateTimeOriginal": "2023:07:01 12:00:00"}, PARIS)
    assert found == Moment(at("2023-07-01T12:00"), at("2023-07-01T14:00"), "Europe/Paris")


def test_a_sidecar_without_dates_leaves_the_original_alone() -> None:
    tags = {"DateTimeOriginal": "2023:07:01 12:00:00", "OffsetTimeOriginal": "+02:00"}
    assert taken(tags, {"Rating": 3}) == taken(tags)
