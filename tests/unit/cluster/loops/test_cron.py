"""Cron expressions and the times that they stand for, with the world's real time zones."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cluster.loops.cron import parse_cron

BERLIN, NEW_YORK, LORD_HOWE = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe")
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(expression: str, start: str, end: str, zone: ZoneInfo | None = None) -> list[str]:
    """Every time in (start, end], as somebody sees it who looks once a minute."""
    cron, now, found = parse_cron(expression), utc(start), []
    seen_to, until = now, utc(end)
    while now < until:
        now += MINUTE
        due_at = cron.latest(seen_to, now, zone or UTC)  # type: ignore[arg-type]
        if due_at is not None:
            found.append(due_at)
            seen_to = due_at
    return [f"{one.astimezone(zone or UTC):%d %H:%M}" for one in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 02 * * *", ["02 02:00", "03 02:00"]),
        ("*/20 13 2 * *", ["02 13:00", "02 13:20", "02 13:40"]),
        ("50/5 7 2 * *", ["02 07:50", "02 07:55"]),
        ("0 8-10/2,22 3 jun *", ["03 08:00", "03 10:00", "03 22:00"]),
        ("15 6 * JUN Mon", ["03 06:15"]),
        ("15 6 * * mon-tue", ["03 06:15"]),
        ("15 6 * * 7", ["02 06:15"]),
        ("15 6 * * 0", ["02 06:15"]),
        ("15 6 * * 5-7", ["02 06:15"]),
        ("0 12 1 1 *", []),
        ("0 12 31 4 *", []),
    ],
)
def test_each_field_says_when(expression: str, expected: list[str]) -> None:
    # 2024-06-02 is a Sunday
    assert times(expression, "2024-06-01T23:59", "2024-06-03T23:59") == expected


def test_where_days_and_weekdays_both_leave_some_out_one_is_enough() -> None:
    found = times("0 0 13 * fri", "2024-09-01T00:00", "2024-09-30T00:00")
    assert found == ["06 00:00", "13 00:00", "20 00:00", "27 00:00"]


def test_the_day_after_february_in_a_leap_year_is_found_after_years() -> None:
    cron = parse_cron("0 0 29 2 *")
    assert cron.latest(utc("2021-01-01"), utc("2026-12-31"), UTC) == utc("2024-02-29")
    assert cron.latest(utc("2024-02-29"), utc("2026-12-31"), UTC) is None


def test_with_six_fields_the_first_is_seconds() -> None:
    cron = parse_cron("15,45 30 2 * * *")
    day = "2024-06-02T02:"
    assert cron.latest(utc(f"{day}30:00"), utc(f"{day}30:44"), UTC) == utc(f"{day}30:15")
    assert cron.latest(utc(f"{day}30:15"), utc(f"{day}30:44"), UTC) is None
    assert cron.latest(utc(f"{day}00:00"), utc(f"{day}59:00"), UTC) == utc(f"{day}30:45")
    assert (cron.on_whole_minutes, parse_cron("30 2 * * *").on_whole_minutes) == (False, True)


def test_the_start_is_left_out_and_the_end_is_not() -> None:
    cron, at = parse_cron("0 2 * * *"), utc("2024-06-02T02:00")
    assert cron.latest(at - MINUTE, at, UTC) == at
    assert cron.latest(at, at + MINUTE, UTC) is None
    assert cron.latest(at - MINUTE, at - timedelta(microseconds=1), UTC) is None


def test_what_lies_in_the_missing_hour_happens_once_and_later() -> None:
    # on 2024-03-31 Berlin has no time from 02:00 to 03:00
    day = ("2024-03-30T22:00", "2024-03-31T22:00")
    assert times("30 2 * * *", *day, BERLIN) == ["31 03:30"]
    assert times("0 2 * * *", *day, BERLIN) == ["31 03:00"]
    assert times("30 2,3 * * *", *day, BERLIN) == ["31 03:30"]
    assert times("*/30 * * * *", "2024-03-31T00:00", "2024-03-31T02:00", BERLIN) == [
        "31 01:30",
        "31 03:00",
        "31 03:30",
        "31 04:00",
    ]


def test_what_belongs_to_an_hour_that_comes_twice_happens_once() -> None:
    # on 2024-10-27 Berlin has 02:00 to 03:00 twice
    day = ("2024-10-26T22:00", "2024-10-27T23:00")
    assert times("30 2 * * *", *day, BERLIN) == ["27 02:30"]
    assert parse_cron("30 2 * * *").latest(utc(day[0]), utc(day[1]), BERLIN) == utc("2024-10-27T00:30")


def test_what_belongs_to_every_hour_happens_in_both() -> None:
    found = times("0 * * * *", "2024-10-26T23:30", "2024-10-27T02:30", BERLIN)
    assert found == ["27 02:00", "27 02:00", "27 03:00"]
    # Lord Howe Island turns its clocks by half an hour: from 01:30 to 02:00 twice
    found = times("*/15 * * * *", "2024-04-06T14:20", "2024-04-06T15:35", LORD_HOWE)
    assert found == ["07 01:30", "07 01:45", "07 01:30", "07 01:45", "07 02:00"]


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, ZoneInfo("Asia/Beirut"), ZoneInfo("Pacific/Apia")])
@pytest.mark.parametrize("expression", ["0 0 * * *", "30 2 * * *", "45 1 * * *", "5 3 * * *", "59 23 * * *"])
def test_a_daily_time_happens_once_on_every_day(zone: ZoneInfo, expression: str) -> None:
    cron, now = parse_cron(expression), datetime(2023, 12, 31, 12, 0, tzinfo=UTC)
    seen_to, days = now, Counter[object]()
    for _ in range(366 * 24):
        now += timedelta(hours=1)
        due_at = cron.latest(seen_to, now, zone)
        if due_at is not None:
            assert now - due_at < timedelta(hours=1)
            days[due_at.astimezone(zone).date()] += 1
            seen_to = due_at
    assert set(days.values()) == {1}
    assert len(days) == 366


def test_a_day_that_an_island_skipped_takes_no_run_with_it() -> None:
    # Samoa had no 2011-12-30
    found = times("0 6 * * *", "2011-12-28T00:00", "2012-01-01T00:00", ZoneInfo("Pacific/Apia"))
    assert found == ["28 06:00", "29 06:00", "31 06:00", "01 06:00"]


@pytest.fixture
def machine_in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_in_berlin")
@pytest.mark.parametrize("expression", ["30 2 * * *", "*/30 * * * *", "0 3 * * *", "15 2 * * sun"])
def test_the_machine_s_own_zone_is_as_good_as_its_name(expression: str) -> None:
    assert os.environ["TZ"] == "Europe/Berlin"
    cron = parse_cron(expression)
    for day in ("2024-03-31", "2024-10-27", "2024-07-01"):
        now = utc(f"{day}T00:00") - timedelta(hours=4)
        for _ in range(60):
            now += timedelta(minutes=30)
            before = now - timedelta(minutes=30)
            assert cron.latest(before, now, None) == cron.latest(before, now, BERLIN)


def test_a_wrong_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="Field hour cannot be 24"):
        parse_cron("0 24 * * *")


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 2 * * *", "2026-05-01 01:59", "2026-05-01 02:00"),
        ("0 2 * * *", "2026-05-01 02:00", "2026-05-02 02:00"),
        ("*/15 * * * *", "2026-05-01 23:50", "2026-05-02 00:00"),
        ("0 0 29 2 *", "2026-05-01 00:00", "2028-02-29 00:00"),
        ("30 0 0 1 1 *", "2026-01-01 00:00:00", "2026-01-01 00:00:30"),
    ],
)
def test_the_next_time_is_the_first_after(expression: str, after: str, expected: str) -> None:
    found = parse_cron(expression).next(datetime.fromisoformat(after).replace(tzinfo=UTC), UTC)
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_day_that_never_comes_has_no_next_time() -> None:
    assert parse_cron("0 0 31 2 *").next(datetime(2026, 5, 1, tzinfo=UTC), UTC) is None
