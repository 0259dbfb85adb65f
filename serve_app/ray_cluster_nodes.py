"""The nodes as Ray reports them, for the API."""

from collections.abc import Sequence
from typing import Any

import ray

from cluster.draining import Drain
from cluster.ray_nodes import going_nodes
from cluster.workers import OUR_LABELS
from serve_app.cluster_nodes import ClusterNode

WORKER, QUEUE, RAYS_OWN = "worker/", "queue/", "ray.io/"


class RayClusterNodes:
    """Asks Ray each time: an admin who looks is rare."""

    def live(self) -> Sequence[ClusterNode]:
        nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        going = going_nodes()
        return sorted((cluster_node(node, going.get(node["NodeID"])) for node in nodes), key=lambda node: node.name)


def cluster_node(node: dict[str, Any], going: Drain | None = None) -> ClusterNode:
    """What `ray.nodes()` says of one."""
    labels, resources = dict(node.get("Labels") or {}), node["Resources"]
    served = sorted(name for name, value in labels.items() if name in OUR_LABELS and value == "true")
    return ClusterNode(
        name=node["NodeName"],
        address=node["NodeManagerAddress"],
        cpus=float(resources.get("CPU", 0)),
        gpus=float(resources.get("GPU", 0)),
        memory_bytes=int(resources.get("memory", 0)),
        workers=tuple(name.removeprefix(WORKER) for name in served if name.startswith(WORKER)),
        queues=tuple(name.removeprefix(QUEUE) for name in served if name.startswith(QUEUE)),
        labels={name: one for name, one in labels.items() if name not in OUR_LABELS and not name.startswith(RAYS_OWN)},
        going=going,
    )
