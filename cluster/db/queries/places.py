"""Where assets were taken, and with what: for the map, for the explore page, and as suggestions while one types."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, ScalarSelect, Select, Subquery, and_, func, or_, select
from sqlalchemy.orm import Session

from cluster.db.dialects import unindexed
from cluster.db.queries.access import visible_albums
from cluster.db.queries.assets import ARCHIVE, IMAGE, TIMELINE
from cluster.db.queries.partners import sharing_with
from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif

WORDS: Mapping[str, Any] = {
    "country": AssetExif.country,
    "state": AssetExif.state,
    "city": AssetExif.city,
    "make": AssetExif.make,
    "model": AssetExif.model,
    "lens_model": AssetExif.lens_model,
}
"""What may be suggested, and narrow suggestions down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerFilter:
    """Which assets the map shows. `since`, `until`: when taken, inclusive. `partners`: what is on their timelines,
    too, unless favourites are asked for, which are their own affair."""

    archived: bool = False
    favorite: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    shared_albums: bool = False
    partners: bool = False


class Marker(NamedTuple):
    """A pin on the map, in degrees. A tuple, since there are tens of thousands at a time."""

    asset_id: str
    latitude: float
    longitude: float
    city: str | None
    state: str | None
    country: str | None


def markers(session: Session, user_id: str, wanted: MarkerFilter) -> list[Marker]:
    """The newest first."""
    visibilities = [TIMELINE, ARCHIVE] if wanted.archived else [TIMELINE]
    some_time = wanted.since is not None or wanted.until is not None
    owner: Any = Asset.owner_id if some_time else unindexed(Asset.owner_id)
    query = _markers(visibilities).where(or_(*_on_the_map_of(user_id, owner, wanted)))
    if wanted.favorite is not None:
        query = query.where(Asset.is_favorite.is_(wanted.favorite))
    if wanted.since is not None:
        query = query.where(Asset.file_created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(Asset.file_created_at <= wanted.until)
    return [Marker._make(row) for row in session.execute(query)]


def album_markers(session: Session, album_id: str) -> list[Marker]:
    """The same of an album."""
    query = _markers([TIMELINE, ARCHIVE]).join(AlbumAsset, AlbumAsset.asset_id == Asset.id)
    return [Marker._make(row) for row in session.execute(query.where(AlbumAsset.album_id == album_id))]


def _markers(visibilities: list[str]) -> Select[*tuple[Any, ...]]:
    columns: tuple[Any, ...] = (AssetExif.latitude, AssetExif.longitude, AssetExif.city, AssetExif.state)
    return (
        select(Asset.id, *columns, AssetExif.country)
        .join(AssetExif, AssetExif.asset_id == Asset.id)
        .where(
            AssetExif.latitude.is_not(None),
            AssetExif.longitude.is_not(None),
            unindexed(Asset.deleted_at).is_(None),
            Asset.visibility.in_(visibilities),
        )
        .order_by(Asset.file_created_at.desc(), Asset.id)
    )


def _on_the_map_of(user_id: str, owner: ColumnElement[str], wanted: MarkerFilter) -> Iterator[ColumnElement[bool]]:
    yield owner == user_id
    if wanted.shared_albums and wanted.favorite is None:
        yield Asset.id.in_(select(AlbumAsset.asset_id).where(AlbumAsset.album_id.in_(visible_albums(user_id))))
    if wanted.partners and wanted.favorite is None:
        yield and_(owner.in_(sharing_with(user_id)), Asset.visibility == TIMELINE)


def suggestions(session: Session, user_id: str, kind: str, narrow: Mapping[str, str]) -> list[str]:
    """What the user's timeline has of one kind of WORDS, in order. `narrow`: other kinds → their value."""
    word = unindexed(WORDS[kind])
    query = (
        select(word)
        .distinct()
        .select_from(Asset)
        .join(AssetExif, AssetExif.asset_id == Asset.id)
        .where(word.is_not(None), word != "", *_on_timeline(user_id))
        .where(*(WORDS[name] == value for name, value in narrow.items()))
        .order_by(word)
    )
    return list(session.scalars(query))


def city_pictures(session: Session, user_id: str) -> list[tuple[str, str]]:
    """(city, the id of a picture there) for every city on the user's timeline, in order."""
    cities = select(AssetExif.city).where(AssetExif.city.is_not(None)).distinct().subquery()
    return _pictures(session, user_id, cities, cities.c.city, None)


def great_cities(session: Session, user_id: str, *, least: int, limit: int) -> list[tuple[str, str]]:
    """The same for the cities with the most assets on this server, at least so many."""
    count = func.count().label("count")
    cities = (
        select(AssetExif.city, count)
        .where(AssetExif.city.is_not(None))
        .group_by(AssetExif.city)
        .having(count >= least)
        .subquery()
    )
    return _pictures(session, user_id, cities, -cities.c.count, limit)


def _pictures(
    session: Session, user_id: str, cities: Subquery, order: ColumnElement[Any], limit: int | None
) -> list[tuple[str, str]]:
    """The names come from an index alone; then one asset is looked for in each city, instead of reading all."""
    pictures = select(cities.c.city, _picture_in(user_id, cities.c.city).label("asset_id"), order.label("rank"))
    listed = pictures.subquery()
    query = select(listed.c.city, listed.c.asset_id).where(listed.c.asset_id.is_not(None))
    rows = session.execute(query.order_by(listed.c.rank, listed.c.city).limit(limit))
    return [(row[0], row[1]) for row in rows]


def _picture_in(user_id: str, city: ColumnElement[str]) -> ScalarSelect[str]:
    return (
        select(Asset.id)
        .join(AssetExif, AssetExif.asset_id == Asset.id)
        .where(AssetExif.city == city, Asset.type == IMAGE, *_on_timeline(user_id))
        .limit(1)
        .scalar_subquery()
    )


def _on_timeline(user_id: str) -> tuple[ColumnElement[bool], ...]:
    """For queries that begin with what files say, or with every row: a timeline is no shorter way to it."""
    return (
        unindexed(Asset.owner_id) == user_id,
        Asset.visibility == TIMELINE,
        unindexed(Asset.deleted_at).is_(None),
    )
