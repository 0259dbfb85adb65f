"""Every entry of the timetable at its times: once, also after a pause, a change of the config, a change of clocks."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from cluster.loops.scheduler import Scheduler, TimetableEntry, by_cron
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import NewJob, Priority
from cluster.settings import read_settings
from cluster.system_config import SystemConfig, defaults, merge
from tests.fake_clock import NOON
from tests.fake_notes import FakeNotes
from tests.fakes import Loops

SCAN = JobName.LIBRARY_SCAN_QUEUE_ALL
QUEUE = QUEUE_OF_JOB[SCAN]
A_MINUTE, AN_HOUR, A_DAY = 60.0, 3600.0, 86_400.0
BY_CONFIG = by_cron("scan", lambda config: config.library.scan, SCAN)


def every(cron: str | None) -> TimetableEntry:
    """An entry whose jobs never merge, so that they can be counted."""
    return TimetableEntry("entry", lambda config: cron, lambda config: [NewJob(SCAN)])


class Town:
    """A store, notes and a clock that all schedulers of a cluster share, and a config that an admin changes."""

    def __init__(self) -> None:
        self.loops = Loops([])
        self.clock, self.notes = self.loops.clock, FakeNotes()
        self.config = defaults(read_settings({"HOME": "/home/x"}))

    def scheduler(self, *entries: TimetableEntry, zone: tzinfo = UTC) -> Scheduler:
        return Scheduler(self.loops.store, self.clock, entries, self.read_config, self.notes, zone)

    def read_config(self, tx: Any) -> SystemConfig:
        return self.config

    def set_scan(self, **changes: object) -> None:
        base = defaults(read_settings({"HOME": "/home/x"}))
        self.config = merge(base, {"library": {"scan": changes}})

    def count(self) -> int:
        return len(self.loops.jobs(QUEUE))

    def pass_time(self, seconds: float, *schedulers: Scheduler) -> None:
        """Time passes, and each scheduler looks once a minute."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < until:
            self.clock.sleep(A_MINUTE)
            for scheduler in schedulers:
                scheduler.tick()


@pytest.fixture
def town() -> Town:
    return Town()


def test_what_is_due_is_enqueued_in_its_minute_and_once(town: Town) -> None:
    scheduler = town.scheduler(every("5 12 * * *"))
    scheduler.tick()
    town.pass_time(4 * A_MINUTE, scheduler)
    assert town.count() == 0
    town.pass_time(A_MINUTE, scheduler)
    assert town.count() == 1
    town.pass_time(A_DAY - A_MINUTE, scheduler)
    assert town.count() == 1
    town.pass_time(A_MINUTE, scheduler)
    assert town.count() == 2


def test_a_new_server_makes_up_for_nothing(town: Town) -> None:
    scheduler = town.scheduler(every("0 2 * * *"))
    town.pass_time(AN_HOUR, scheduler)
    assert town.count() == 0


def test_of_many_schedulers_one_enqueues(town: Town) -> None:
    schedulers = [town.scheduler(every("*/7 * * * *")) for _ in range(5)]
    for scheduler in schedulers:
        scheduler.tick()
    town.pass_time(AN_HOUR, *schedulers)
    assert town.count() == 9  # 12:07 to 12:56, and 13:00


def test_runs_missed_while_no_server_ran_are_made_up_for_once(town: Town) -> None:
    town.scheduler(every("0 2 * * *")).tick()
    town.clock.sleep(10 * A_DAY)

    first, second = (town.scheduler(every("0 2 * * *")) for _ in range(2))
    first.tick()
    second.tick()
    assert town.count() == 1
    town.pass_time(13 * AN_HOUR, first, second)
    assert town.count() == 1
    town.pass_time(AN_HOUR, first, second)
    assert town.count() == 2


def test_a_changed_expression_holds_from_the_next_look(town: Town) -> None:
    scheduler = town.scheduler(BY_CONFIG)
    scheduler.tick()
    town.clock.sleep(30)
    town.set_scan(cronExpression="1 12 * * *")
    town.clock.sleep(30)
    scheduler.tick()
    assert town.count() == 1


def test_a_changed_expression_does_not_run_for_times_before_the_change(town: Town) -> None:
    scheduler = town.scheduler(BY_CONFIG)
    scheduler.tick()
    town.pass_time(AN_HOUR, scheduler)
    town.set_scan(cronExpression="30 12 * * *")
    town.pass_time(AN_HOUR, scheduler)
    assert town.count() == 0
    town.pass_time(23 * AN_HOUR, scheduler)
    assert town.count() == 1


