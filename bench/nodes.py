"""How jobs per second grow with nodes when the work waits (50 ms) rather than computes, and where a controller's own
limit lies.

Worker nodes of Ray's own `cluster_utils.Cluster` on this machine, PostgreSQL, controllers as actors as in the server.
Beside each rate stands what a job takes of each part's CPU, since all of them share this machine.

    python -m bench.nodes [JOBS]
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ray

from bench import noop
from bench.processes import Watch
from bench.queue_ray import bench_controller, client, seconds
from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.names import JobName, WorkerName
from cluster.ray_nodes import RayNodes
from cluster.settings import read_settings
from cluster.workers import node_labels, worker_label
from tasks.ray_runner import RayRunner
from tests.postgres_server import private_postgres
from tests.ray.fake_cluster import fake_cluster, fake_environ

NODES, CPUS_PER_NODE = 3, 4
"""Few CPUs, so that three nodes at work do not fill this machine, which would then be what is measured."""
CALLS_PER_NODE = 8
"""The queue's concurrency: two calls for each CPU, so that none waits for the controller."""
WAIT_S = 0.05
JOBS = 100_000
BATCHES: Mapping[JobName, int] = {
    noop.NAME: 1,
    JobName.SIDECAR_CHECK: 1,
    JobName.LIBRARY_REMOVE_ASSET: 16,
    JobName.SIDECAR_WRITE: 16,
}
"""Jobs to a call: in each of two queues, of which two controllers have one each, both sizes."""
ALONE, SHARED = 1, 2
LIMITS: Sequence[tuple[int, int, Sequence[JobName], float]] = (
    (ALONE, 1, (noop.NAME,), 0.2),
    (ALONE, 16, (JobName.LIBRARY_REMOVE_ASSET,), 0.6),
    (SHARED, 1, (noop.NAME, JobName.SIDECAR_CHECK), 0.2),
    (SHARED, 16, (JobName.LIBRARY_REMOVE_ASSET, JobName.SIDECAR_WRITE), 0.6),
)
"""Controllers, jobs to a call, their names, share of the jobs: with all nodes and work that does nothing."""
SHARED_OUT_S = 6.0
"""Two controllers have heard of each other, and have their queues."""
RAY_ALONE = 0.1
"""Share of the jobs that Ray is given without queue and controller, as many at a time."""
WARM_UP_CALLS = 20
"""For each CPU, so that all worker processes run and have imported all."""
PARTS = ("controller", "postgres", "raylet", "gcs", "workers")
"""Whose CPU is told: the client and the measuring are left out."""
GIVE_UP_S, STOP_S = 1_200.0, 5.0


def run(tell: Callable[[str], None], jobs: int = JOBS) -> dict[str, float]:
    """Keys `nodes.<N>.…` and `nodes.limit.…`. Raises ProgramMissing without PostgreSQL."""
    state_dir = Path("/tmp") / f"hq-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="hq") as folder:
        own = fake_environ(Path(folder), state_dir) | {"IMMICH_MEDIA_LOCATION": f"{folder}/m"}
        own["HELIOSTAT_STATE_DIR"] = str(state_dir)
        try:
            # a process joins Ray with the environment that it was born with
            command = [sys.executable, "-m", "bench.nodes", "measure", str(jobs)]
            with subprocess.Popen(command, env=os.environ | own, stdout=subprocess.PIPE, text=True) as child:
                assert child.stdout is not None
                results: dict[str, float] = {}
                for line in child.stdout:
                    if not line.startswith("{"):
                        continue  # Ray's
                    measured = json.loads(line)
                    results |= measured
                    tell("  ".join(f"{key} {value:,.4g}" for key, value in measured.items()))
        finally:
            shutil.rmtree(state_dir, ignore_errors=True)
    if child.returncode:
        raise RuntimeError(f"the measuring process ended with {child.returncode}")
    return results


