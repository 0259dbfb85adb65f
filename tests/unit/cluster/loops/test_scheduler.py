"""What is due in a minute is enqueued in that minute, once across the cluster."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from cluster.loops.scheduler import Scheduler, TimetableEntry
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import JobSpec, NewJob
from cluster.queue.store import Transaction
from tests.fake_clock import NOON
from tests.fakes import Loops

NIGHTLY = JobName.PERSON_CLEANUP
QUEUE = QUEUE_OF_JOB[NIGHTLY]


class Minutes:
    """The shared row that says which minutes are done."""

    def __init__(self) -> None:
        self.done: set[datetime] = set()

    def __call__(self, tx: Transaction, minute: datetime) -> bool:
        first = minute not in self.done
        self.done.add(minute)
        return first


@pytest.fixture
def loops() -> Loops:
    return Loops([JobSpec(NIGHTLY)])


def scheduler(loops: Loops, minutes: Minutes, entries: Sequence[TimetableEntry] | None = None) -> Scheduler:
    at_noon = TimetableEntry("nightly", lambda minute: minute == NOON, lambda: [NewJob(NIGHTLY)])
    return Scheduler(loops.store, loops.clock, [at_noon] if entries is None else entries, minutes)


def test_what_is_due_is_enqueued_once_in_its_minute(loops: Loops) -> None:
    nightly = scheduler(loops, Minutes())
    loops.clock.sleep(31.5)
    assert nightly.tick() == 29
    loops.clock.sleep(10)
    nightly.tick()
    assert loops.states(QUEUE) == ["waiting"]


def test_of_two_controllers_one_enqueues(loops: Loops) -> None:
    minutes = Minutes()
    scheduler(loops, minutes).tick()
    scheduler(loops, minutes).tick()
    assert loops.states(QUEUE) == ["waiting"]


def test_a_minute_in_which_nothing_is_due_is_not_marked(loops: Loops) -> None:
    minutes = Minutes()
    loops.clock.sleep(60)
    scheduler(loops, minutes).tick()
    assert loops.states(QUEUE) == []
    assert minutes.done == set()


def test_it_wakes_in_every_minute_and_never_before_it(loops: Loops) -> None:
    nightly = scheduler(loops, Minutes(), [])
    for start_s in (0.0, 0.001, 30.5, 59.999):
        loops.clock.time = NOON
        loops.clock.sleep(start_s)
        loops.clock.sleep(nightly.tick())
        assert (loops.clock.now() - NOON).total_seconds() // 60 == 1


def test_all_that_is_due_in_one_minute_is_enqueued(loops: Loops) -> None:
    def always(minute: datetime) -> bool:
        return True

    entries = [TimetableEntry(str(number), always, lambda: [NewJob(NIGHTLY)]) for number in range(3)]
    scheduler(loops, Minutes(), entries).tick()
    assert loops.states(QUEUE) == ["waiting"] * 3
