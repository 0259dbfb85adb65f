"""What Ray reports about its nodes: labels, CPUs, whether they live and go. Asked for at most every two seconds.

Nodes that are drained live, and get nothing new: they count nowhere, and every task is told to leave them out.
"""

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import ray
from ray._private.state import state

from cluster.draining import Drain, leaving, no_node_serves
from cluster.names import QueueName
from cluster.queue.job import JobSpec
from cluster.workers import queue_label

log = logging.getLogger(__name__)

REFRESH_S = 2.0
REMEMBERED = 8
"""Nodes that have gone, by id: one that comes back has another."""


@dataclass(frozen=True, slots=True)
class Node:
    """One live node. `name` and `labels` as set at its start, `cpus` and `gpus` as Ray counts them. `going`: its
    machine has said that it ends."""

    node_id: str
    name: str
    address: str
    labels: dict[str, str]
    cpus: float
    gpus: float
    going: Drain | None = None


def going_nodes() -> dict[str, Drain]:
    """Nodes whose machines have told Ray that they end, by id."""
    return {
        node_id: leaving(datetime.fromtimestamp(until_ms / 1000, UTC) if until_ms else None)
        for node_id, until_ms in state.get_draining_nodes().items()
    }


def live_nodes() -> list[Node]:
    """Every node that Ray believes alive."""
    going = going_nodes()
    return [
        Node(
            node["NodeID"],
            node["NodeName"],
            node["NodeManagerAddress"],
            dict(node.get("Labels") or {}),
            float(node["Resources"].get("CPU", 0)),
            float(node["Resources"].get("GPU", 0)),
            going.get(node["NodeID"]),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        if node["Alive"]
    ]


def own_name() -> str:
    """Of the node that this process runs on, as Ray has it and everybody else says it. The process has joined Ray."""
    own_id = ray.get_runtime_context().get_node_id()
    names = (str(node["NodeName"]) for node in ray.nodes() if node["NodeID"] == own_id)  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    return next(names, socket.gethostname())


def nothing_drained() -> Mapping[str, Drain]:
    """Nobody drains nodes."""
    return {}


class RayNodes:
    """The nodes that may be given work, remembered for a moment. Thread-safe. `drained`: node's name → why an admin has
    it drained."""

    def __init__(
        self,
        ask: Callable[[], Sequence[Node]] = live_nodes,
        drained: Callable[[], Mapping[str, Drain]] = nothing_drained,
    ) -> None:
        self._ask, self._ask_drained = ask, drained
        self._lock = threading.Lock()
        self._open: Sequence[Node] = ()
        self._closed: Mapping[str, tuple[Node, Drain]] = {}
        self._asked_s = float("-inf")
        self._serving: dict[QueueName, int] = {}
        self._lately_gone: deque[str] = deque(maxlen=REMEMBERED)

    def nodes(self) -> Sequence[Node]:
        """Live nodes that are not drained, at most two seconds old. When Ray cannot be asked, the last answer holds."""
        with self._lock:
            if time.monotonic() - self._asked_s > REFRESH_S:
                self._asked_s = time.monotonic()
                self._refresh()
            return self._open

    def _refresh(self) -> None:
        try:
            known, by_hand = self._ask(), self._ask_drained()
        except Exception as error:
            log.warning("Ray and the database cannot be asked for the nodes: %s", error)
            return
        before = {node.node_id for node in self._open} | self._closed.keys()
        self._lately_gone.extend(sorted(before - {node.node_id for node in known}))
        drains = {node.node_id: node.going or by_hand.get(node.name) for node in known}
        self._open = [node for node in known if drains[node.node_id] is None]
        closed = {node.node_id: (node, drain) for node in known if (drain := drains[node.node_id]) is not None}
        for node_id in closed.keys() ^ self._closed.keys():
            node, drain = closed.get(node_id) or self._closed[node_id]
            log.info("%s %s: %s", node.name, "is drained" if node_id in closed else "is drained no more", drain.words())
        self._closed = closed
        self._serving = {queue: sum(serves(node, queue) for node in self._open) for queue in QueueName}

    def serving(self, queue: QueueName) -> int:
        """Live nodes with this queue's label that are not drained."""
        self.nodes()
        return self._serving.get(queue, 0)

    def batch(self, spec: JobSpec, queue: QueueName) -> int:
        """Jobs to a call of this type: more where a node with a GPU serves the queue, which idles with a few."""
        on_gpu = spec.pool.gpu_batch if spec.pool is not None else 0
        return on_gpu if on_gpu and any(node.gpus and serves(node, queue) for node in self.nodes()) else spec.batch

    def cpus(self) -> float:
        """CPUs of all live nodes that are not drained."""
        return sum(node.cpus for node in self.nodes())

    def left_out(self) -> tuple[str, ...]:
        """The ids of the drained ones, and of those that died lately, in order. Of a machine that was cut off Ray goes
        on asking for workers, and what looks for the same waits behind that; with another selector it begins anew."""
        self.nodes()
        return tuple(sorted({*self._closed, *self._lately_gone}))

    def drained(self) -> Mapping[str, Drain]:
        """Name → why, of the live nodes that are drained."""
        self.nodes()
        return {node.name: drain for node, drain in self._closed.values()}

    def drained_by_hand(self) -> Sequence[Node]:
        """Live nodes that an admin or the bencher has drained, so that Ray goes on counting with them."""
        self.nodes()
        return [node for node, _ in self._closed.values() if node.going is None]

    def why_nobody(self, queue: QueueName) -> str:
        """Why no node serves this queue, and what to do."""
        self.nodes()
        drained = {node.name: drain for node, drain in self._closed.values() if serves(node, queue)}
        if not drained:
            return no_node_serves(queue)
        names = ", ".join(f"{name} ({drain.words()})" for name, drain in sorted(drained.items()))
        return f"every node that serves {queue} is drained: {names}. `heliostat drain NODE --back` lets one work again"


def serves(node: Node, queue: QueueName) -> bool:
    """Whether it has the queue's label."""
    return node.labels.get(queue_label(queue)) == "true"
