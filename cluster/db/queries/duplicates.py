"""Groups of assets that look alike: an asset's `duplicate_id` names its group. Every function takes the caller's
transaction.

What counts of a group is what its owner sees of it and can let go: not what is in the trash, in a stack, or neither in
the timeline nor in the archive.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Select, exists, func, select, update
from sqlalchemy.orm import Session

from cluster.db.queries.assets import ARCHIVE, TIMELINE, in_pages
from cluster.db.queries.embeddings import EmbeddingKind, are_all_of
from cluster.db.tables.asset import Asset, AssetExif, AssetJobStatus
from cluster.db.tables.learned import SmartSearch
from cluster.db.upsert import upsert

Member = tuple[Asset, AssetExif | None]


def comparable() -> list[ColumnElement[bool]]:
    """Of assets, those that may be in a group."""
    return [Asset.deleted_at.is_(None), Asset.stack_id.is_(None), Asset.visibility.in_([TIMELINE, ARCHIVE])]


def candidates(session: Session, asset: Asset, model: str) -> Select[str]:
    """The ids of what this asset may be a duplicate of. `model`: whose embeddings are compared."""
    same = (Asset.owner_id == asset.owner_id, Asset.type == asset.type, Asset.id != asset.id)
    found = select(Asset.id).where(*same, *comparable())
    if are_all_of(session, EmbeddingKind.SMART_SEARCH, model):
        return found
    return found.where(exists().where(SmartSearch.asset_id == Asset.id, SmartSearch.model == model))


def lock_groups_of(session: Session, asset_ids: Collection[str]) -> dict[str, str | None]:
    """Of these assets, those that are comparable now, each with its group; they stay so until the transaction ends."""
    found: dict[str, str | None] = {}
    for page in in_pages(sorted(asset_ids)):
        rows = session.execute(
            select(Asset.id, Asset.duplicate_id)
            .where(Asset.id.in_(page), *comparable())
            .order_by(Asset.id)
            .with_for_update(key_share=True)
        )
        found |= {row.id: row.duplicate_id for row in rows}
    return found


def members_of(session: Session, owner_id: str, group_ids: Collection[str] | None = None) -> dict[str, list[Member]]:
    """Per group of the user, or of these groups, what counts of it: the oldest first, groups by their oldest."""
    query = (
        select(Asset, AssetExif)
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .where(Asset.owner_id == owner_id, Asset.duplicate_id.is_not(None), *comparable())
        .order_by(Asset.local_date_time, Asset.id)
    )
    pages = [None] if group_ids is None else in_pages(group_ids)
    found: dict[str, list[Member]] = {}
    for page in pages:
        for asset, exif in session.execute(query if page is None else query.where(Asset.duplicate_id.in_(page))):
            found.setdefault(str(asset.duplicate_id), []).append((asset, exif))
    return found


def put_in_group(session: Session, asset_ids: Collection[str], group_id: str | None, at: datetime) -> None:
    """None: out of whichever they are in."""
    for page in in_pages(asset_ids):
        _regroup(session, [Asset.id.in_(page)], group_id, at)


def merge_groups(session: Session, owner_id: str, group_ids: Collection[str], into: str | None, at: datetime) -> None:
    """Everything that names one of these groups of the user, seen or not, is in another from now on, or in none."""
    for page in in_pages(group_ids):
        _regroup(session, [Asset.owner_id == owner_id, Asset.duplicate_id.in_(page)], into, at)


def dissolve_single_groups(session: Session, owner_id: str, at: datetime) -> None:
    """Groups of which one member counts, or none, are no groups any more."""
    counts = func.count(1).filter(*comparable())
    grouped = select(Asset.duplicate_id).where(Asset.owner_id == owner_id, Asset.duplicate_id.is_not(None))
    single = session.scalars(grouped.group_by(Asset.duplicate_id).having(counts < 2)).all()
    merge_groups(session, owner_id, [group_id for group_id in single if group_id is not None], None, at)


def note_compared(session: Session, asset_ids: Sequence[str], at: datetime) -> None:
    rows = [{"asset_id": asset_id, "duplicates_detected_at": at} for asset_id in sorted(asset_ids)]
    upsert(session, AssetJobStatus, rows, key=["asset_id"])


def _regroup(session: Session, chosen: Sequence[ColumnElement[bool]], group_id: str | None, at: datetime) -> None:
    session.execute(
        update(Asset)
        .where(*chosen, Asset.duplicate_id.is_distinct_from(group_id))
        .values(duplicate_id=group_id, updated_at=at)
        .execution_options(synchronize_session=False)
    )
