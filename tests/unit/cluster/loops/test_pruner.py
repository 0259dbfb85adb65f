"""Old rows go a little at a time, stray files twice a day."""

from datetime import datetime, timedelta

import pytest

from cluster.loops import pruner as pruner_module
from cluster.loops.pruner import EVERY_S, KEEP, WHILE_BUSY_S, Pruner
from cluster.names import JobName
from cluster.queue.job import JobSpec, asset_job
from tests.fakes import Loops

THUMBNAILS = JobName.ASSET_GENERATE_THUMBNAILS


@pytest.fixture
def loops() -> Loops:
    return Loops([JobSpec(THUMBNAILS, batch=8)])


@pytest.fixture
def swept() -> list[bool]:
    return []


@pytest.fixture
def pruner(loops: Loops, swept: list[bool]) -> Pruner:
    def sweep() -> int:
        swept.append(True)
        return 0

    return Pruner(loops.store, loops.clock, sweep, lambda before, limit: 0)


def finish(loops: Loops, count: int) -> None:
    loops.enqueue(*(asset_job(THUMBNAILS, f"a{number}") for number in range(count)))
    for call in loops.dispatch():
        loops.submitter.answer(call)
    loops.settle()


def test_history_is_kept_for_two_weeks(loops: Loops, pruner: Pruner) -> None:
    finish(loops, 3)
    loops.clock.sleep(KEEP.total_seconds())
    pruner.tick()
    assert len(loops.store.tables.history) == 3
    loops.clock.sleep(60)
    pruner.tick()
    assert loops.store.tables.history == []
    assert loops.store.tables.statistics == {}


def test_while_there_is_more_it_comes_back_soon(
    loops: Loops, pruner: Pruner, swept: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruner_module, "ROWS_PER_TICK", 2)
    finish(loops, 3)
    loops.clock.sleep((KEEP + timedelta(minutes=2)).total_seconds())
    assert pruner.tick() == WHILE_BUSY_S
    assert swept == []
    assert pruner.tick() == EVERY_S
    assert loops.store.tables.history == []


def test_files_are_swept_at_the_start_and_then_twice_a_day(loops: Loops, pruner: Pruner, swept: list[bool]) -> None:
    for _ in range(24 * 6):
        pruner.tick()
        loops.clock.sleep(EVERY_S)
    assert len(swept) == 2


def test_what_admins_did_is_kept_for_a_year(loops: Loops) -> None:
    asked: list[datetime] = []

    def prune_actions(before: datetime, limit: int) -> int:
        asked.append(before)
        return limit if len(asked) == 1 else 0

    pruner = Pruner(loops.store, loops.clock, lambda: 0, prune_actions)
    assert pruner.tick() == WHILE_BUSY_S
    assert pruner.tick() == EVERY_S
    assert asked == [loops.clock.now() - timedelta(days=365)] * 2
