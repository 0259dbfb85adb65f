"""What the jobs behind "All" and "Missing" share: walk assets page by page and enqueue a job for each.

A job that failed before is revived, not doubled: that is what its dedup key does.
"""

from collections.abc import Sequence

from cluster.names import JobName
from cluster.queue.job import Done, JobSpec, Lease, More, Place, Priority, asset_job
from tasks.job import Context
from tasks.missing import Missing, under_way

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


def queue_page(
    context: Context, lease: Lease, missing: Missing, asset_ids: Sequence[str], *, everything: bool | None = None
) -> Done | More:
    """Enqueue the job for one page of assets, in the order of their ids; a full page asks for the next.

    `everything`: whether all are wanted; None: as `forced` says. Otherwise those of which the job runs now, or is sure
    to come, are left out: it would be done twice.
    """
    wanted = asset_ids
    if not (forced(lease) if everything is None else everything):
        busy = under_way(context, missing.job, asset_ids)
        lacking = missing.lacking(context, [asset_id for asset_id in asset_ids if asset_id not in busy])
        wanted = [asset_id for asset_id in asset_ids if asset_id in lacking]
    priority = Priority.NIGHTLY if lease.payload.get("nightly") else Priority.BACKLOG
    jobs = [asset_job(missing.job, asset_id, priority=priority) for asset_id in wanted]
    context.store.enqueue(context.session, jobs)
    if len(asset_ids) < PAGE:
        return Done()
    return More(None, {**lease.payload, "after": asset_ids[-1]})
