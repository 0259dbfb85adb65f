"""The loops together: a start, work, a restart, a stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.clock import Clock
from cluster.loops.controller import Controller, Surroundings
from cluster.loops.dispatcher import LEASE_S, Identity
from cluster.loops.in_flight import Beat
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import Handler, JobSpec, Lease, Place, asset_job
from cluster.queue.memory_store import MemoryQueueStore
from cluster.queue.store import Transaction
from tests.fake_clock import FakeClock
from tests.fakes import FakeHandler, FakeSubmitter, nothing_follows

THUMBNAILS = JobName.ASSET_GENERATE_THUMBNAILS
QUEUE = QUEUE_OF_JOB[THUMBNAILS]
SOON_S, STOP_S = 5.0, 0.05


class Bench:
    """A store that outlives the controllers over it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryQueueStore(self.clock)
        self.submitter = FakeSubmitter()
        self.handler = FakeHandler(JobSpec(THUMBNAILS, batch=2))
        self.controllers: list[Controller] = []

    def controller(self, incarnation: str, clock: Clock | None = None) -> Controller:
        handlers: dict[JobName, Handler] = {THUMBNAILS: self.handler}
        made = Controller(
            self.store,
            handlers,
            nothing_follows,
            {Place.CLUSTER: self.submitter, Place.ROW_JOBS: FakeSubmitter()},
            Identity("controller", incarnation),
            Surroundings(
                clock=clock or self.clock,
                concurrency=lambda queue: 1,
                cpus=lambda: 8.0,
                media_present=lambda: True,
                rows_changed=lambda: False,
                sweep_files=lambda: 0,
                prune_actions=lambda before, limit: 0,
                watch_libraries=lambda ours: 60.0,
                schedule=lambda: 60.0,
            ),
        )
        self.controllers.append(made)
        return made

    def enqueue(self, count: int) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, [asset_job(THUMBNAILS, f"a{number}") for number in range(count)])

    def leased_by(self, incarnation: str) -> list[Lease]:
        with self.store.transaction() as tx:
            return self.store.lease(tx, QUEUE, 100, LEASE_S, "controller", incarnation)

    def states(self) -> list[str]:
        return sorted(str(row.state) for row in self.store.tables.rows.values())


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for controller in made.controllers:
        controller.stop(STOP_S)


def soon(condition: Callable[[], bool]) -> bool:
    until_s = time.monotonic() + SOON_S
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.002)
    return True


def test_what_waits_is_leased_worked_on_and_settled(bench: Bench) -> None:
    bench.enqueue(5)
    bench.controller("first").start()

    def work() -> bool:
        for call in bench.submitter.out:
            bench.submitter.answer(call)
        return bench.states() == []

    assert soon(work)
    assert sorted(str(asset) for asset, _ in bench.handler.saved) == ["a0", "a1", "a2", "a3", "a4"]


def test_a_restarted_controller_releases_its_predecessors_leases_at_once_and_charges_none(bench: Bench) -> None:
    bench.enqueue(4)
    assert len(bench.leased_by("first")) == 4
    bench.controller("second").start()
    assert soon(lambda: len(bench.submitter.out) == 1)
    assert {lease.attempt for lease in bench.submitter.out[0].leases} == {1}
    assert bench.states() == ["active"] * 2 + ["waiting"] * 2


def test_what_it_leased_itself_is_not_released_by_its_start(bench: Bench) -> None:
    bench.enqueue(1)
    (lease,) = bench.leased_by("first")
    bench.controller("first").start()
    with bench.store.transaction() as tx:
        assert bench.store.held(tx, [lease]) == {lease.job_id}


def test_a_beat_of_a_call_of_its_predecessor_is_answered_with_drop(bench: Bench) -> None:
    assert bench.controller("second").beat([Beat("old", "node-1", 0, 1.0)]) == {"old"}


def test_reasons_that_its_predecessor_gave_are_forgotten(bench: Bench) -> None:
    with bench.store.transaction() as tx:
        bench.store.say_why_waiting(tx, {QUEUE: "no live node serves it"})
    bench.controller("second").start()
    with bench.store.transaction() as tx:
        assert bench.store.counts(tx)[QUEUE].wait_reason == ""


def test_it_waits_for_a_database_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = bench.store.transaction, []

    @contextmanager
    def away(*, durable: bool = False, reading: bool = False) -> Iterator[Transaction]:
        tries.append(True)
        if len(tries) < 4:
            raise ConnectionError("the database is away")
        with real() as tx:
            yield tx

    monkeypatch.setattr(bench.store, "transaction", away)
    starting = threading.Thread(target=bench.controller("first").start)
    starting.start()
    starting.join(SOON_S)
    assert not starting.is_alive()
    bench.enqueue(1)
    assert soon(lambda: len(bench.submitter.out) == 1)


def test_stopping_gives_back_what_is_out_and_charges_none(bench: Bench) -> None:
    bench.enqueue(3)
    controller = bench.controller("first")
    controller.start()
    assert soon(lambda: len(bench.submitter.out) == 1)
    controller.stop(STOP_S)
    assert bench.states() == ["waiting"] * 3
    assert bench.submitter.out == []
    assert {row.attempts for row in bench.store.tables.rows.values()} == {0}


def test_stopping_lets_end_what_is_out_and_starts_nothing_more(bench: Bench) -> None:
    bench.enqueue(3)
    controller = bench.controller("first")
    controller.start()
    assert soon(lambda: len(bench.submitter.out) == 1)
    (call,) = bench.submitter.out
    stopping = threading.Thread(target=controller.stop, args=(SOON_S,))
    stopping.start()
    assert soon(lambda: controller._dispatch_loop.stopping)
    bench.submitter.answer(call)
    stopping.join(SOON_S)
    assert not stopping.is_alive()
    assert bench.submitter.out == []
    assert len(bench.handler.saved) == len(call.leases)
    assert bench.states() == ["waiting"] * (3 - len(call.leases))
