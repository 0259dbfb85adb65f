"""`python -m tests.ray.place_jobs` starts a fake cluster of four, sends one task with the options of each job type and
one process of each model to it, and prints where they ran: JSON, name → [node, GPUs that it was told of].
"""

import json
import os
from typing import Any

import ray

from cluster.names import QUEUE_OF_JOB
from cluster.queue.job import Place
from cluster.ray_nodes import live_nodes
from tasks.pool_places import next_place
from tasks.ray_models import actor_options
from tasks.ray_runner import task_options
from tasks.registry import JOBS
from tests.ray.fake_cluster import fake_cluster

NODES = {
    "api": ("api", ""),
    "cpu": ("microservices", "machine-learning,encoding"),
    "gpu": ("machine-learning", ""),
    "enc": ("encoding", ""),
}
GPUS = {"gpu": 1}


def here() -> tuple[str, list[int]]:
    return ray.get_runtime_context().get_node_id(), ray.get_gpu_ids()


class Process:
    def here(self) -> tuple[str, list[int]]:
        return here()


def place_all() -> dict[str, Any]:
    names = {node.node_id: node.name for node in live_nodes()}
    waiting, processes = {}, []
    for job in JOBS:
        spec, queue = job.spec, QUEUE_OF_JOB[job.spec.name]
        if spec.place is not Place.CLUSTER:
            continue
        if spec.pool is None:
            options = task_options(spec, queue) | {"runtime_env": {}}  # one kind of worker is enough here
            waiting[str(spec.name)] = ray.remote(here).options(**options).remote()
            continue
        serving = [node for node in live_nodes() if node.labels.get(f"queue/{queue}") == "true"]
        node = next_place(spec.pool, serving, {})
        assert node is not None
        options = actor_options(spec, spec.pool, node) | {"runtime_env": {}, "lifetime": None}
        processes.append(ray.remote(Process).options(**options).remote())
        waiting[str(spec.name)] = processes[-1].here.remote()
    found = {name: ray.get(reference, timeout=120) for name, reference in waiting.items()}
    return {name: [names[node], gpus] for name, (node, gpus) in found.items()}


if __name__ == "__main__":
    assert os.environ["RAY_AUTH_MODE"] == "token"
    with fake_cluster(NODES, GPUS):
        placed = place_all()
    print(json.dumps(placed))
