"""Assets: found by checksum, read for clients, counted, trashed. Every function takes the caller's transaction."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, and_, bindparam, delete, exists, func, or_, select, true, update
from sqlalchemy.orm import Session, aliased

from cluster.db.dialects import day_of, unindexed
from cluster.db.tables.asset import Asset, AssetExif, AssetFile, AssetMetadata, Library
from cluster.db.tables.user import User
from cluster.db.upsert import upsert
from cluster.storage.import_paths import below, past

ACTIVE, TRASHED, DELETED = "active", "trashed", "deleted"
"""An asset's `status`. Deleted ones wait for their job."""

TIMELINE, ARCHIVE, HIDDEN, LOCKED = "timeline", "archive", "hidden", "locked"
"""An asset's `visibility`."""

IMAGE, VIDEO = "IMAGE", "VIDEO"

_IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Known:
    """An upload that the user has already. `deleted`: for good, and only its job has not come yet."""

    asset_id: str
    trashed: bool
    deleted: bool


@dataclass(frozen=True, slots=True)
class MediaSource:
    """What is needed to serve an asset's files. `files`: type → path, edited ones apart. `import_paths`: roots of its
    external library, empty for uploads."""

    asset_id: str
    type: str
    original_path: str
    original_file_name: str
    files: dict[str, str]
    edited_files: dict[str, str]
    import_paths: tuple[str, ...]


_photo = aliased(Asset)


def unlocked() -> ColumnElement[bool]:
    """Whether an asset is not locked, nor the moving part of a photo that is."""
    of_locked = exists().where(_photo.live_photo_video_id == Asset.id, _photo.visibility == LOCKED)
    return and_(Asset.visibility != LOCKED, or_(Asset.visibility != HIDDEN, ~of_locked))


def in_pages(ids: Collection[str]) -> Iterable[list[str]]:
    """Lists short enough for one statement, without repeats."""
    unique = list(dict.fromkeys(ids))
    for start in range(0, len(unique), _IDS_AT_ONCE):
        yield unique[start : start + _IDS_AT_ONCE]


def known_uploads(session: Session, owner_id: str, checksums: Collection[bytes]) -> dict[bytes, Known]:
    """Of these SHA-1 checksums, those that the user has uploaded, the trash included."""
    found: dict[bytes, Known] = {}
    unique = list(dict.fromkeys(checksums))
    for start in range(0, len(unique), _IDS_AT_ONCE):
        rows = session.execute(
            select(Asset.checksum, Asset.id, Asset.deleted_at, Asset.status).where(
                Asset.owner_id == owner_id,
                Asset.checksum.in_(unique[start : start + _IDS_AT_ONCE]),
                Asset.library_id.is_(None),
            )
        )
        found |= {bytes(row.checksum): Known(row.id, row.deleted_at is not None, row.status == DELETED) for row in rows}
    return found


def with_checksum(owner_id: str, checksum: bytes) -> CompoundSelect[str]:
    """The ids of the user's assets with this SHA-1. Uploads and files of libraries have an index each."""
    same = select(Asset.id).where(Asset.owner_id == owner_id, Asset.checksum == checksum)
    libraries = select(Library.id).where(Library.owner_id == owner_id)
    return same.where(Asset.library_id.is_(None)).union_all(same.where(Asset.library_id.in_(libraries)))


def use_quota(session: Session, user_id: str, size_bytes: int) -> bool:
    """Count `size_bytes` more for the user; False, and nothing changes, when that is more than the user may have."""
    room = User.quota_size_bytes.is_(None) | (User.quota_usage_bytes + size_bytes <= User.quota_size_bytes)
    counted = session.execute(
        update(User)
        .where(User.id == user_id, room)
        .values(quota_usage_bytes=User.quota_usage_bytes + size_bytes)
        .execution_options(synchronize_session=False)
    )
    return bool(counted.rowcount)  # type: ignore[attr-defined]


