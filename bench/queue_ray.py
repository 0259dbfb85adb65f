"""No-op jobs per second through every part: enqueue, lease, load, Ray call, settle with statistics.

One process holds the controller's loops, as the controller actor does; Ray runs beside it with this machine's CPUs. The
clock runs from the first enqueue to the last settle. Medians of three rounds.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import ray

from bench import noop
from cluster.clock import SystemClock
from cluster.db.changes import Changes
from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queue_store import SqlQueueStore
from cluster.launch import head_address
from cluster.loops.controller import Controller, Surroundings
from cluster.loops.dispatcher import Identity
from cluster.queue.job import FollowUps, Place
from cluster.ray_nodes import RayNodes
from cluster.settings import Settings, read_settings
from cluster.stack import Stack
from cluster.storage.layout import StorageLayout
from tasks.binding import BoundJob, Contexts
from tasks.ray_runner import RayRunner

JOBS_AT = {1: 3_000, 16: 20_000, 128: 40_000}
ROUNDS = 3
CALLS_OUT = 32
"""The queue's concurrency, as an admin would set it for jobs this small."""
ENQUEUE_AT_ONCE = 1_000


def run(databases: dict[str, str]) -> dict[str, float]:
    """`databases`: name → URL of an empty database. Keys `queue.<name>.batch<N>.jobs_per_s`."""
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="hq") as folder:
        environ = {
            **os.environ,
            "IMMICH_MEDIA_LOCATION": f"{folder}/m",
            "HELIOSTAT_STATE_DIR": f"{folder}/s",
            "IMMICH_PORT": "2399",
            "HELIOSTAT_DASHBOARD": "false",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        settings = read_settings(environ)
        stack = Stack(settings, environ)
        stack.lock()
        stack.start_ray()
        try:
            # a process joins Ray with the environment that it was born with
            child = subprocess.run(
                [sys.executable, "-m", "bench.queue_ray", json.dumps(databases)],
                env=stack.environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            results.update(json.loads(child.stdout.splitlines()[-1]))
        finally:
            stack.end_everything()
    return results


def measure_all(databases: dict[str, str]) -> dict[str, float]:
    """Inside the stack's environment: every database at every batch."""
    settings = read_settings(os.environ)
    ray.init(address=head_address(settings), namespace="bench", log_to_driver=False, logging_level="error")
    results: dict[str, float] = {}
    for name, url in databases.items():
        for batch, count in JOBS_AT.items():
            results[f"queue.{name}.batch{batch}.jobs_per_s"] = round(_measure(settings, url, batch, count))
    return results


def _measure(settings: Settings, url: str, batch: int, count: int) -> float:
    database = Database(url)
    migrate(database.durable)
    store = SqlQueueStore(database)
    job = noop.noop(batch)
    contexts = Contexts(store, settings, StorageLayout(settings.media_root), lambda tx: None, SystemClock())  # type: ignore[arg-type, return-value]
    nodes = RayNodes()
    runner = RayRunner(nodes, noop.run_call)
    controller = Controller(
        store,
        {noop.NAME: BoundJob(job, contexts)},
        lambda lease, outcome, facts: FollowUps(),
        {Place.CLUSTER: runner, Place.ROW_JOBS: runner},
        Identity("bench", uuid.uuid4().hex),
        Surroundings(
            clock=SystemClock(),
            concurrency=lambda queue: CALLS_OUT,
            cpus=nodes.cpus,
            media_present=lambda: True,
            rows_changed=Changes(database).wait,
            sweep_files=lambda: 0,
            timetable=(),
            mark_minute=lambda tx, minute: False,
        ),
    )
    controller.start()
    try:
        _drain(store, 4 * batch)  # worker processes start and import
        return statistics.median(count / _timed(lambda: _drain(store, count)) for _ in range(ROUNDS))
    finally:
        controller.stop()
        database.close()


def _drain(store: SqlQueueStore, count: int) -> None:
    todo = noop.jobs(count)
    for at in range(0, count, ENQUEUE_AT_ONCE):
        with store.transaction() as tx:
            store.enqueue(tx, todo[at : at + ENQUEUE_AT_ONCE])
    while True:
        with store.transaction(reading=True) as tx:
            counts = store.counts(tx)[noop.QUEUE]
        if counts.waiting + counts.active + counts.delayed == 0:
            assert counts.failed == 0, counts
            return
        time.sleep(0.02)


def _timed(do: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    do()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    print(json.dumps(measure_all(json.loads(sys.argv[1]))))
