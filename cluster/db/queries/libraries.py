"""External libraries and their files. Ranges of paths are ranges of the index (library, path), in code-point order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    Table,
    and_,
    case,
    cast,
    delete,
    extract,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cluster.db.queries.assets import DELETED, HIDDEN, IMAGE, TRASHED, VIDEO, in_pages, lock_rows
from cluster.db.tables.asset import Asset, AssetExif, Library
from cluster.storage.import_paths import below, past

ASSETS: Table = Asset.__table__  # type: ignore[assignment]

EPOCH_JULIAN_DAY = 2_440_587.5
"""1970-01-01 in the days that SQLite counts."""


@dataclass(frozen=True, slots=True)
class LibraryStatistics:
    """What lies in a library. `usage_bytes`: what its files take."""

    photos: int
    videos: int
    usage_bytes: int


class KnownFile(NamedTuple):
    """A file as the rows know it. `modified_s`: seconds since 1970, to a ten-thousandth. A plain tuple, since a scan
    makes one for every file."""

    asset_id: str
    path: str
    modified_s: float
    offline: bool


def libraries(session: Session, ids: Collection[str] | None = None) -> list[Library]:
    """Those that are not deleted, or those of `ids` that are not, in the order in which they came."""
    query = select(Library).where(Library.deleted_at.is_(None)).order_by(Library.created_at, Library.id)
    return list(session.scalars(query if ids is None else query.where(Library.id.in_(ids))))


def library(session: Session, library_id: str) -> Library | None:
    """None when it does not exist or is deleted."""
    found = session.get(Library, library_id)
    return found if found is not None and found.deleted_at is None else None


def lock(session: Session, library_id: str) -> bool:
    """Whether the library is there and not deleted; it stays so until the transaction ends."""
    living = select(Library.id).where(Library.id == library_id, Library.deleted_at.is_(None))
    return session.scalar(living.with_for_update(read=True, key_share=True)) is not None


def deleted_ids(session: Session) -> list[str]:
    """Libraries that wait for their last assets to go."""
    return list(session.scalars(select(Library.id).where(Library.deleted_at.is_not(None)).order_by(Library.id)))


def remove(session: Session, library_id: str) -> None:
    """The library's row, and whatever assets are left."""
    session.execute(delete(Library).where(Library.id == library_id))


def asset_counts(session: Session, ids: Collection[str]) -> dict[str, int]:
    """Assets per library, offline ones and the trash included."""
    counted = select(Asset.library_id, func.count()).where(Asset.library_id.in_(ids)).group_by(Asset.library_id)
    found = {str(library_id): count for library_id, count in session.execute(counted)}
    return {library_id: found.get(library_id, 0) for library_id in ids}


def statistics(session: Session, library_id: str) -> LibraryStatistics:
    """Hidden parts of live photos are not counted, but take their room."""
    shown = Asset.visibility != HIDDEN
    counted = session.execute(
        select(
            func.count().filter(and_(Asset.type == IMAGE, shown)),
            func.count().filter(and_(Asset.type == VIDEO, shown)),
            func.coalesce(func.sum(AssetExif.file_size_bytes), 0),
        )
        .select_from(Asset)
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .where(Asset.library_id == library_id)
    ).one()
    return LibraryStatistics(int(counted[0]), int(counted[1]), int(counted[2] or 0))


def paths_after(session: Session, library_id: str, after: str, limit: int) -> list[str]:
    """The next paths of a library, offline ones included, in order."""
    query = select(ASSETS.c.original_path).where(_between(library_id, after)).order_by(ASSETS.c.original_path)
    return [row[0] for row in session.execute(query.limit(limit)).all()]  # half the time of reading one by one


def nth_path_after(session: Session, library_id: str, after: str, before: str, count: int) -> str | None:
    """The `count`th path after `after` and below `before`, None where there are fewer."""
    query = select(ASSETS.c.original_path).where(_between(library_id, after, before)).order_by(ASSETS.c.original_path)
    return session.execute(query.offset(count - 1).limit(1)).scalar()


def holds_below(session: Session, library_id: str, folder: str) -> bool:
    """Whether the library knows a file below `folder`."""
    return nth_path_after(session, library_id, below(folder), past(folder), 1) is not None


