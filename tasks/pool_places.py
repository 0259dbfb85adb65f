"""How many processes a pool has, and where the next one goes. Pure."""

import math
from collections.abc import Mapping, Sequence

from cluster.queue.job import ModelPool
from cluster.ray_nodes import Node


def processes_of(pool: ModelPool, calls: int) -> int:
    """Processes for as many calls at a time, within the pool's limits."""
    return min(pool.most, max(pool.least, calls))


def next_place(pool: ModelPool, nodes: Sequence[Node], taken: Mapping[str, int]) -> Node | None:
    """The node that the next process goes to: one with a GPU before others, then the least full; None when all are
    full. `taken`: processes of this pool by node id."""
    free = [node for node in nodes if taken.get(node.node_id, 0) < room_on(pool, node)]
    if not free:
        return None
    return min(
        free, key=lambda node: (not _on_gpu(pool, node), taken.get(node.node_id, 0) / room_on(pool, node), node.node_id)
    )


def room_on(pool: ModelPool, node: Node) -> int:
    """Processes of this pool that the node takes: by its GPUs where it has any, else by its cores, and at least one."""
    if _on_gpu(pool, node):
        return max(1, math.floor(node.gpus / pool.gpus))
    return max(1, math.floor(node.cpus / pool.cpus))


def _on_gpu(pool: ModelPool, node: Node) -> bool:
    return bool(pool.gpus and node.gpus)
