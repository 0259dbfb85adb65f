"""No-op jobs per second through every part: enqueue, lease, load, Ray call, settle with statistics.

One process holds the controller's loops, as the controller actor does; another enqueues, as the API's replica does; Ray
runs beside them with this machine's CPUs. The clock runs from the first enqueue to the last settle. Medians of three
rounds. Machines change their speed from minute to minute: beside each rate stands what part of bare Ray's calls it is.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import ray
from sqlalchemy import text

from bench import noop
from cluster.clock import SystemClock
from cluster.db.changes import Changes
from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queue_store import SqlQueueStore
from cluster.loops.controller import Controller, Surroundings
from cluster.loops.dispatcher import Identity
from cluster.names import JobName
from cluster.queue.job import FollowUps, Place
from cluster.ray_join import join
from cluster.ray_nodes import RayNodes
from cluster.settings import Settings, read_settings
from cluster.stack import Stack
from cluster.storage.layout import StorageLayout
from cluster.system_config import defaults
from cluster.vectors.exact import ExactVectors
from tasks import ray_worker
from tasks.binding import BoundJob, Contexts
from tasks.job import Job
from tasks.ray_runner import RayRunner, task_options

JOBS_AT = {1: 3_000, 16: 20_000, 128: 40_000}
ROUNDS = 3
CALLS_OUT = 32
"""The queue's concurrency, as an admin would set it for jobs this small."""
ENQUEUE_AT_ONCE = 1_000
GIVE_UP_S, STOP_S = 300.0, 5.0
BARE_CALLS = 2_000


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
    join(settings, "bench")
    results: dict[str, float] = {}
    for name, url in databases.items():
        for batch, count in JOBS_AT.items():
            key = f"queue.{name}.batch{batch}"
            before = _bare_calls_per_s()
            results[f"{key}.jobs_per_s"] = rate = round(_measure(settings, url, batch, count))
            bare = (before + _bare_calls_per_s()) / 2
            results[f"{key}.calls_to_bare_ray"] = round(rate / batch / bare, 3)
            results.setdefault("queue.bare_ray.calls_per_s", round(bare))
    return results


def _bare_calls_per_s() -> float:
    """What Ray alone does here at this moment: as many tasks of the same kind out at a time, and nothing else."""
    task = ray.remote(noop.run_call).options(**task_options(noop.noop(1).spec, noop.QUEUE))
    packed = ray_worker.packed_call(noop.NAME, "bare", [], ())
    out = [task.remote(packed) for _ in range(CALLS_OUT)]
    started_s = time.perf_counter()
    for _ in range(BARE_CALLS):
        done, out = ray.wait(out)
        ray.get(done)
        out.append(task.remote(packed))
    seconds = time.perf_counter() - started_s
    ray.get(out)
    return BARE_CALLS / seconds


def _measure(settings: Settings, url: str, batch: int, count: int) -> float:
    database = Database(url)
    migrate(database.durable)
    store = SqlQueueStore(database)
    runner = RayRunner(RayNodes(), noop.run_call)
    controller = bench_controller(settings, database, [noop.noop(batch)], runner, "bench", CALLS_OUT)
    controller.start()
    try:
        with client(url) as enqueuer:
            seconds(enqueuer, 4 * batch)  # worker processes start and import
            rates = [count / seconds(enqueuer, count) for _ in range(ROUNDS)]
        with store.transaction(reading=True) as tx:
            counts = store.counts(tx)[noop.QUEUE]
        assert counts.failed == 0, counts
        return statistics.median(rates)
    finally:
        controller.stop(STOP_S)
        database.close()


def bench_controller(
    settings: Settings, database: Database, jobs: Sequence[Job], runner: RayRunner, name: str, calls_per_node: int
) -> Controller:
    """The loops of a controller of this name that knows these jobs alone, and the database as it is."""
    store, layout = SqlQueueStore(database), StorageLayout(settings.media_root)
    contexts = Contexts(store, settings, layout, lambda tx: defaults(settings), SystemClock(), ExactVectors())
    return Controller(
        store,
        {job.spec.name: BoundJob(job, contexts) for job in jobs},
        lambda lease, outcome, facts: FollowUps(),
        {Place.CLUSTER: runner, Place.ROW_JOBS: runner},
        Identity(name, uuid.uuid4().hex),
        Surroundings(
            clock=SystemClock(),
            concurrency=lambda queue: calls_per_node,
            cpus=RayNodes().cpus,
            media_present=lambda: True,
            rows_changed=Changes(database).wait,
            sweep_files=lambda: 0,
            prune_actions=lambda before, limit: 0,
            watch_libraries=lambda owned: 60.0,
            schedule=lambda: 60.0,
        ),
    )


@contextmanager
def client(url: str) -> Iterator[Connection]:
    """A process that enqueues the jobs that it is told, and answers with the seconds until none is left."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_enqueue_and_wait, args=(url, there), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.terminate()
        process.join()


def seconds(
    enqueuer: Connection,
    count: int,
    names: Sequence[JobName] = (noop.NAME,),
    wait_s: float = 0.0,
    give_up_s: float = GIVE_UP_S,
) -> float:
    """How long the client's jobs took (`noop.jobs`), from the first enqueue to the last settle. Raises TimeoutError."""
    enqueuer.send((count, names, wait_s))
    if not enqueuer.poll(give_up_s):
        raise TimeoutError(f"{count} jobs did not end within {give_up_s:.0f} s")
    return float(enqueuer.recv())


def _enqueue_and_wait(url: str, told: Connection) -> None:
    database = Database(url)
    store = SqlQueueStore(database)
    while True:
        todo = noop.jobs(*told.recv())
        started_s = time.perf_counter()
        for at in range(0, len(todo), ENQUEUE_AT_ONCE):
            with store.transaction() as tx:
                store.enqueue(tx, todo[at : at + ENQUEUE_AT_ONCE])
        while _any_job(database):
            time.sleep(0.03)
        told.send(time.perf_counter() - started_s)


def _any_job(database: Database) -> bool:
    with database.reader() as session:
        return bool(session.execute(text("SELECT 1 FROM job WHERE state <> 'failed' LIMIT 1")).first())


if __name__ == "__main__":
    print(json.dumps(measure_all(json.loads(sys.argv[1]))))