def asset_with_exif(session: Session, asset_id: str) -> tuple[Asset, AssetExif | None] | None:
    """The asset, of whomever, and what its file says."""
    row = session.execute(
        select(Asset, AssetExif).outerjoin(AssetExif, AssetExif.asset_id == Asset.id).where(Asset.id == asset_id)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def assets_with_exif(session: Session, ids: Collection[str]) -> dict[str, tuple[Asset, AssetExif | None]]:
    """As `asset_with_exif`, for many; those that are gone are left out."""
    found: dict[str, tuple[Asset, AssetExif | None]] = {}
    for page in in_pages(ids):
        rows = session.execute(
            select(Asset, AssetExif).outerjoin(AssetExif, AssetExif.asset_id == Asset.id).where(Asset.id.in_(page))
        )
        found |= {row[0].id: (row[0], row[1]) for row in rows}
    return found


def owned_ids(session: Session, owner_id: str, ids: Collection[str], *, with_locked: bool = False) -> set[str]:
    """Of these assets, those that belong to the user, the trash included."""
    found: set[str] = set()
    for page in in_pages(ids):
        mine = select(Asset.id).where(Asset.id.in_(page), unindexed(Asset.owner_id) == owner_id)
        found.update(session.scalars(mine if with_locked else mine.where(unlocked())))
    return found


def owned_assets(
    session: Session, owner_id: str, ids: Collection[str], *, with_locked: bool = False
) -> list[tuple[Asset, AssetExif | None]]:
    """Of these assets, those that belong to the user, in the order of ids; locked for change as by `lock_rows`."""
    found: list[tuple[Asset, AssetExif | None]] = []
    for page in in_pages(sorted(ids)):
        rows = session.execute(
            select(Asset, AssetExif)
            .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
            .where(Asset.id.in_(page), unindexed(Asset.owner_id) == owner_id, true() if with_locked else unlocked())
            .order_by(Asset.id)
            .with_for_update(of=Asset, key_share=True)
        )
        found += [(row[0], row[1]) for row in rows]
    return found


# Every thumbnail asks this: built once, and run without the ORM, it costs half.
_MEDIA_SOURCE = (
    select(
        Asset.type,
        Asset.original_path,
        Asset.original_file_name,
        Library.import_paths,
        AssetFile.type.label("file_type"),
        AssetFile.path,
        AssetFile.is_edited,
    )
    .outerjoin(Library, Library.id == Asset.library_id)
    .outerjoin(AssetFile, AssetFile.asset_id == Asset.id)
    .where(Asset.id == bindparam("asset_id"), Asset.owner_id == bindparam("owner_id"))
)
_UNLOCKED_MEDIA_SOURCE = _MEDIA_SOURCE.where(unlocked())


def media_source(session: Session, owner_id: str, asset_id: str, *, with_locked: bool = False) -> MediaSource | None:
    """The files of an asset that belongs to the user; None when there is none such."""
    asked = _MEDIA_SOURCE if with_locked else _UNLOCKED_MEDIA_SOURCE
    rows = session.connection().execute(asked, {"asset_id": asset_id, "owner_id": owner_id}).all()
    if not rows:
        return None
    first = rows[0]
    return MediaSource(
        asset_id,
        first.type,
        first.original_path,
        first.original_file_name,
        {row.file_type: row.path for row in rows if row.path is not None and not row.is_edited},
        {row.file_type: row.path for row in rows if row.path is not None and row.is_edited},
        tuple(first.import_paths or ()),
    )


def path_in_use(session: Session, path: str) -> bool:
    """Whether a row names this file."""
    original = select(Asset.id).where(Asset.original_path == path)
    derived = select(AssetFile.id).where(AssetFile.path == path)
    return (
        session.execute(original.limit(1)).first() is not None or session.execute(derived.limit(1)).first() is not None
    )


def others_lie_below(session: Session, owner_id: str, folder: str) -> bool:
    """Whether the original of another user lies in this folder."""
    inside = (Asset.original_path > below(folder), Asset.original_path < past(folder))
    return session.execute(select(Asset.id).where(Asset.owner_id != owner_id, *inside).limit(1)).first() is not None


def count_by_type(
    session: Session, owner_id: str, *, favorite: bool | None, trashed: bool | None, visibility: str | None
) -> dict[str, int]:
    """How many assets of each type the user has. `visibility` None: timeline and archive."""
    conditions: list[ColumnElement[bool]] = [
        Asset.owner_id == owner_id,
        Asset.status != DELETED,
        Asset.visibility == visibility if visibility else Asset.visibility.in_([TIMELINE, ARCHIVE]),
    ]
    if visibility == HIDDEN:
        conditions.append(unlocked())
    if favorite is not None:
        conditions.append(Asset.is_favorite.is_(favorite))
    conditions.append(Asset.deleted_at.is_not(None) if trashed else Asset.deleted_at.is_(None))
    counted = session.execute(select(Asset.type, func.count()).where(*conditions).group_by(Asset.type))
    return {row[0]: row[1] for row in counted}


def count_by_day(session: Session, owner_id: str, date: Any, start: datetime, end: datetime) -> dict[str, int]:
    """`2024-03-05` → how many of the user's timeline and archive, from `start` to before `end`; no day is empty.
    `date`: the column to go by."""
    day = day_of(date)
    counted = (
        select(day, func.count())
        .where(Asset.owner_id == owner_id, Asset.visibility.in_([TIMELINE, ARCHIVE]), Asset.deleted_at.is_(None))
        .where(date >= start, date < end)
        .group_by(day)
    )
    return {row[0]: row[1] for row in session.execute(counted)}


def ids_where(session: Session, ids: Collection[str], conditions: Iterable[ColumnElement[bool]]) -> set[str]:
    """Of these assets, those that fulfil all conditions."""
    wanted = list(conditions)
    return {
        asset_id
        for page in in_pages(ids)
        for asset_id in session.scalars(select(Asset.id).where(Asset.id.in_(page), *wanted))
    }


def lock_rows(session: Session, ids: Collection[str]) -> None:
    """Hold these assets for a change of many until the transaction ends. All who write many take them in the order of
    ids, so that two of them do not wait for each other in a circle. SQLite has one writer, and nothing to hold."""
    if session.get_bind().dialect.name == "postgresql":
        for page in in_pages(sorted(ids)):
            rows = select(Asset.id).where(Asset.id.in_(page)).order_by(Asset.id)
            session.execute(rows.with_for_update(key_share=True))


def set_status(session: Session, ids: Collection[str], status: str, at: datetime) -> None:
    """Move assets to the trash (`trashed`), out of it (`active`) or towards deletion (`deleted`)."""
    deleted_at = None if status == ACTIVE else at
    lock_rows(session, ids)
    for page in in_pages(ids):
        session.execute(
            update(Asset)
            .where(Asset.id.in_(page))
            .values(status=status, deleted_at=deleted_at, updated_at=at)
            .execution_options(synchronize_session=False)
        )


def take_back(session: Session, asset_id: str, at: datetime) -> bool:
    """An asset that was deleted, and whose job has not come yet, is in the library again; False when it has come."""
    taken = session.execute(
        update(Asset)
        .where(Asset.id == asset_id)
        .values(status=ACTIVE, deleted_at=None, updated_at=at)
        .execution_options(synchronize_session=False)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def trashed_ids(
    session: Session, owner_id: str, ids: Collection[str] | None = None, *, with_locked: bool = False
) -> list[str]:
    """The user's assets in the trash, or those of `ids` that are."""
    trashed = select(Asset.id).where(Asset.status == TRASHED, Asset.deleted_at.is_not(None))
    if not with_locked:
        trashed = trashed.where(unlocked())
    if ids is None:
        return list(session.scalars(trashed.where(Asset.owner_id == owner_id)))
    mine = trashed.where(unindexed(Asset.owner_id) == owner_id)
    return [asset_id for page in in_pages(ids) for asset_id in session.scalars(mine.where(Asset.id.in_(page)))]


def put_metadata(session: Session, asset_id: str, items: Mapping[str, Mapping[str, Any]], at: datetime) -> None:
    """Remember these values under their keys, in place of older ones."""
    rows = [{"asset_id": asset_id, "key": key, "value": dict(value), "updated_at": at} for key, value in items.items()]
    upsert(session, AssetMetadata, rows, key=["asset_id", "key"])


def delete_metadata(session: Session, asset_id: str, keys: Collection[str]) -> None:
    for page in in_pages(keys):
        session.execute(
            delete(AssetMetadata)
            .where(AssetMetadata.asset_id == asset_id, AssetMetadata.key.in_(page))
            .execution_options(synchronize_session=False)
        )


def metadata_of(session: Session, asset_id: str) -> list[AssetMetadata]:
    """What clients had remembered, by key."""
    found = select(AssetMetadata).where(AssetMetadata.asset_id == asset_id).order_by(AssetMetadata.key)
    return list(session.scalars(found))
