"""Deletes what only tells of the past: old events, job history, attempts, statistics. Nightly. After: nothing.

Immich's job of this name trims the tables that its sync protocol reads; events are what our clients read. The pruner
does the same all day, a little at a time; this job goes on until nothing is left to delete.
Source: spec/pipeline.md §8.
"""

from cluster.loops.pruner import KEEP, ROWS_PER_TICK
from cluster.names import JobName
from cluster.queue.job import Done, Lease, More
from tasks.job import Context, RowJob
from tasks.queue_all import queue_all_spec

SPEC = queue_all_spec(JobName.AUDIT_TABLE_CLEANUP)


def run(context: Context, lease: Lease) -> Done | More:
    deleted = context.store.prune(context.session, context.now - KEEP, ROWS_PER_TICK)
    return Done() if deleted < ROWS_PER_TICK else More(None, lease.payload)


JOB = RowJob(SPEC, run)