def measure_all(jobs: int) -> Iterator[dict[str, float]]:
    """In a process with the environment of `run`: more and more nodes, then the limits."""
    with private_postgres("max_connections=300") as server, fake_cluster({"head": ("api", "")}, {}) as cluster:
        url = server.replace("postgresql://", "postgresql+psycopg://")
        database = Database(url)
        migrate(database.durable)
        database.close()
        controllers = [_start_controller(url, "bench-0")]
        with client(url) as enqueuer:
            yield from _more_and_more_nodes(cluster, enqueuer, jobs)
            for count, batch, names, share in LIMITS:
                if count > len(controllers):
                    controllers.append(_start_controller(url, "bench-1"))
                    time.sleep(SHARED_OUT_S)
                rate, cpu_ms = _rate(enqueuer, int(jobs * share), names, 0.0)
                key = f"nodes.limit.{count}_controllers.batch{batch}"
                yield {f"{key}.jobs_per_s": rate} | _by_part(key, cpu_ms)
        ray.get([controller.stop.remote() for controller in controllers])


def _more_and_more_nodes(cluster: Any, enqueuer: Connection, jobs: int) -> Iterator[dict[str, float]]:
    one_node = 0.0
    for nodes in range(1, NODES + 1):
        labels = node_labels("microservices", "")
        more = {"include_dashboard": False, "include_log_monitor": False}
        cluster.add_node(node_name=f"worker-{nodes}", num_cpus=CPUS_PER_NODE, labels=labels, **more)
        seconds(enqueuer, nodes * CPUS_PER_NODE * WARM_UP_CALLS, wait_s=WAIT_S, give_up_s=GIVE_UP_S)
        share = jobs * nodes // sum(range(1, NODES + 1))  # all three take as long
        ray_alone = _ray_alone(nodes * CALLS_PER_NODE, int(share * RAY_ALONE))
        rate, cpu_ms = _rate(enqueuer, share, (noop.NAME,), WAIT_S)
        one_node = one_node or rate
        key = f"nodes.{nodes}"
        yield {
            f"{key}.jobs_per_s": rate,
            f"{key}.share_of_full": rate / (nodes * CPUS_PER_NODE / WAIT_S),
            f"{key}.times_one_node": rate / one_node,
            f"{key}.ray_alone.jobs_per_s": ray_alone,
        } | _by_part(key, cpu_ms)


def _wait() -> None:
    time.sleep(WAIT_S)


def _ray_alone(at_once: int, jobs: int) -> float:
    """Tasks per second that wait as the jobs do, where the jobs ran."""
    wait: Any = ray.remote(_wait)
    there = {worker_label(WorkerName.MICROSERVICES): "true"}
    task = wait.options(num_cpus=1, label_selector=there)
    out = [task.remote() for _ in range(at_once)]
    for timed in (at_once, jobs):  # the first ones start worker processes
        started_s = time.monotonic()
        for _ in range(timed):
            _, out = ray.wait(out)
            out.append(task.remote())
    rate = jobs / (time.monotonic() - started_s)
    ray.get(out)
    return rate


def _rate(enqueuer: Connection, jobs: int, names: Sequence[JobName], wait_s: float) -> tuple[float, dict[str, float]]:
    """Jobs per second, and the CPU milliseconds that one took of each part."""
    with Watch(Path(os.environ["HELIOSTAT_STATE_DIR"]), os.getpid(), with_memory=False) as watch:
        rate = jobs / seconds(enqueuer, jobs, names, wait_s, GIVE_UP_S)
    return rate, {part: 1000 * cpu_s / jobs for part, cpu_s in watch.cost().cpu_s.items()}


def _by_part(key: str, cpu_ms: dict[str, float]) -> dict[str, float]:
    return {f"{key}.cpu_ms.{part}": cpu_ms.get(part, 0.0) for part in PARTS}


class ControllerActor:
    """The loops, in a process of their own."""

    def __init__(self, url: str, name: str) -> None:
        jobs = [noop.noop(batch, job) for job, batch in BATCHES.items()]
        runner = RayRunner(RayNodes(), noop.run_call)
        settings = read_settings(os.environ)
        self._controller = bench_controller(settings, Database(url), jobs, runner, name, CALLS_PER_NODE)
        self._controller.start()

    def stop(self) -> None:
        """End the loops."""
        self._controller.stop(STOP_S)


def _start_controller(url: str, name: str) -> Any:
    """On the head, as in the server."""
    here = {worker_label(WorkerName.API): "true"}
    actor: Any = ray.remote(ControllerActor)
    return actor.options(num_cpus=0, label_selector=here).remote(url, name)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["measure", jobs]:
            for measured in measure_all(int(jobs)):
                print(json.dumps(measured), flush=True)
        case _:
            run(partial(print, flush=True), *map(int, sys.argv[1:2]))
