"""A loop ticks, sleeps, wakes, survives errors and stops."""

import logging
import threading
from collections.abc import Iterator

import pytest

from cluster.loops import loop as loop_module
from cluster.loops.loop import Loop

SOON_S = 5.0


class Ticks:
    """Counts ticks, and lets a test wait for the next one."""

    def __init__(self, *answers: float | Exception) -> None:
        self.answers = list(answers)
        self.came = threading.Semaphore(0)

    def __call__(self) -> float:
        answer = self.answers.pop(0) if self.answers else 3600.0
        self.came.release()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def next(self) -> bool:
        return self.came.acquire(timeout=SOON_S)


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def loop(ticks: Ticks) -> Iterator[Loop]:
    made = Loop("test", ticks)
    yield made
    made.stop()


def test_it_ticks_again_after_the_time_that_the_tick_says(loop: Loop, ticks: Ticks) -> None:
    ticks.answers = [0.0, 0.001]
    loop.start()
    assert all(ticks.next() for _ in range(3))
    assert not ticks.came.acquire(timeout=0.01)


def test_waking_cuts_the_sleep_short(loop: Loop, ticks: Ticks) -> None:
    loop.start()
    assert ticks.next()
    loop.wake()
    assert ticks.next()


def test_a_wake_during_a_tick_is_not_lost(loop: Loop, ticks: Ticks) -> None:
    in_tick, may_end, ticked = threading.Event(), threading.Event(), []

    def tick() -> float:
        ticked.append(True)
        in_tick.set()
        may_end.wait(SOON_S)
        if len(ticked) == 2:
            ticks.came.release()
        return 3600.0

    other = Loop("other", tick)
    other.start()
    assert in_tick.wait(SOON_S)
    other.wake()
    may_end.set()
    assert ticks.next()
    other.stop()


def test_a_tick_that_raises_is_logged_and_tried_again(
    loop: Loop, ticks: Ticks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop_module, "FIRST_PAUSE_S", 0.001)
    ticks.answers = [ValueError("the database is away"), ValueError("still away"), 3600.0]
    with caplog.at_level(logging.ERROR):
        loop.start()
        assert all(ticks.next() for _ in range(3))
    assert "the database is away" in caplog.text


def test_it_stops_while_it_sleeps_and_does_not_tick_again(loop: Loop, ticks: Ticks) -> None:
    loop.start()
    assert ticks.next()
    loop.stop(SOON_S)
    loop.wake()
    assert loop.stopping
    assert not ticks.came.acquire(timeout=0.01)


def test_one_that_never_started_can_be_stopped(loop: Loop) -> None:
    loop.stop()
    assert loop.stopping
