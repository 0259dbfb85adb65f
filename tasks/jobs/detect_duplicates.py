"""Finds what looks like a photo or video among its owner's others, and puts them into one group.

Before: smart search (uploads), whose embedding it compares; a person. After: nothing. Groups grow together: what is
near to a member of each of two groups makes them one. Source: spec/jobs-ml.md §5.
"""

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, exists, not_, select

from cluster.db.queries.assets import ids_where
from cluster.db.queries.duplicates import (
    candidates,
    comparable,
    lock_groups_of,
    merge_groups,
    note_compared,
    put_in_group,
)
from cluster.db.queries.embeddings import EmbeddingKind, unpacked
from cluster.db.tables.asset import Asset, AssetJobStatus
from cluster.db.tables.learned import SmartSearch
from cluster.names import JobName
from cluster.queue.job import Done, Failed, JobSpec, Lease, More, Place, Skipped
from cluster.system_config import SystemConfig
from tasks.job import Context, RowJob
from tasks.jobs.smart_search import model_of
from tasks.missing import Missing
from tasks.pipeline import GONE
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec, queue_page

SPEC = JobSpec(JobName.ASSET_DETECT_DUPLICATES, place=Place.ROW_JOBS, batch=32, timeout_s=60)

NEAREST = 64
"""As many of an asset's neighbours are looked at. Source: spec/jobs-ml.md §5."""


def select_page(context: Context, lease: Lease) -> Done | More | Skipped:
    """Queue everything that may be in a group and has an embedding, or what of it was never compared."""
    if not is_on(context.config):
        return Skipped("duplicate detection is off")
    chosen = _embedded() if forced(lease) else _never_compared()
    statement = select(Asset.id).where(*chosen, Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    return queue_page(context, lease, MISSING, context.session.scalars(statement).all())


def is_on(config: SystemConfig) -> bool:
    learning = config.machine_learning
    return learning.enabled and learning.clip.enabled and learning.duplicate_detection.enabled


def _embedded() -> list[ColumnElement[bool]]:
    return [*comparable(), exists().where(SmartSearch.asset_id == Asset.id)]


def _never_compared() -> list[ColumnElement[bool]]:
    compared = (AssetJobStatus.asset_id == Asset.id, AssetJobStatus.duplicates_detected_at.is_not(None))
    return [*_embedded(), not_(exists().where(*compared))]


MISSING = Missing(
    SPEC.name,
    lambda context, ids: ids_where(context.session, ids, _never_compared()) if is_on(context.config) else set(),
)


def run(context: Context, lease: Lease) -> Done | Skipped | Failed:
    if not is_on(context.config):
        return Skipped("duplicate detection is off")
    asset = context.session.get(Asset, lease.payload["id"])
    if asset is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if asset.deleted_at is not None:
        return Skipped("in the trash")
    if asset.stack_id is not None:
        return Skipped("in a stack")
    if asset.visibility in ("hidden", "locked"):
        return Skipped(asset.visibility)
    stored = context.session.get(SmartSearch, asset.id)
    if stored is None:
        return Failed(f"{asset.original_file_name}: it has no embedding, run smart search on it first")
    if stored.model != model_of(context.config):
        return Skipped("another model embedded it, which is about to be forgotten")
    found = context.vectors.within(
        context.session,
        EmbeddingKind.SMART_SEARCH,
        unpacked(stored.embedding),
        context.config.machine_learning.duplicate_detection.max_distance,
        NEAREST,
        candidates(context.session, asset, stored.model),
        asset.owner_id,
    )
    group_of = lock_groups_of(context.session, [asset.id, *(match.id for match in found)])
    if asset.id not in group_of:
        return Skipped("put away meanwhile")
    _group(context, asset, [match.id for match in found if match.id in group_of], group_of)
    return Done()


def _group(context: Context, asset: Asset, matches: Sequence[str], group_of: Mapping[str, str | None]) -> None:
    """`matches`: what is near enough, the nearest first. `group_of`: of these and of the asset itself."""
    session, now, own = context.session, context.now, group_of[asset.id]
    if not matches:
        put_in_group(session, [asset.id], None, now)
        note_compared(session, [asset.id], now)
        return
    groups = dict.fromkeys(group for match in matches if (group := group_of[match]) is not None)
    target = own or next(iter(groups), str(uuid.uuid4()))
    joining = [match for match in matches if group_of[match] != target]
    put_in_group(session, [asset.id, *joining], target, now)
    merge_groups(session, asset.owner_id, [group for group in groups if group != target], target, now)
    note_compared(session, [asset.id, *joining], now)


JOB = RowJob(SPEC, run)
QUEUE_ALL = RowJob(queue_all_spec(JobName.ASSET_DETECT_DUPLICATES_QUEUE_ALL), select_page)
