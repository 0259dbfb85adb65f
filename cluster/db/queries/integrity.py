"""Integrity reports, and which files rows name. Every function takes the caller's transaction."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from cluster.db.queries.assets import DELETED, in_pages
from cluster.db.tables.asset import Asset, AssetFile, Library
from cluster.db.tables.integrity import IntegrityReport
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.person import Person
from cluster.db.tables.user import User
from cluster.db.tables.video import VideoSegment
from cluster.db.upsert import upsert


class ReportType(StrEnum):
    """What is wrong; the values are the wire's."""

    UNTRACKED = "untracked_file"
    MISSING = "missing_file"
    CHECKSUM = "checksum_mismatch"


class Named(StrEnum):
    """What names a file: an asset its original, an asset file a derived one or a sidecar."""

    ASSET = "asset"
    ASSET_FILE = "asset_file"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file as its row has it. `row_id`: of the asset or asset file. `report_id`: it is reported missing now.
    `import_paths`: the roots of its external library, empty for what lies in the media folder."""

    row_id: str
    path: str
    report_id: str | None
    import_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Original:
    """An upload and what its bytes must add up to. `checksum`: SHA-1, 20 bytes. `report_id`: it is reported now."""

    asset_id: str
    path: str
    checksum: bytes
    created_at: datetime
    report_id: str | None


@dataclass(frozen=True, slots=True)
class ReportedFile:
    """A report, and what its row says by now. `row_path` None: no row, or no longer one that names a file."""

    report_id: str
    path: str
    row_path: str | None
    checksum: bytes | None
    import_paths: tuple[str, ...] = ()


NAMING: tuple[InstrumentedAttribute[Any], ...] = (
    Asset.original_path,
    AssetFile.path,
    Person.thumbnail_path,
    User.profile_image_path,
    MoveHistory.old_path,
    MoveHistory.new_path,
    VideoSegment.path,
)
"""Every column that names a file of the media folder; those that name most first."""


def known_paths(session: Session, paths: Collection[str]) -> set[str]:
    """Of these, the paths that a row names."""
    known: set[str] = set()
    for column in NAMING:
        if unknown := [path for path in paths if path not in known]:
            for page in in_pages(unknown):
                known.update(session.scalars(select(column).where(column.in_(page))))
    return known


def last_of_range(session: Session, named: Named, after: str, size: int) -> str | None:
    """The id of the `size`th row after the id `after`; None when fewer are left."""
    column = _id(named)
    return session.scalar(select(column).where(column > after).order_by(column).offset(size - 1).limit(1))


def named_files(session: Session, named: Named, after: str, until: str | None) -> list[NamedFile]:
    """Rows whose id is greater than `after` and not greater than `until`. Offline assets are known to be away, and
    deleted ones wait to go: both are left out."""
    asset_id = Asset.id if named is Named.ASSET else AssetFile.asset_id
    path = Asset.original_path if named is Named.ASSET else AssetFile.path
    reported = IntegrityReport.asset_id if named is Named.ASSET else IntegrityReport.asset_file_id
    column = _id(named)
    statement = select(column, path, IntegrityReport.id, Library.import_paths).select_from(column.class_)
    if named is Named.ASSET_FILE:
        statement = statement.join(Asset, Asset.id == asset_id)
    statement = (
        statement.outerjoin(Library, Library.id == Asset.library_id)
        .outerjoin(IntegrityReport, (reported == column) & (IntegrityReport.type == ReportType.MISSING))
        .where(column > after, Asset.is_offline.is_(False), Asset.status != DELETED)
        .order_by(column)
    )
    if until is not None:
        statement = statement.where(column <= until)
    return [NamedFile(row[0], row[1], row[2], tuple(row[3] or ())) for row in session.execute(statement)]


def still_named(session: Session, named: Named, files: Sequence[NamedFile]) -> list[NamedFile]:
    """Those whose row is there and says the same path."""
    column = _id(named)
    path = Asset.original_path if named is Named.ASSET else AssetFile.path
    now: dict[str, str] = {}
    for page in in_pages([file.row_id for file in files]):
        now |= {row[0]: row[1] for row in session.execute(select(column, path).where(column.in_(page)))}
    return [file for file in files if now.get(file.row_id) == file.path]


def count_originals(session: Session) -> int:
    """Uploads whose checksum is one of their bytes."""
    return session.scalar(select(func.count()).select_from(Asset).where(*_hashed())) or 0


def originals(session: Session, after: tuple[datetime, str] | None, limit: int) -> list[Original]:
    """In the order of arrival, those after (time, id)."""
    reported = (IntegrityReport.asset_id == Asset.id) & (IntegrityReport.type == ReportType.CHECKSUM)
    statement = (
        select(Asset.id, Asset.original_path, Asset.checksum, Asset.created_at, IntegrityReport.id)
        .outerjoin(IntegrityReport, reported)
        .where(*_hashed())
        .order_by(Asset.created_at, Asset.id)
        .limit(limit)
    )
    if after is not None:
        # the first half lets both databases begin in the middle of the index
        later = (Asset.created_at > after[0]) | ((Asset.created_at == after[0]) & (Asset.id > after[1]))
        statement = statement.where(Asset.created_at >= after[0], later)
    return [Original(row[0], row[1], bytes(row[2]), row[3], row[4]) for row in session.execute(statement)]


def _hashed() -> tuple[ColumnElement[bool], ...]:
    return Asset.checksum_algorithm == "sha1", Asset.is_offline.is_(False), Asset.status != DELETED


def reported_files(session: Session, kind: ReportType, after: str, limit: int) -> list[ReportedFile]:
    """Reports in the order of their ids, after `after`, each beside what its row says."""
    statement = (
        select(
            *(IntegrityReport.id, IntegrityReport.path, Asset.original_path, Asset.checksum, AssetFile.path),
            Library.import_paths,
        )
        .outerjoin(AssetFile, AssetFile.id == IntegrityReport.asset_file_id)
        .outerjoin(Asset, Asset.id == func.coalesce(IntegrityReport.asset_id, AssetFile.asset_id))
        .outerjoin(Library, Library.id == Asset.library_id)
        .where(IntegrityReport.type == kind, IntegrityReport.id > after)
        .order_by(IntegrityReport.id)
        .limit(limit)
    )
    return [
        ReportedFile(row[0], row[1], row[4] or row[2], bytes(row[3]) if row[3] else None, tuple(row[5] or ()))
        for row in session.execute(statement)
    ]


def report(
    session: Session, kind: ReportType, paths: Sequence[tuple[str, str | None]], named: Named | None, at: datetime
) -> None:
    """Report files: (path, id of the row that names it). One that is reported already stays as it is."""
    rows = [
        {
            "id": str(uuid.uuid4()),
            "type": kind.value,
            "path": path,
            "asset_id": row_id if named is Named.ASSET else None,
            "asset_file_id": row_id if named is Named.ASSET_FILE else None,
            "created_at": at,
        }
        for path, row_id in paths
    ]
    upsert(session, IntegrityReport, rows, key=["type", "path"], keep=["id", "created_at"])


def clear(session: Session, report_ids: Collection[str]) -> None:
    """The reports go; what they are about stays."""
    for page in in_pages(report_ids):
        session.execute(delete(IntegrityReport).where(IntegrityReport.id.in_(page)))


def reports(session: Session, report_ids: Collection[str]) -> list[IntegrityReport]:
    """Those that are there."""
    return [
        found
        for page in in_pages(report_ids)
        for found in session.scalars(select(IntegrityReport).where(IntegrityReport.id.in_(page)))
    ]


def counts(session: Session) -> dict[ReportType, int]:
    """Reports of every type."""
    rows = session.execute(select(IntegrityReport.type, func.count()).group_by(IntegrityReport.type)).all()
    found = {row[0]: int(row[1]) for row in rows}
    return {kind: found.get(kind.value, 0) for kind in ReportType}


def report_page(session: Session, kind: ReportType, after_path: str | None, limit: int) -> list[IntegrityReport]:
    """In the order of paths, those after a path."""
    statement = select(IntegrityReport).where(IntegrityReport.type == kind)
    if after_path is not None:
        statement = statement.where(IntegrityReport.path > after_path)
    return list(session.scalars(statement.order_by(IntegrityReport.path).limit(limit)))


def ids_after(session: Session, kind: ReportType, after: str, limit: int) -> list[str]:
    """Ids of reports of a type, in order."""
    mine = select(IntegrityReport.id).where(IntegrityReport.type == kind, IntegrityReport.id > after)
    return list(session.scalars(mine.order_by(IntegrityReport.id).limit(limit)))


def import_paths_of(session: Session, asset_id: str) -> tuple[str, ...]:
    """The roots of the external library that an asset belongs to."""
    found = select(Library.import_paths).join(Asset, Asset.library_id == Library.id).where(Asset.id == asset_id)
    return tuple(session.scalar(found) or ())


def _id(named: Named) -> InstrumentedAttribute[str]:
    return Asset.id if named is Named.ASSET else AssetFile.id
