"""What the jobs behind "All" and "Missing" share: walk assets page by page and enqueue a job for each.

A job that failed before is revived, not doubled: that is what its dedup key does.
"""

from collections.abc import Sequence

from cluster.names import JobName
from cluster.queue.job import Done, JobSpec, Lease, More, Place, Priority, asset_job
from tasks.job import Context

PAGE = 1000
"""Assets per transaction. Source: spec/queues.md §2."""


def queue_all_spec(name: JobName) -> JobSpec:
    """The spec of a job that queues others."""
    return JobSpec(name, place=Place.ROW_JOBS, timeout_s=60)


def forced(lease: Lease) -> bool:
    """Whether all are wanted ("All"), or only those that lack something ("Missing", which an absent flag means too)."""
    return bool(lease.payload.get("force"))


def cursor(lease: Lease) -> str:
    """The id of the last asset of the page before, empty at the start."""
    return str(lease.payload.get("after", ""))


def queue_page(context: Context, lease: Lease, name: JobName, asset_ids: Sequence[str]) -> Done | More:
    """Enqueue `name` for one page of assets, in the order of their ids; a full page asks for the next."""
    priority = Priority.NIGHTLY if lease.payload.get("nightly") else Priority.BACKLOG
    context.store.enqueue(context.session, [asset_job(name, asset_id, priority=priority) for asset_id in asset_ids])
    if len(asset_ids) < PAGE:
        return Done()
    return More(None, {**lease.payload, "after": asset_ids[-1]})