def files_between(session: Session, library_id: str, after: str, before: str, limit: int) -> list[KnownFile]:
    """The next files after `after` and below `before`, in the order of their paths."""
    known = _known(session).where(_between(library_id, after, before), ASSETS.c.is_external)
    rows = session.execute(known.order_by(ASSETS.c.original_path).limit(limit)).all()
    return list(map(KnownFile._make, rows))


def files_at(session: Session, library_id: str, paths: Sequence[str]) -> dict[str, KnownFile]:
    """Of these paths, the files that the library knows."""
    found: dict[str, KnownFile] = {}
    for page in in_pages(paths):
        known = _known(session).where(ASSETS.c.library_id == library_id, ASSETS.c.original_path.in_(page))
        found |= {row[1]: KnownFile._make(row) for row in session.execute(known).all()}
    return found


def _known(session: Session) -> Select[Any]:
    """The columns of a KnownFile. The database counts the seconds: making datetimes of them would take as long as all
    the rest."""
    time: ColumnElement[Any] = ASSETS.c.file_modified_at
    if session.get_bind().dialect.name == "postgresql":
        seconds: ColumnElement[Any] = cast(extract("epoch", time), Double)
    else:
        seconds = (func.julianday(time, type_=Double) - EPOCH_JULIAN_DAY) * 86_400.0
    return select(ASSETS.c.id, ASSETS.c.original_path, seconds, ASSETS.c.is_offline)


def add_files(session: Session, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Insert asset rows (all with the same columns); returns the ids of those that were not there already: of two scans
    that find a file together, one adds it."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.connection().execute(dialect.insert(ASSETS).on_conflict_do_nothing(), list(rows))
    return [
        asset_id
        for page in in_pages([row["id"] for row in rows])
        for asset_id in session.execute(select(ASSETS.c.id).where(ASSETS.c.id.in_(page))).scalars()
    ]


def set_offline(session: Session, asset_ids: Collection[str], at: datetime) -> None:
    """These files are not there any more. They go to the trash, where they are not in it already."""
    deleted_at = case((ASSETS.c.status == TRASHED, ASSETS.c.deleted_at), else_=at)
    lock_rows(session, asset_ids)
    for page in in_pages(asset_ids):
        online = (ASSETS.c.id.in_(page), ASSETS.c.is_offline.is_(False))
        session.execute(update(ASSETS).where(*online).values(is_offline=True, deleted_at=deleted_at, updated_at=at))


def set_online(session: Session, asset_ids: Collection[str], at: datetime) -> None:
    """These files are back. What a person put into the trash stays there; what waits for its deletion stays so."""
    deleted_at = case((ASSETS.c.status == TRASHED, ASSETS.c.deleted_at), else_=null())
    lock_rows(session, asset_ids)
    for page in in_pages(asset_ids):
        offline = (ASSETS.c.id.in_(page), ASSETS.c.is_offline, ASSETS.c.status != DELETED)
        session.execute(update(ASSETS).where(*offline).values(is_offline=False, deleted_at=deleted_at, updated_at=at))


def online_outside(session: Session, library_id: str, ranges: Sequence[tuple[str, str]], limit: int) -> list[str]:
    """Ids of files that are online though their path lies in none of `ranges` (first, first beyond; in order)."""
    table = ASSETS.c
    gaps: list[ColumnElement[bool]] = []
    end = ""
    for first, beyond in ranges:
        gaps.append(and_(table.original_path >= end, table.original_path < first))
        end = beyond
    gaps.append(table.original_path >= end)
    query = select(table.id).where(
        table.library_id == library_id, table.is_external, table.is_offline.is_(False), or_(*gaps)
    )
    return list(session.execute(query.limit(limit)).scalars())


def asset_ids_after(session: Session, library_id: str, after: str, limit: int) -> list[str]:
    """The next assets of a library in the order of their ids, whatever their state."""
    query = select(Asset.id).where(Asset.library_id == library_id, Asset.id > after).order_by(Asset.id)
    return list(session.scalars(query.limit(limit)))


def _between(library_id: str, after: str, before: str | None = None) -> ColumnElement[bool]:
    inside = and_(ASSETS.c.library_id == library_id, ASSETS.c.original_path > after)
    return inside if before is None else and_(inside, ASSETS.c.original_path < before)
