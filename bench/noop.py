"""A job that does nothing, or waits, for measuring what is around the work. It borrows the names of some that are not
served, or are not needed.
"""

import time
from collections.abc import Sequence
from typing import Any

from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, Lease, Loaded, NewJob
from tasks import ray_worker, registry
from tasks.job import NO_FACTS, Context, Job
from tasks.tools import Tools

NAME = JobName.LIBRARY_DELETE_CHECK
QUEUE = QueueName.LIBRARY
OTHER_NAMES = (JobName.LIBRARY_REMOVE_ASSET, JobName.SIDECAR_CHECK, JobName.SIDECAR_WRITE)


def _load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [(lease.job_id, lease.payload.get("wait_s")) for lease in leases]


def _work(given: Any, tools: Tools) -> Any:
    job_id, wait_s = given
    if wait_s:
        time.sleep(wait_s)
    return job_id


def _save(context: Context, lease: Lease, output: Any) -> frozenset[Any]:
    return NO_FACTS


def noop(batch: int, name: JobName = NAME) -> Job:
    """The job with this many to a call."""
    return Job(JobSpec(name, batch=batch), _load, _work, _save)


def jobs(count: int, names: Sequence[JobName] = (NAME,), wait_s: float = 0.0) -> list[NewJob]:
    """As many of them, of these by turns, each with a payload of the usual size. `wait_s`: what each sleeps."""
    more = {"wait_s": wait_s} if wait_s else {}
    return [
        NewJob(
            names[number % len(names)],
            {"id": f"00000000-0000-4000-8000-{number:012d}", "source": "upload"} | more,
            asset_id=None,
        )
        for number in range(count)
    ]


def run_call(packed: bytes) -> bytes:
    """The worker's side, with the no-op in the registry of its process."""
    registry._by_name().update({name: noop(1, name) for name in (NAME, *OTHER_NAMES)})
    return ray_worker.run_call(packed)
