"""A job that does nothing, for measuring what is around the work. It borrows the name of one that is not served."""

from collections.abc import Sequence
from typing import Any

from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, Lease, Loaded, NewJob
from tasks import ray_worker, registry
from tasks.job import NO_FACTS, Context, Job
from tasks.tools import Tools

NAME = JobName.LIBRARY_DELETE_CHECK
QUEUE = QueueName.LIBRARY


def _load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [lease.job_id for lease in leases]


def _work(given: Any, tools: Tools) -> Any:
    return given


def _save(context: Context, lease: Lease, output: Any) -> frozenset[Any]:
    return NO_FACTS


def noop(batch: int) -> Job:
    """The job with this many to a call."""
    return Job(JobSpec(NAME, batch=batch), _load, _work, _save)


def jobs(count: int) -> list[NewJob]:
    """As many of them, each with a payload of the usual size."""
    return [
        NewJob(NAME, {"id": f"00000000-0000-4000-8000-{number:012d}", "source": "upload"}, asset_id=None)
        for number in range(count)
    ]


def run_call(packed: bytes) -> bytes:
    """The worker's side, with the no-op in the registry of its process."""
    registry._by_name()[NAME] = noop(1)
    return ray_worker.run_call(packed)