def test_what_is_switched_off_does_not_run_and_is_not_made_up_for(town: Town) -> None:
    scheduler = town.scheduler(BY_CONFIG)
    scheduler.tick()
    town.set_scan(enabled=False)
    town.pass_time(3 * A_DAY, scheduler)
    town.set_scan()
    town.pass_time(AN_HOUR, scheduler)
    assert town.count() == 0
    town.pass_time(A_DAY, scheduler)
    assert town.count() == 1


def test_a_second_change_that_nobody_has_seen_starts_anew(town: Town) -> None:
    """Two schedulers, of which the one that saw the old expression is gone."""
    town.set_scan(cronExpression="0 6 * * *")
    town.scheduler(BY_CONFIG).tick()
    town.clock.sleep(A_DAY)
    town.set_scan(cronExpression="0 7 * * *")
    scheduler = town.scheduler(BY_CONFIG)
    scheduler.tick()
    assert town.count() == 0
    town.pass_time(A_DAY, scheduler)
    assert town.count() == 1


@pytest.mark.parametrize(
    ("start", "cron", "runs"),
    [
        ("2024-03-30T12:00", "30 2 * * *", ["31 03:30", "01 02:30"]),
        ("2024-10-26T12:00", "30 2 * * *", ["27 02:30", "28 02:30"]),
        ("2024-03-30T12:00", "0 0 * * *", ["31 00:00", "01 00:00"]),
        ("2024-10-26T12:00", "0 0 * * *", ["27 00:00", "28 00:00"]),
    ],
)
def test_no_run_is_skipped_or_doubled_when_clocks_change(
    town: Town, start: str, cron: str, runs: Sequence[str]
) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    town.clock.time = datetime.fromisoformat(start).replace(tzinfo=UTC)
    scheduler = town.scheduler(every(cron), zone=berlin)
    seen: list[str] = []
    scheduler.tick()
    for _ in range(48 * 60):
        before = town.count()
        town.pass_time(A_MINUTE, scheduler)
        if town.count() > before:
            seen.append(f"{town.clock.now().astimezone(berlin):%d %H:%M}")
    assert seen == list(runs)


def test_nodes_whose_clocks_differ_run_nothing_twice(town: Town) -> None:
    ahead, behind = town.scheduler(every("*/10 * * * *")), town.scheduler(every("*/10 * * * *"))
    behind.tick()
    for _ in range(60):
        town.clock.sleep(A_MINUTE + 20)
        ahead.tick()
        town.clock.sleep(-20)
        behind.tick()
    assert town.count() == 6


def test_a_clock_that_was_years_ahead_does_not_stop_the_timetable(town: Town) -> None:
    town.clock.time = NOON + timedelta(days=4000)
    town.scheduler(every("0 2 * * *")).tick()
    town.clock.time = NOON
    scheduler = town.scheduler(every("0 2 * * *"))
    scheduler.tick()
    town.pass_time(15 * AN_HOUR, scheduler)
    assert town.count() == 1


def test_it_wakes_in_every_minute_and_never_before_it(town: Town) -> None:
    scheduler = town.scheduler(every("* * * * *"))
    for start_s in (0.0, 0.001, 30.5, 59.999):
        town.clock.time = NOON
        town.clock.sleep(start_s)
        town.clock.sleep(scheduler.tick())
        assert (town.clock.now() - NOON).total_seconds() // 60 == 1


def test_expressions_with_seconds_are_looked_at_every_second(town: Town) -> None:
    scheduler = town.scheduler(every("*/20 * * * * *"))
    scheduler.tick()
    until = town.clock.now() + timedelta(minutes=2)
    while town.clock.now() < until:
        town.clock.sleep(scheduler.tick())
    scheduler.tick()
    assert town.count() == 6


def test_all_entries_that_are_due_run_and_wait_behind_people(town: Town) -> None:
    scheduler = town.scheduler(BY_CONFIG, every("0 0 * * *"))
    scheduler.tick()
    town.pass_time(12 * AN_HOUR, scheduler)
    assert town.count() == 2
    (job,) = BY_CONFIG.jobs(town.config)
    assert (job.name, job.priority, job.dedup_key) == (SCAN, Priority.NIGHTLY, str(SCAN))


def test_a_run_that_nobody_took_up_is_not_doubled(town: Town) -> None:
    town.set_scan(cronExpression="*/5 * * * *")
    scheduler = town.scheduler(BY_CONFIG)
    scheduler.tick()
    town.pass_time(AN_HOUR, scheduler)
    assert town.count() == 1
