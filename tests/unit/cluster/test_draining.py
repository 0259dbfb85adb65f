"""What is remembered of a drain, and when what runs is given back."""

from datetime import UTC, datetime, timedelta

from cluster.draining import Drain, drain_to_json, drains_from_json, leaving

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_drain_is_remembered_with_the_time_at_which_it_gives_back() -> None:
    remembered = {"attic": drain_to_json(Drain("a new disk", by="Ada", at=NOON), 90)}
    (drain,) = drains_from_json(remembered, NOON).values()
    assert (drain.at, drain.give_back_at) == (NOON, NOON + timedelta(seconds=90))
    assert drain.words() == "a new disk, by Ada"


def test_a_drain_with_an_end_is_over_then() -> None:
    end = NOON + timedelta(minutes=10)
    remembered = {"attic": drain_to_json(Drain("benched", at=NOON, until=end), 60)}
    assert drains_from_json(remembered, end - timedelta(seconds=1))["attic"].until == end
    assert drains_from_json(remembered, end) == {}


def test_a_machine_that_may_take_its_time_gives_nothing_back() -> None:
    assert leaving(None).give_back_at is None
