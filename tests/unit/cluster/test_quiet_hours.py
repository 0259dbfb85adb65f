"""Hours of the day in which a queue starts nothing."""

from datetime import datetime

import pytest

from cluster.quiet_hours import parse_quiet_hours


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-05-01T{text}")


@pytest.mark.parametrize(
    ("hours", "time", "quiet"),
    [
        ("22:00-06:00", "21:59:59", False),
        ("22:00-06:00", "22:00:00", True),
        ("22:00-06:00", "00:00:00", True),
        ("22:00-06:00", "05:59:59", True),
        ("22:00-06:00", "06:00:00", False),
        ("09:30-17:00", "09:30:00", True),
        ("09:30-17:00", "17:00:00", False),
        ("09:30-17:00", "03:00:00", False),
    ],
)
def test_they_hold_from_their_begin_to_before_their_end(hours: str, time: str, quiet: bool) -> None:
    assert parse_quiet_hours(hours).hold(at(time)) is quiet


def test_they_say_until_when_they_hold() -> None:
    hours = parse_quiet_hours("22:00-06:00")
    assert hours.reason(at("23:00:00")) == "quiet hours until 06:00 (22:00-06:00)"
    assert hours.reason(at("12:00:00")) == ""


@pytest.mark.parametrize("wrong", ["", "22-6", "24:00-06:00", "22:00-22:00", "22:00 - 06:00", "22:00-06:00\n"])
def test_anything_else_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"[Qq]uiet hours"):
        parse_quiet_hours(wrong)
