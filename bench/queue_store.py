"""The queue's store without Ray: jobs per second enqueued, leased and settled, and how a long line slows a lease.

`python -m bench.queue_store` measures SQLite and a private PostgreSQL with its own defaults. Medians of three rounds.
"""

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queue_store import SqlQueueStore
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob, asset_job
from cluster.queue.store import Finish, Transaction
from tests.postgres_server import private_postgres

QUEUE, JOB = QueueName.THUMBNAIL_GENERATION, JobName.ASSET_GENERATE_THUMBNAILS
JOBS_AT = {1: 300, 16: 3_200, 128: 12_800}
ROUNDS = 3
LONG_LINE = 100_000
ENQUEUE_AT_ONCE = 1_000
LEASES = 100


def run(databases: dict[str, str]) -> dict[str, float]:
    """`databases`: name → URL of an empty database. Keys `queue_store.<name>.…`: jobs/s, CPU of this process, ms."""
    results: dict[str, float] = {}
    for name, url in databases.items():
        database = Database(url)
        migrate(database.durable)
        try:
            results.update({f"queue_store.{name}.{key}": value for key, value in _measure(database).items()})
        finally:
            database.close()
    return results


def _measure(database: Database) -> dict[str, float]:
    store = SqlQueueStore(database)
    results: dict[str, float] = {}
    for batch, count in JOBS_AT.items():
        _cycle(store, batch, 10 * batch)
        rounds = [_cycle(store, batch, count) for _ in range(ROUNDS)]
        results[f"batch{batch}.jobs_per_s"] = round(statistics.median(count / wall_s for wall_s, _ in rounds))
        results[f"batch{batch}.cpu_us"] = round(statistics.median(cpu_s / count * 1e6 for _, cpu_s in rounds))
    for start in range(0, LONG_LINE, ENQUEUE_AT_ONCE):
        _enqueue(store, start, ENQUEUE_AT_ONCE)
    for batch in JOBS_AT:
        results[f"lease_of_100k.batch{batch}.p95_ms"] = _p95_ms([_timed_lease(store, batch) for _ in range(LEASES)])
    with store.transaction() as tx:
        store.release_predecessor(tx, "bench", "the next")
    looks: dict[str, Callable[[Transaction], object]] = {
        "ready": lambda tx: store.ready(tx, QueueName),
        "counts": store.counts,
    }
    for name, look in looks.items():
        results[f"{name}_of_100k.p95_ms"] = _p95_ms([_timed_look(store, look) for _ in range(LEASES)])
    return results


def _cycle(store: SqlQueueStore, batch: int, count: int) -> tuple[float, float]:
    """Every job once through, a transaction for each step of each batch. Returns wall and CPU seconds."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for start in range(0, count, batch):
        _enqueue(store, start, batch)
    for _ in range(0, count, batch):
        with store.transaction() as tx:
            leases = store.lease(tx, QUEUE, batch, 30, "bench", "1")
        with store.transaction() as tx:
            store.settle(tx, [Finish(lease, duration_ms=5, node="node") for lease in leases])
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def _enqueue(store: SqlQueueStore, start: int, count: int) -> None:
    with store.transaction() as tx:
        store.enqueue(tx, [_job() for _ in range(start, start + count)])


def _job() -> NewJob:
    return asset_job(JOB, str(uuid.uuid4()), source="upload")


def _timed_lease(store: SqlQueueStore, batch: int) -> float:
    start_s = time.perf_counter()
    with store.transaction() as tx:
        leased = store.lease(tx, QUEUE, batch, 30, "bench", "1")
    assert len(leased) == batch
    return time.perf_counter() - start_s


def _timed_look(store: SqlQueueStore, look: Callable[[Transaction], object]) -> float:
    start_s = time.perf_counter()
    with store.transaction(reading=True) as tx:
        look(tx)
    return time.perf_counter() - start_s


def _p95_ms(seconds: list[float]) -> float:
    return round(sorted(seconds)[int(len(seconds) * 0.95)] * 1000, 2)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="heliostat-bench-") as folder, private_postgres() as postgres:
        databases = {"sqlite": f"sqlite:///{Path(folder) / 'queue.db'}", "postgres": postgres}
        for key, value in run(databases).items():
            print(f"{key:55}{value:>12,}")


if __name__ == "__main__":
    main()
