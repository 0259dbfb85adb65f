"""What the meter makes of a queue's rows, on both databases."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from cluster.db.engine import Database
from cluster.db.queries import readings
from cluster.db.queue_store import SqlQueueStore
from cluster.loops.in_flight import InFlight
from cluster.loops.loop import Loop
from cluster.loops.meter import Meter
from cluster.metrics import (
    DURATION,
    JOBS,
    LOOP_FAILURES,
    LOOP_TICKS,
    QUEUE_HELD,
    QUEUE_JOBS,
    QUEUE_OLDEST,
    QUEUE_PAUSED,
    RUN_SECONDS,
    Kind,
    Metric,
)
from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import FailedAttempt, Lease, asset_job
from cluster.queue.statistics import Mark, Readings
from cluster.queue.store import Fail, Finish, Retry, Settlement

THUMBNAILS = JobName.ASSET_GENERATE_THUMBNAILS
QUEUE = QUEUE_OF_JOB[THUMBNAILS]


class Recorded:
    """Metrics as Prometheus would have them."""

    def __init__(self) -> None:
        self.values: Counter[tuple[str, ...]] = Counter()
        self.observed: list[tuple[tuple[str, ...], float]] = []

    def record(self, metric: Metric, value: float, *tags: str) -> None:
        assert len(tags) == len(metric.tags), metric.name
        key = (metric.name, *map(str, tags))
        match metric.kind:
            case Kind.GAUGE:
                self.values[key] = value  # type: ignore[assignment]  # seconds, too
            case Kind.COUNTER:
                self.values[key] += value  # type: ignore[assignment]
            case Kind.HISTOGRAM:
                self.observed.append((key, value))

    def of(self, metric: Metric, *tags: str) -> float:
        return self.values[metric.name, *map(str, tags)]


class Bench:
    def __init__(self, database: Database) -> None:
        self.database, self.store, self.recorded = database, SqlQueueStore(database), Recorded()
        self.owned = set(QueueName)

    def meter(self, loops: Sequence[Loop] = ()) -> Meter:
        return Meter(self._read, self.recorded, lambda: self.owned, InFlight(), loops)

    def _read(self, mark: Mark | None) -> Readings:
        with self.database.reader() as session:
            return readings.read(session, self.store, mark)

    def enqueue(self, *names: str) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, [asset_job(THUMBNAILS, name) for name in names])

    def lease(self, count: int) -> list[Lease]:
        with self.store.transaction() as tx:
            return self.store.lease(tx, QUEUE, count, 30, "controller", "one")

    def settle(self, *settlements: Settlement) -> None:
        with self.store.transaction() as tx:
            self.store.settle(tx, settlements)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    database = Database(database_url)
    yield Bench(database)
    database.close()


def test_jobs_by_state_and_what_holds_a_queue(bench: Bench) -> None:
    bench.enqueue("a", "b", "c", "d")
    first, second = bench.lease(2)
    bench.settle(Fail(first, FailedAttempt("Broken", "it is broken")))
    with bench.store.transaction() as tx:
        bench.store.pause(tx, QUEUE)
        bench.store.say_why_waiting(tx, {QUEUE: "no live node"})
    bench.meter().tick()
    told = bench.recorded
    states = {state: told.of(QUEUE_JOBS, QUEUE, state) for state in ("waiting", "delayed", "active", "failed")}
    assert states == {"waiting": 2, "delayed": 0, "active": 1, "failed": 1}
    assert told.of(QUEUE_PAUSED, QUEUE) == told.of(QUEUE_HELD, QUEUE) == 1
    assert told.of(QUEUE_PAUSED, QueueName.OCR) == told.of(QUEUE_HELD, QueueName.OCR) == 0
    assert 0 < told.of(QUEUE_OLDEST, QUEUE) < 60
    assert told.of(QUEUE_OLDEST, QueueName.OCR) == 0
    assert second.queue is QUEUE


def test_counters_rise_by_what_happened_since_the_last_look(bench: Bench) -> None:
    bench.enqueue(*(f"asset {number}" for number in range(6)))
    done, skipped, failed, retried, later, _ = bench.lease(6)
    bench.settle(Finish(done, duration_ms=500))  # before the meter's time
    meter = bench.meter()
    meter.tick()
    assert bench.recorded.of(JOBS, QUEUE, THUMBNAILS, "done") == 0, "counters begin with the controller"
    bench.settle(
        Finish(skipped, skipped=True, reason="hidden"),
        Fail(failed, FailedAttempt("Broken", "it is broken", duration_ms=250)),
        Retry(retried, 60.0, FailedAttempt("NoSpace", "the disk is full", duration_ms=50)),
    )
    meter.tick()
    bench.settle(Finish(later, duration_ms=1200))
    meter.tick()
    meter.tick()  # nothing new counts nothing
    told = bench.recorded
    assert {
        outcome: told.of(JOBS, QUEUE, THUMBNAILS, outcome) for outcome in ("done", "skipped", "failed", "retried")
    } == {
        "done": 1,
        "skipped": 1,
        "failed": 1,
        "retried": 1,
    }
    assert told.of(RUN_SECONDS, QUEUE, THUMBNAILS) == pytest.approx(1.5)
    durations = sorted(value for (name, _), value in told.observed if name == DURATION.name)
    assert durations == [0.0, 0.25, 1.2]


def test_a_queue_that_another_controller_took_shows_nothing_here(bench: Bench) -> None:
    bench.enqueue("a", "b")
    meter = bench.meter()
    meter.tick()
    assert bench.recorded.of(QUEUE_JOBS, QUEUE, "waiting") == 2
    bench.owned = {QueueName.OCR}
    (lease,) = bench.lease(1)
    bench.settle(Finish(lease))
    meter.tick()
    assert bench.recorded.of(QUEUE_JOBS, QUEUE, "waiting") == 0
    assert bench.recorded.of(JOBS, QUEUE, THUMBNAILS, "done") == 0, "its own controller counts it"


def test_what_the_loops_do(bench: Bench) -> None:
    loop = Loop("dispatcher", lambda: 0.0)
    meter = bench.meter([loop])
    loop.ticks, loop.failures = 10, 1
    meter.tick()
    loop.ticks, loop.failures = 25, 1
    meter.tick()
    assert bench.recorded.of(LOOP_TICKS, "dispatcher") == 25
    assert bench.recorded.of(LOOP_FAILURES, "dispatcher") == 1
