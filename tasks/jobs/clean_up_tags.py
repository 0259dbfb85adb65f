"""Deletes tags that no asset has, neither itself nor by a tag below it. By hand only. After: nothing.

Source: spec/pipeline.md §8.
"""

from sqlalchemy import delete, select

from cluster.db.tables.tag import Tag, TagAsset
from cluster.names import JobName
from cluster.queue.job import Done, Lease
from tasks.job import Context, RowJob
from tasks.queue_all import queue_all_spec

SPEC = queue_all_spec(JobName.TAG_CLEANUP)


def run(context: Context, lease: Lease) -> Done:
    used = select(Tag.id, Tag.parent_id).where(Tag.id.in_(select(TagAsset.tag_id))).cte("used", recursive=True)
    used = used.union(select(Tag.id, Tag.parent_id).join(used, Tag.id == used.c.parent_id))
    context.session.execute(
        delete(Tag).where(Tag.id.not_in(select(used.c.id))).execution_options(synchronize_session=False)
    )
    return Done()


JOB = RowJob(SPEC, run)
