"""Takes out of memories what left the timeline, and deletes old ones that nobody saved. Nightly, by hand.

After: nothing. Source: spec/pipeline.md §8.
"""

from datetime import timedelta

from sqlalchemy import delete, exists, not_

from cluster.db.queries.assets import TIMELINE
from cluster.db.tables.asset import Asset
from cluster.db.tables.memory import Memory, MemoryAsset
from cluster.names import JobName
from cluster.queue.job import Done, Lease
from tasks.job import Context, RowJob
from tasks.queue_all import queue_all_spec

SPEC = queue_all_spec(JobName.MEMORY_CLEANUP)

KEEP = timedelta(days=30)


def run(context: Context, lease: Lease) -> Done:
    in_timeline = exists().where(Asset.id == MemoryAsset.asset_id, Asset.visibility == TIMELINE)
    old = (Memory.created_at < context.now - KEEP) & not_(Memory.is_saved)
    for statement in (delete(MemoryAsset).where(not_(in_timeline)), delete(Memory).where(old)):
        context.session.execute(statement.execution_options(synchronize_session=False))
    return Done()


JOB = RowJob(SPEC, run)
