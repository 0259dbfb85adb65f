"""Each job type, with the options that it has in the server, on a cluster of four with a GPU that is only counted."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import Place
from cluster.workers import node_labels, queue_label
from tasks.registry import JOBS
from tests.e2e.real_stack import kill, marked_processes
from tests.ray.fake_cluster import fake_environ
from tests.ray.place_jobs import NODES
from tests.shared_media import REPOSITORY


@pytest.mark.timeout(300)
def test_each_job_type_goes_to_a_node_with_the_label_of_its_queue(tmp_path: Path) -> None:
    state_dir = Path("/tmp") / f"hf-{secrets.token_hex(4)}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.ray.place_jobs"],
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], **fake_environ(tmp_path, state_dir)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        placed = {JobName(name): tuple(where) for name, where in json.loads(done.stdout.splitlines()[-1]).items()}
    finally:
        for pid in marked_processes(state_dir):
            kill(pid)
        shutil.rmtree(state_dir, ignore_errors=True)
    assert set(placed) == {job.spec.name for job in JOBS if job.spec.place is Place.CLUSTER}
    strayed = {name: node for name, (node, _) in placed.items() if queue_label(QUEUE_OF_JOB[name]) not in labels(node)}
    assert strayed == {}
    assert {node for node, _ in placed.values()} == {"cpu", "gpu", "enc"}
    shares = {job.spec.name for job in JOBS if job.spec.pool is not None and job.spec.pool.gpus}
    assert {name for name, (_, gpus) in placed.items() if gpus} == shares


def labels(node: str) -> dict[str, str]:
    return node_labels(*NODES[node])
