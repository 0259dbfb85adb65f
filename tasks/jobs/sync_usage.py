"""Counts anew what each user's uploads take, in case that the running count is off. Nightly. After: nothing.

Source: spec/pipeline.md §8.
"""

from sqlalchemy import func, select

from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.user import User
from cluster.names import JobName
from cluster.queue.job import Done, Lease, More
from tasks.job import Context, RowJob
from tasks.queue_all import cursor, queue_all_spec

SPEC = queue_all_spec(JobName.USER_SYNC_USAGE)


def run(context: Context, lease: Lease) -> Done | More:
    """One user. Uploads of this user wait meanwhile, or one would be counted twice or not at all."""
    user = context.session.scalar(
        select(User).where(User.id > cursor(lease)).order_by(User.id).limit(1).with_for_update()
    )
    if user is None:
        return Done()
    taken = context.session.scalar(
        select(func.coalesce(func.sum(AssetExif.file_size_bytes), 0))
        .join(Asset, Asset.id == AssetExif.asset_id)
        .where(Asset.owner_id == user.id, Asset.library_id.is_(None))
    )
    user.quota_usage_bytes = int(taken or 0)
    return More(None, {**lease.payload, "after": user.id})


JOB = RowJob(SPEC, run)
