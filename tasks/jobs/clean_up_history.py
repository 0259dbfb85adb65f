"""Deletes what only tells of the past: old events, job history, attempts, statistics, what people were told, and what
clients that keep a copy of their library had to be told of deleted things. Nightly. After: nothing.

The pruner does the same all day with what is the queue's, a little at a time; this job goes on until nothing is left.
Source: spec/pipeline.md §8.
"""

from datetime import timedelta

from cluster.db.queries import notifications, sync_changes
from cluster.loops.pruner import KEEP, ROWS_PER_TICK
from cluster.names import JobName
from cluster.queue.job import Done, Lease, More
from tasks.job import Context, RowJob
from tasks.queue_all import queue_all_spec

KEEP_DELETED = timedelta(days=31)
"""A day longer than a client may be away before it has to begin anew."""
KEEP_READ, KEEP_NOTIFICATIONS = timedelta(days=30), timedelta(days=90)
"""What people were told is kept for so long after they read it, or at most."""

SPEC = queue_all_spec(JobName.AUDIT_TABLE_CLEANUP)


def run(context: Context, lease: Lease) -> Done | More:
    deleted = context.store.prune(context.session, context.now - KEEP, ROWS_PER_TICK)
    deleted += sync_changes.prune_deleted(context.session, context.now - KEEP_DELETED, ROWS_PER_TICK)
    deleted += notifications.prune(
        context.session, context.now - KEEP_READ, context.now - KEEP_NOTIFICATIONS, ROWS_PER_TICK
    )
    return Done() if deleted < ROWS_PER_TICK else More(None, lease.payload)


JOB = RowJob(SPEC, run)
