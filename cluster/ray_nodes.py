"""What Ray reports about its nodes: labels, CPUs, whether they live. Asked for at most every two seconds."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ray

from cluster.names import QueueName
from cluster.workers import queue_label

log = logging.getLogger(__name__)

REFRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class Node:
    """One live node. `name` and `labels` as set at its start, `cpus` and `gpus` as Ray counts them."""

    node_id: str
    name: str
    address: str
    labels: dict[str, str]
    cpus: float
    gpus: float


def live_nodes() -> list[Node]:
    """Every node that Ray believes alive."""
    return [
        Node(
            node["NodeID"],
            node["NodeName"],
            node["NodeManagerAddress"],
            dict(node.get("Labels") or {}),
            float(node["Resources"].get("CPU", 0)),
            float(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        if node["Alive"]
    ]


class RayNodes:
    """The live nodes, remembered for a moment. Thread-safe."""

    def __init__(self, ask: Callable[[], Sequence[Node]] = live_nodes) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._known: Sequence[Node] = ()
        self._asked_s = float("-inf")
        self._serving: dict[QueueName, int] = {}

    def nodes(self) -> Sequence[Node]:
        """The live nodes, at most two seconds old. When Ray cannot be asked, the last answer holds."""
        with self._lock:
            if time.monotonic() - self._asked_s > REFRESH_S:
                self._asked_s = time.monotonic()
                self._refresh()
            return self._known

    def _refresh(self) -> None:
        try:
            self._known = self._ask()
        except Exception as error:
            log.warning("Ray cannot be asked for its nodes: %s", error)
            return
        self._serving = {
            queue: sum(node.labels.get(queue_label(queue)) == "true" for node in self._known) for queue in QueueName
        }

    def serving(self, queue: QueueName) -> int:
        """Live nodes with this queue's label."""
        self.nodes()
        return self._serving.get(queue, 0)

    def cpus(self) -> float:
        """CPUs of all live nodes."""
        return sum(node.cpus for node in self.nodes())
