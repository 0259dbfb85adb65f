"""Memories: found, and the assets in them. Every function takes the caller's transaction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from cluster.db.queries.assets import TIMELINE, in_pages
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.memory import Memory, MemoryAsset

ORDERS: Mapping[str, ColumnElement[Any]] = {
    "asc": Memory.memory_at.asc(),
    "desc": Memory.memory_at.desc(),
    "random": func.random(),
}


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """None: whatever it is. `shown_at`: a time at which the memory is shown."""

    shown_at: datetime | None = None
    saved: bool | None = None
    trashed: bool | None = None
    type: str | None = None


def memories_of(session: Session, owner_id: str, wanted: MemoryFilter, order: str, limit: int | None) -> list[Memory]:
    """The user's, by their day; `order`: asc, desc or random."""
    found = select(Memory).where(*_conditions(owner_id, wanted))
    return list(session.scalars(found.order_by(ORDERS[order], Memory.id).limit(limit)))


def count_memories(session: Session, owner_id: str, wanted: MemoryFilter) -> int:
    counted = select(func.count()).select_from(Memory).where(*_conditions(owner_id, wanted))
    return session.scalar(counted) or 0


def memory_of(session: Session, owner_id: str, memory_id: str) -> Memory | None:
    """Locked for change where the database can."""
    found = select(Memory).where(Memory.id == memory_id, Memory.owner_id == owner_id)
    return session.scalar(found.with_for_update())


def shown_assets(session: Session, memory_ids: Collection[str]) -> dict[str, list[tuple[Asset, AssetExif | None]]]:
    """What each memory shows, in the order of the day: of its assets those in the timeline."""
    shown: dict[str, list[tuple[Asset, AssetExif | None]]] = {memory_id: [] for memory_id in memory_ids}
    for page in in_pages(memory_ids):
        rows = session.execute(
            select(MemoryAsset.memory_id, Asset, AssetExif)
            .join(Asset, Asset.id == MemoryAsset.asset_id)
            .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
            .where(MemoryAsset.memory_id.in_(page), Asset.visibility == TIMELINE, Asset.deleted_at.is_(None))
            .order_by(Asset.local_date_time, Asset.id)
        )
        for memory_id, asset, exif in rows:
            shown[memory_id].append((asset, exif))
    return shown


def ids_in_memory(session: Session, memory_id: str, asset_ids: Collection[str]) -> set[str]:
    """Of these assets, those that are in the memory."""
    known = select(MemoryAsset.asset_id).where(MemoryAsset.memory_id == memory_id)
    return {one for page in in_pages(asset_ids) for one in session.scalars(known.where(MemoryAsset.asset_id.in_(page)))}


def add_to_memory(session: Session, memory_id: str, asset_ids: Collection[str]) -> None:
    """None of them may be in it yet."""
    session.add_all(MemoryAsset(memory_id=memory_id, asset_id=asset_id) for asset_id in asset_ids)


def take_from_memory(session: Session, memory_id: str, asset_ids: Collection[str]) -> None:
    for page in in_pages(asset_ids):
        session.execute(delete(MemoryAsset).where(MemoryAsset.memory_id == memory_id, MemoryAsset.asset_id.in_(page)))


def _conditions(owner_id: str, wanted: MemoryFilter) -> list[ColumnElement[bool]]:
    conditions = [
        Memory.owner_id == owner_id,
        Memory.deleted_at.is_not(None) if wanted.trashed else Memory.deleted_at.is_(None),
    ]
    if wanted.saved is not None:
        conditions.append(Memory.is_saved.is_(wanted.saved))
    if wanted.type is not None:
        conditions.append(Memory.type == wanted.type)
    if wanted.shown_at is not None:
        conditions.append(Memory.show_at.is_(None) | (Memory.show_at <= wanted.shown_at))
        conditions.append(Memory.hide_at.is_(None) | (Memory.hide_at >= wanted.shown_at))
    return conditions
