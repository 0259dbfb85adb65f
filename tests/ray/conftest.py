"""A small Ray with one node and the controller's loops in an actor. The tests themselves never join Ray: they enqueue
into the database and look at what came of it.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text

from cluster.cluster_file import START_OF_WORKERS
from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queue_store import SqlQueueStore
from cluster.launch import head_address
from cluster.names import QueueName
from cluster.queue.job import NewJob
from cluster.queue.store import QueueCounts
from cluster.settings import RayPort, read_settings
from cluster.stack import Stack
from cluster.workers import queue_label
from tests.api_stack import free_port
from tests.e2e.real_stack import kill, marked_processes, wait_until
from tests.ray.odd_jobs import AWAY_MODEL_QUEUE, AWAY_QUEUE, HOME_QUEUE
from tests.shared_media import REPOSITORY

PORT = 3417
CPUS = 2
PATIENCE_S = 150.0


@dataclass(frozen=True)
class Attempt:
    """A failed attempt, as the database keeps it."""

    asset: str
    attempt: int
    error_class: str
    message: str


@dataclass(frozen=True)
class RayBench:
    """The running Ray and its queue."""

    stack: Stack
    database: Database
    store: SqlQueueStore

    def enqueue(self, jobs: Sequence[NewJob]) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, jobs)

    def counts(self, queue: QueueName = HOME_QUEUE) -> QueueCounts:
        with self.store.transaction(reading=True) as tx:
            return self.store.counts(tx)[queue]

    def wait_until_over(self, queue: QueueName = HOME_QUEUE) -> None:
        """Nothing of this queue waits, runs or is put off."""

        def over() -> bool:
            counts = self.counts(queue)
            return counts.waiting + counts.active + counts.delayed == 0

        wait_until(over, PATIENCE_S, f"{queue} to be empty, {self.counts(queue)}")

    def attempts(self, asset: str) -> list[Attempt]:
        """Failed attempts of the jobs about `asset`, in order."""
        query = text(
            "SELECT asset_id, attempt, error_class, message FROM job_attempt WHERE asset_id = :asset ORDER BY id"
        )
        with self.database.reader() as session:
            return [Attempt(*row) for row in session.execute(query, {"asset": asset})]

    def outcomes(self, asset: str) -> list[str]:
        """How the jobs about `asset` ended: done, failed."""
        query = text("SELECT outcome FROM job_history WHERE asset_id = :asset ORDER BY id")
        with self.database.reader() as session:
            return [outcome for (outcome,) in session.execute(query, {"asset": asset})]

    def add_node(self, *queues: QueueName, name: str = "away") -> Callable[[], None]:
        """Start a further node that serves these queues alone; returns what ends it."""
        options = {
            "--address": head_address(self.stack.settings),
            "--num-cpus": 1,
            "--node-name": name,
            "--labels": ",".join(f"{queue_label(queue)}=true" for queue in queues),
            "--min-worker-port": 0,
            "--max-worker-port": 0,
            **{f"--{name}": free_port() for name in NODE_PORTS},
        }
        given = (f"{name}={value}" for name, value in options.items())
        command = [sys.executable, "-m", "cluster.ray_start", "start", "--disable-usage-stats", *given]
        return self.start_node(command, self.stack.environment)

    def add_node_of_the_file(self, queue: QueueName, folder: Path, name: str) -> Callable[[], None]:
        """Start one by the command that `ray-cluster.yaml` has for its workers, as Ray's launcher leaves a machine to
        it, on a host of this name; returns what ends it. `folder`: an empty one."""
        (folder / "heliostat").mkdir()
        (folder / "heliostat" / ".venv").symlink_to(sys.prefix)
        (folder / "hostname").write_text(f"#!/bin/sh\necho {name}\n")
        (folder / "hostname").chmod(0o700)
        environ = {
            **{key: value for key, value in self.stack.environment.items() if key not in TOLD_BY_US},
            "HOME": str(folder),
            "PATH": f"{folder}:{os.environ['PATH']}",
            "RAY_HEAD_IP": head_address(self.stack.settings).split(":")[0],
            "RAY_OVERRIDE_LABELS": json.dumps({queue_label(queue): "true"}),
            "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": 1}),
        }
        *_, command = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())[START_OF_WORKERS]
        for option in NODE_PORTS:
            command = re.sub(rf"--{option}=\d+", f"--{option}={free_port()}", command)
        head = f"$RAY_HEAD_IP:{self.stack.settings.ray_port(RayPort.HEAD)}"
        return self.start_node(["bash", "-c", re.sub(r"\$RAY_HEAD_IP:\d+", head, command)], environ)

    def start_node(self, command: Sequence[str], environ: Mapping[str, str]) -> Callable[[], None]:
        """Run a `ray start`; returns what ends all that it left."""
        state_dir = self.stack.settings.state_dir
        before = set(marked_processes(state_dir))
        done = subprocess.run(
            command, cwd=REPOSITORY, env=dict(environ), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        started = set(marked_processes(state_dir)) - before

        def end() -> None:
            for pid in started:
                kill(pid)

        return end


TOLD_BY_US = ("HELIOSTAT_NODE_NAME", "IMMICH_WORKERS_INCLUDE", "IMMICH_WORKERS_EXCLUDE", "RAY_AUTH_MODE")
"""Of the head's environment, what a machine of a cluster's file is not told, or tells itself."""
NODE_PORTS = (
    "node-manager-port",
    "object-manager-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayBench]:
    """Ray with one node that serves every queue but two."""
    folder = tmp_path_factory.mktemp("ray")
    state_dir = Path("/tmp") / f"hr-{secrets.token_hex(4)}"
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY),
        "IMMICH_PORT": str(PORT),
        "IMMICH_MEDIA_LOCATION": str(folder / "media"),
        "IMMICH_WORKERS_EXCLUDE": f"{AWAY_QUEUE},{AWAY_MODEL_QUEUE}",
        "DB_URL": f"sqlite:///{folder / 'queue.db'}",
        "HELIOSTAT_STATE_DIR": str(state_dir),
        "HELIOSTAT_DASHBOARD": "false",
        "HELIOSTAT_NUM_CPUS": str(CPUS),
    }
    settings = read_settings(environ)
    stack = Stack(settings, environ)
    database = Database(settings.database_url)
    migrate(database.durable)
    state_dir.mkdir(mode=0o700)
    try:
        stack.start_ray()
        subprocess.run(
            [sys.executable, "-m", "tests.ray.ray_controller"],
            cwd=REPOSITORY,
            env=stack.environment,
            check=True,
            timeout=90,
        )
        yield RayBench(stack, database, SqlQueueStore(database))
    finally:
        stack.end_everything()
        database.close()
        shutil.rmtree(state_dir, ignore_errors=True)
    assert marked_processes(state_dir) == {}
