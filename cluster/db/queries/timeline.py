"""The timeline: how many assets each month has, and those of one month. Source: spec/api.md §5.

A stack counts as its primary asset. Instead of asking that of every asset, which would read all of their rows, months
are counted from an index alone and the few other members of stacks are counted off.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from cluster.db.dialects import month_of, unindexed
from cluster.db.queries.asset_search import assets_with_person, assets_with_tag
from cluster.db.queries.assets import ARCHIVE, HIDDEN, TIMELINE, TRASHED, in_pages, unlocked
from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.stack import Stack


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the Earth, in degrees; one that crosses the date line has its west east of its east."""

    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineFilter:
    """`owner_id` None: whosever lie in the album. `partner_ids`: whose are shown besides. `visibility` None: timeline
    and archive. `primaries`: of a stack only its primary asset. `by_arrival`: dated by when they came, not by when they
    were taken."""

    owner_id: str | None
    partner_ids: tuple[str, ...] = ()
    album_id: str | None = None
    person_id: str | None = None
    tag_id: str | None = None
    favorite: bool | None = None
    trashed: bool = False
    visibility: str | None = None
    primaries: bool = False
    box: Box | None = None
    by_arrival: bool = False


class TimelineAsset(NamedTuple):
    """What a grid of thumbnails shows. A tuple, since there are thousands at a time."""

    id: str
    owner_id: str
    type: str
    width_px: int | None
    height_px: int | None
    is_favorite: bool
    visibility: str
    deleted_at: datetime | None
    thumbhash: bytes | None
    file_created_at: datetime
    local_date_time: datetime
    created_at: datetime
    duration_ms: int | None
    live_photo_video_id: str | None
    stack_id: str | None
    projection_type: str | None
    city: str | None
    country: str | None
    latitude: float | None
    longitude: float | None


_COLUMNS: tuple[Any, ...] = (
    *(Asset.id, Asset.owner_id, Asset.type, Asset.width_px, Asset.height_px, Asset.is_favorite, Asset.visibility),
    *(Asset.deleted_at, Asset.thumbhash, Asset.file_created_at, Asset.local_date_time, Asset.created_at),
    *(Asset.duration_ms, Asset.live_photo_video_id, Asset.stack_id),
    *(AssetExif.projection_type, AssetExif.city, AssetExif.country, AssetExif.latitude, AssetExif.longitude),
)
"""As TimelineAsset has them."""


def months(session: Session, wanted: TimelineFilter) -> dict[str, int]:
    """`2024-03` → how many; no month is empty. In no order."""
    found = _count(session, _per_month(wanted))
    if wanted.primaries:
        for month, hidden in _count(session, _hidden_per_month(wanted)).items():
            found[month] -= hidden
    return {month: count for month, count in found.items() if count}


def month(session: Session, wanted: TimelineFilter, start: datetime, end: datetime) -> list[TimelineAsset]:
    """The assets from `start` to before `end`, in no order."""
    date = _date(wanted)
    in_box = _within(wanted.box) if wanted.box is not None else ()
    if not wanted.by_arrival:  # a month is short whatever is asked of it, and a box may hold everything
        wanted = replace(wanted, box=None)
    query = (
        select(*_COLUMNS)
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .where(*_conditions(wanted), *in_box, date >= start, date < end)
    )
    if wanted.primaries:
        query = query.outerjoin(Stack, Stack.id == Asset.stack_id)
        query = query.where(or_(Asset.stack_id.is_(None), Stack.primary_asset_id == Asset.id))
    return [TimelineAsset._make(row) for row in session.execute(query)]


def stack_sizes(session: Session, stack_ids: Collection[str]) -> dict[str, int]:
    """How many assets each of these stacks shows."""
    found: dict[str, int] = {}
    for page in in_pages(stack_ids):
        counted = (
            select(Asset.stack_id, func.count())
            .where(Asset.stack_id.in_(page), Asset.deleted_at.is_(None))
            .group_by(Asset.stack_id)
        )
        found |= {str(row[0]): row[1] for row in session.execute(counted)}
    return found


# Putting it together, and its key in SQLAlchemy's cache, takes longer than counting a small library.
@lru_cache(maxsize=256)
def _per_month(wanted: TimelineFilter, *, leaves_few: bool = False) -> Select[str, int]:
    name = month_of(_date(wanted))
    query = select(name, func.count()).select_from(Asset).where(*_conditions(wanted, leaves_few)).group_by(name)
    if wanted.box is not None:
        query = query.join(AssetExif, AssetExif.asset_id == Asset.id).where(*_within(wanted.box))
    return query


@lru_cache(maxsize=256)
def _hidden_per_month(wanted: TimelineFilter) -> Select[str, int]:
    in_stack = and_(Asset.stack_id.is_not(None), Stack.primary_asset_id != Asset.id)
    return _per_month(wanted, leaves_few=True).join(Stack, Stack.id == Asset.stack_id).where(in_stack)


def _count(session: Session, query: Select[str, int]) -> dict[str, int]:
    return {row[0]: row[1] for row in session.connection().execute(query)}


def _date(wanted: TimelineFilter) -> Any:
    return Asset.created_at if wanted.by_arrival else Asset.local_date_time


def _conditions(wanted: TimelineFilter, leaves_few: bool = False) -> Iterator[ColumnElement[bool]]:
    """`leaves_few`: the query has a condition more, with an index of its own."""
    few = leaves_few or bool(wanted.album_id or wanted.person_id or wanted.tag_id or wanted.box)
    if wanted.owner_id is not None:
        yield (unindexed(Asset.owner_id) if few else Asset.owner_id).in_([wanted.owner_id, *wanted.partner_ids])
    if wanted.visibility is None:
        yield Asset.visibility.in_([TIMELINE, ARCHIVE])
    else:
        yield Asset.visibility == wanted.visibility
    if wanted.visibility == HIDDEN:
        yield unlocked()
    if wanted.trashed:
        yield Asset.deleted_at.is_not(None)
        yield Asset.status == TRASHED
    else:
        yield Asset.deleted_at.is_(None)
    if wanted.favorite is not None:
        yield Asset.is_favorite.is_(wanted.favorite)
    if wanted.album_id is not None:
        yield Asset.id.in_(select(AlbumAsset.asset_id).where(AlbumAsset.album_id == wanted.album_id))
    if wanted.person_id is not None:
        yield Asset.id.in_(assets_with_person(wanted.person_id))
    if wanted.tag_id is not None:
        yield Asset.id.in_(assets_with_tag(wanted.tag_id))


def _within(box: Box) -> Iterator[ColumnElement[bool]]:
    yield AssetExif.latitude.between(box.south, box.north)
    if box.west <= box.east:
        yield AssetExif.longitude.between(box.west, box.east)
    else:
        yield or_(AssetExif.longitude >= box.west, AssetExif.longitude <= box.east)
