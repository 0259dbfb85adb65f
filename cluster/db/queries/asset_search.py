"""Assets found by what is known of them: filters, orders, pages. Source: spec/api.md §5."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, func, intersect, select, union_all
from sqlalchemy.orm import Session

from cluster.db.dialects import contains_text, unindexed
from cluster.db.queries.access import in_link
from cluster.db.queries.assets import DELETED, HIDDEN, TIMELINE, assets_with_exif, unlocked, with_checksum
from cluster.db.queries.shared_links import KnownLink
from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.learned import OcrSearch
from cluster.db.tables.person import AssetFace
from cluster.db.tables.tag import Tag, TagAsset
from cluster.db.text_search import resembles

Found = tuple[Asset, AssetExif | None]


class AnyTags(Enum):
    """Not None, which asks for what has no tag."""

    ANY_TAGS = "any"


ANY_TAGS: Final = AnyTags.ANY_TAGS

EQUAL: Mapping[str, Any] = {
    "id": Asset.id,
    "checksum": Asset.checksum,  # found by `with_checksum`
    "type": Asset.type,
    "visibility": Asset.visibility,
    "library_id": Asset.library_id,
    "favorite": Asset.is_favorite,
    "offline": Asset.is_offline,
    "make": AssetExif.make,
    "model": AssetExif.model,
    "lens_model": AssetExif.lens_model,
    "city": AssetExif.city,
    "state": AssetExif.state,
    "country": AssetExif.country,
    "rating": AssetExif.rating,
}
"""What may be asked for exactly; None asks for what has none."""

CONTAINS: Mapping[str, Any] = {
    "original_file_name": Asset.original_file_name,
    "original_path": Asset.original_path,
    "description": AssetExif.description,
}
"""What may be asked for in part, whatever the accents and the case."""

TIMES: Mapping[str, Any] = {
    "created": Asset.created_at,
    "updated": Asset.updated_at,
    "taken": Asset.file_created_at,
    "trashed": Asset.deleted_at,
}


class SortField(StrEnum):
    """What results may be ordered by."""

    FILE_CREATED_AT = "file_created_at"
    ORIGINAL_FILE_NAME = "original_file_name"
    FILE_SIZE = "file_size"


SORT_COLUMNS: Mapping[SortField, Any] = {
    SortField.FILE_CREATED_AT: Asset.file_created_at,
    SortField.ORIGINAL_FILE_NAME: Asset.original_file_name,
    SortField.FILE_SIZE: AssetExif.file_size_bytes,
}


FEW = 4
OF_EXIF = frozenset(
    name
    for columns in (EQUAL, CONTAINS, SORT_COLUMNS)
    for name, column in columns.items()
    if column.class_ is AssetExif
)
"""What needs the other table."""


@dataclass(frozen=True, slots=True)
class Sorting:
    """One criterion."""

    field: SortField
    descending: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetFilter:
    """What all found assets have in common. What is not given is not asked for.

    `equal`: name in EQUAL → value. `contains`: name in CONTAINS → text. `since`, `until`: name in TIMES → time,
    inclusive. `files`: an asset's file type → its path. Several albums, people or tags: all of them; a tag stands for
    those below it too. `has_text`: text in the picture. Without a visibility, all but what is locked. `partner_ids`:
    whose timelines are looked through as well. `link`: what it shows, whosever it is.
    """

    owner_id: str
    partner_ids: Sequence[str] = ()
    link: KnownLink | None = None
    equal: Mapping[str, Any] = field(default_factory=dict)
    contains: Mapping[str, str] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    until: Mapping[str, datetime] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    album_ids: Sequence[str] = ()
    person_ids: Sequence[str] = ()
    tag_ids: Sequence[str] | AnyTags | None = ANY_TAGS
    outside_albums: bool = False
    motion: bool | None = None
    encoded: bool | None = None
    has_text: str | None = None
    with_deleted: bool = False
    least_bytes: int | None = None


def search(
    session: Session, wanted: AssetFilter, sorting: Sequence[Sorting], *, limit: int, offset: int = 0
) -> list[Found]:
    """One page, in this order; equal ones by id."""
    in_order = not sorting or sorting[0].field is SortField.FILE_CREATED_AT  # any other is known when all is read
    by_owner = in_order and not _leaves_few(wanted)
    firsts = [_ids(one, sorting, by_owner=by_owner).order_by(*_order(sorting)) for one in _of_each_owner(wanted)]
    ids = firsts[0] if len(firsts) == 1 else _merged([one.limit(limit + offset) for one in firsts], sorting)
    return _page(session, list(session.scalars(ids.limit(limit).offset(offset))))


def search_around(session: Session, wanted: AssetFilter, start: str, *, limit: int) -> list[Found]:
    """Up to `limit`, by id from `start` on and then from the beginning: ids are drawn by lot, so any place among them
    gives a sample without reading the rest."""
    found = _next_ids(session, wanted, Asset.id >= start, limit)
    if len(found) < limit:
        found += _next_ids(session, wanted, Asset.id < start, limit - len(found))
    return _page(session, found)


def count(session: Session, wanted: AssetFilter) -> int:
    # what files say is read faster in the table's own order; an index of what the user has answers for the rest
    by_owner = not (_leaves_few(wanted) or _named(wanted) & OF_EXIF)
    each = [_ids(one, by_owner=by_owner) for one in _of_each_owner(wanted)]
    return sum(session.scalar(one.with_only_columns(func.count(), maintain_column_froms=True)) or 0 for one in each)


def ids_of(wanted: AssetFilter) -> Select[str]:
    """Selects the ids of all that fit."""
    each = [_ids(one, by_owner=not _leaves_few(wanted)) for one in _of_each_owner(wanted)]
    return each[0] if len(each) == 1 else select(Asset.id).where(Asset.id.in_(union_all(*each)))


def in_order(session: Session, ids: Sequence[str]) -> list[Found]:
    """These assets, in the order of their ids as given; those that are gone are left out."""
    found = assets_with_exif(session, ids)
    return [found[asset_id] for asset_id in ids if asset_id in found]


def _page(session: Session, ids: Sequence[str]) -> list[Found]:
    """Whole rows are read for the page alone: sorting and skipping need no more than ids."""
    found = assets_with_exif(session, ids)
    return [found[asset_id] for asset_id in ids]


def _of_each_owner(wanted: AssetFilter) -> list[AssetFilter]:
    """Each owner is asked apart, since no index has what several of them have in one order."""
    mine = replace(wanted, partner_ids=())
    shown = {**wanted.equal, "visibility": TIMELINE}
    return [mine, *(replace(mine, owner_id=one, equal=shown, with_deleted=False) for one in wanted.partner_ids)]


def _merged(firsts: Sequence[Select[str]], sorting: Sequence[Sorting]) -> Select[str]:
    """What comes first among the first of each."""
    ids = union_all(*(select(one.subquery().c.id) for one in firsts))
    query = select(Asset.id).where(Asset.id.in_(ids)).order_by(*_order(sorting))
    if any(one.field in OF_EXIF for one in sorting):
        query = query.outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
    return query


def _next_ids(session: Session, wanted: AssetFilter, among: ColumnElement[bool], limit: int) -> list[str]:
    each = [_ids(one, by_owner=False).where(among).order_by(Asset.id).limit(limit) for one in _of_each_owner(wanted)]
    return sorted(asset_id for ids in each for asset_id in session.scalars(ids))[:limit]


def _ids(wanted: AssetFilter, sorting: Sequence[Sorting] = (), *, by_owner: bool) -> Select[str]:
    """`by_owner`: no way is shorter than an index of what the user has."""
    query = select(Asset.id).where(*_conditions(wanted, by_owner))
    if _named(wanted, sorting) & OF_EXIF:
        query = query.outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
    return query


def _named(wanted: AssetFilter, sorting: Sequence[Sorting] = ()) -> set[str]:
    size = {SortField.FILE_SIZE} if wanted.least_bytes is not None else set()
    return {*wanted.equal, *wanted.contains, *size, *(one.field for one in sorting)}


def _leaves_few(wanted: AssetFilter) -> bool:
    """Whether a condition leaves far fewer than the user has: with an index of its own, or since people rate few."""
    some_tags = bool(wanted.tag_ids) and not isinstance(wanted.tag_ids, AnyTags)
    asked = any(wanted.equal.get(name) is not None for name in ("id", "checksum", "city", "rating"))
    return (
        asked
        or some_tags
        or bool(wanted.album_ids or wanted.person_ids or wanted.files or wanted.has_text or wanted.link)
    )


def _conditions(wanted: AssetFilter, by_owner: bool) -> Iterator[ColumnElement[bool]]:
    """Over Asset, and AssetExif where it is named."""
    if wanted.link is not None:
        yield Asset.id.in_(in_link(wanted.link))
    else:
        yield (Asset.owner_id if by_owner else unindexed(Asset.owner_id)) == wanted.owner_id
    if wanted.equal.get("visibility") in (None, HIDDEN):
        yield unlocked()
    if wanted.with_deleted:
        yield Asset.status != DELETED
    else:
        yield (Asset.deleted_at if by_owner else unindexed(Asset.deleted_at)).is_(None)
    for name, value in wanted.equal.items():
        if name == "checksum":
            yield Asset.id.in_(with_checksum(wanted.owner_id, value))
        else:
            yield EQUAL[name].is_(None) if value is None else EQUAL[name] == value
    for name, text in wanted.contains.items():
        yield contains_text(CONTAINS[name], text)
    for name, time in wanted.since.items():
        yield TIMES[name] >= time
    for name, time in wanted.until.items():
        yield TIMES[name] <= time
    if wanted.least_bytes is not None:
        yield AssetExif.file_size_bytes >= wanted.least_bytes
    yield from _membership(wanted)
    yield from _files(wanted)


def _membership(wanted: AssetFilter) -> Iterator[ColumnElement[bool]]:
    yield from _in_all([select(AlbumAsset.asset_id).where(AlbumAsset.album_id == one) for one in wanted.album_ids])
    yield from _in_all([assets_with_person(one) for one in wanted.person_ids])
    if wanted.tag_ids is None:
        yield ~exists().where(TagAsset.asset_id == Asset.id)
    elif not isinstance(wanted.tag_ids, AnyTags):
        yield from _in_all([assets_with_tag(one) for one in wanted.tag_ids])
    if wanted.outside_albums:
        yield ~exists().where(AlbumAsset.asset_id == Asset.id)


def _in_all(sets: Sequence[Select[str]]) -> Iterator[ColumnElement[bool]]:
    """Each of a few may be where the database begins; for the order of hundreds PostgreSQL would look for minutes."""
    if len(sets) > FEW:
        yield Asset.id.in_(intersect(*sets))
    else:
        yield from (Asset.id.in_(one) for one in sets)


def _files(wanted: AssetFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.motion is not None:
        moving = Asset.live_photo_video_id
        yield moving.is_not(None) if wanted.motion else moving.is_(None)
    if wanted.encoded is not None:
        video = exists().where(AssetFile.asset_id == Asset.id, AssetFile.type == "encoded_video")
        yield video if wanted.encoded else ~video
    for kind, path in wanted.files.items():
        yield Asset.id.in_(select(AssetFile.asset_id).where(AssetFile.path == path, AssetFile.type == kind))
    if wanted.has_text is not None:
        yield Asset.id.in_(select(OcrSearch.asset_id).where(resembles(OcrSearch.text, wanted.has_text)))


def assets_with_person(person_id: str) -> Select[str]:
    """The ids of assets that show somebody."""
    return select(AssetFace.asset_id).where(
        AssetFace.person_id == person_id, AssetFace.deleted_at.is_(None), AssetFace.is_visible
    )


def assets_with_tag(tag_id: str) -> Select[str]:
    """The ids of assets that hang on a tag, or on one below it."""
    family = select(Tag.id).where(Tag.id == tag_id).cte(recursive=True)
    family = family.union(select(Tag.id).where(Tag.parent_id == family.c.id))
    return select(TagAsset.asset_id).where(TagAsset.tag_id.in_(select(family.c.id)))


def _order(sorting: Sequence[Sorting]) -> Iterator[ColumnElement[Any]]:
    criteria = sorting or [Sorting(SortField.FILE_CREATED_AT)]
    for one in criteria:
        column = SORT_COLUMNS[one.field]
        ordered = column.desc() if one.descending else column.asc()
        yield ordered.nulls_last() if one.field is SortField.FILE_SIZE else ordered
    yield Asset.id.desc() if criteria[-1].descending else Asset.id.asc()
