"""The machines that work is done on, as the API may know them: asked of the cluster, or none without one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cluster.draining import Drain


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A live node. `workers` and `queues`: the names that its labels serve; `labels`: those that are not ours. `going`:
    its machine has said that it ends."""

    name: str
    address: str
    cpus: float
    gpus: float
    memory_bytes: int
    workers: tuple[str, ...]
    queues: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    going: Drain | None = None


class ClusterNodes(Protocol):
    """Blocks for a moment."""

    def live(self) -> Sequence[ClusterNode]:
        """Every live node, in the order of their names."""
        ...


class NoCluster:
    """Without Ray nobody knows of any node."""

    def live(self) -> Sequence[ClusterNode]:
        return ()
