"""What the dispatcher hands work to: a call of one or more jobs of one type, and how it ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from cluster.names import QueueName
from cluster.queue.job import JobSpec, Lease, Worked, WorkResult


def controller_of(call_id: str) -> str:
    """Who waits for a call."""
    return call_id.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Call:
    """One batch on its way to one worker process. `inputs[i]` belongs to `leases[i]`; all leases share one token.
    `call_id` begins with the controller that waits for it and a colon."""

    call_id: str
    spec: JobSpec
    queue: QueueName
    leases: tuple[Lease, ...]
    inputs: tuple[Any, ...]

    def results(self, node: str, worked: Sequence[Worked]) -> tuple[WorkResult, ...]:
        """What a worker said, one per lease and in order, each beside its lease."""
        return tuple(
            WorkResult(lease, outcome, node, duration_ms, peak_memory_mb)
            for lease, (outcome, duration_ms, peak_memory_mb) in zip(self.leases, worked, strict=True)
        )


@dataclass(frozen=True, slots=True)
class CallReturned:
    """The worker answered: one result per lease, in order. `settled`: the runner has already saved and settled them."""

    call: Call
    results: tuple[WorkResult, ...]
    settled: bool = False


class LossReason(Enum):
    """Why no answer came. Only WORKER, NODE, MEMORY and TIMEOUT are attempts."""

    WORKER = "worker"
    NODE = "node"
    MEMORY = "memory"
    TIMEOUT = "timeout"
    UNSCHEDULABLE = "unschedulable"
    CONTROLLER = "controller"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CallLost:
    """The call did not come back. `in_hand`: index of the job the worker held when last heard of, when it is known."""

    call: Call
    reason: LossReason
    message: str
    node: str = ""
    in_hand: int | None = None


CallEnd = CallReturned | CallLost


class Submitter(Protocol):
    """Runs calls somewhere else. `submit` returns at once; `on_end` is called exactly once, from any thread."""

    def submit(self, call: Call, on_end: Callable[[CallEnd], None]) -> None: ...

    def cancel(self, call_id: str) -> None:
        """Stop a call. Its end is reported as lost; one that has ended is ignored."""
        ...

    def nodes_for(self, queue: QueueName) -> int:
        """Live nodes that serve this queue."""
        ...
