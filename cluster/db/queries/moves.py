"""The log of moves, and what is asked to know where an original belongs. Every function takes the caller's transaction.

How a row lives: `intend` (the file may be at both places), `place` (the entity's column says the new one), `forget`
(the old place is empty). See cluster/README.md, "Moves".
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from cluster.db.queries.assets import HIDDEN, in_pages
from cluster.db.tables.album import Album, AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.job import Job
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.user import User
from cluster.names import QueueName
from cluster.storage.moves import FileMove

ORIGINAL, SIDECAR = "original", "sidecar"
INTENDED, PLACED = "intended", "placed"


@dataclass(frozen=True, slots=True)
class OldName:
    """The old place of a file that has moved, and where its row says it is now; None when its row is gone."""

    move_id: str
    path_type: str
    old_path: str
    new_path: str
    current_path: str | None


@dataclass(frozen=True, slots=True)
class AlbumRow:
    """An album of an asset, with the times of its first and last picture where they were asked for."""

    album_id: str
    name: str
    start_at: datetime | None
    end_at: datetime | None


_MOVABLE: Select[*tuple[Any, ...]] = (
    select(
        *(Asset.id, Asset.owner_id, Asset.type, Asset.visibility, Asset.deleted_at, Asset.is_external),
        *(Asset.original_path, Asset.original_file_name, Asset.file_created_at, Asset.live_photo_video_id),
        *(Asset.checksum, Asset.checksum_algorithm, User.storage_label, AssetFile.path.label("sidecar_path")),
        *(AssetExif.asset_id.label("exif_id"), AssetExif.file_size_bytes),
        *(AssetExif.make, AssetExif.model, AssetExif.lens_model),
    )
    .join(User, User.id == Asset.owner_id)
    .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
    .outerjoin(
        AssetFile,
        (AssetFile.asset_id == Asset.id) & (AssetFile.type == SIDECAR) & AssetFile.is_edited.is_(False),
    )
)


def movable(session: Session, ids: Collection[str]) -> dict[str, Row[Any]]:
    """What decides where these assets belong, by id."""
    return {row.id: row for page in in_pages(ids) for row in session.execute(_MOVABLE.where(Asset.id.in_(page))).all()}


def movable_page(session: Session, after: str, limit: int) -> Sequence[Row[Any]]:
    """The next assets that a whole run looks at, in the order of their ids: what is shown and lies in our own folders;
    motion parts come with their photos."""
    shown: list[ColumnElement[bool]] = [
        Asset.deleted_at.is_(None),
        Asset.visibility != HIDDEN,
        Asset.is_external.is_(False),
        Asset.id > after,
    ]
    return session.execute(_MOVABLE.where(*shown).order_by(Asset.id).limit(limit)).all()


def first_albums(session: Session, ids: Collection[str], *, with_dates: bool) -> dict[str, AlbumRow]:
    """For each of these assets the oldest album of its owner that holds it."""
    found: dict[str, AlbumRow] = {}
    for page in in_pages(ids):
        rows = session.execute(
            select(AlbumAsset.asset_id, Album.id, Album.name)
            .join(Album, Album.id == AlbumAsset.album_id)
            .join(Asset, (Asset.id == AlbumAsset.asset_id) & (Asset.owner_id == Album.owner_id))
            .where(AlbumAsset.asset_id.in_(page), Album.deleted_at.is_(None))
            .order_by(Album.created_at.desc(), Album.id.desc())
        )
        found |= {row.asset_id: AlbumRow(row.id, row.name, None, None) for row in rows}  # the oldest comes last
    if not with_dates:
        return found
    spans = _spans(session, {album.album_id for album in found.values()})
    return {
        asset_id: AlbumRow(album.album_id, album.name, *spans.get(album.album_id, (None, None)))
        for asset_id, album in found.items()
    }


def _spans(session: Session, album_ids: Collection[str]) -> dict[str, tuple[datetime | None, datetime | None]]:
    spans: dict[str, tuple[datetime | None, datetime | None]] = {}
    for page in in_pages(album_ids):
        rows = session.execute(
            select(AlbumAsset.album_id, func.min(Asset.file_created_at), func.max(Asset.file_created_at))
            .join(Asset, Asset.id == AlbumAsset.asset_id)
            .where(AlbumAsset.album_id.in_(page), Asset.deleted_at.is_(None))
            .group_by(AlbumAsset.album_id)
        )
        spans |= {row[0]: (row[1], row[2]) for row in rows}
    return spans


_CLAIMS = (Asset.original_path, AssetFile.path, MoveHistory.new_path, MoveHistory.old_path)
"""Columns whose paths nobody else may be sent to, whether something lies there or not."""


def claimed(session: Session, paths: Collection[str]) -> set[str]:
    """Of these paths, those that a row names."""
    return {
        path
        for page in in_pages(paths)
        for path in session.scalars(union_all(*(select(column).where(column.in_(page)) for column in _CLAIMS)))
    }


def claimed_beside(session: Session, start: str) -> set[str]:
    """All paths that a row names and that begin with `start` and a plus."""
    after, before = f"{start}+", f"{start},"  # a comma follows the plus
    return set(
        session.scalars(union_all(*(select(column).where(column >= after, column < before) for column in _CLAIMS)))
    )


def moves_of(session: Session, entity_ids: Collection[str]) -> dict[str, list[MoveHistory]]:
    """What is on its way of these entities."""
    found: dict[str, list[MoveHistory]] = {}
    for page in in_pages(entity_ids):
        for row in session.scalars(select(MoveHistory).where(MoveHistory.entity_id.in_(page))):
            found.setdefault(row.entity_id, []).append(row)
    return found


def intended_page(session: Session, after: str, limit: int) -> list[MoveHistory]:
    """Moves that were begun and not ended, both files of an asset on one page, in the order of entities."""
    entities = (
        select(MoveHistory.entity_id)
        .where(MoveHistory.state == INTENDED, MoveHistory.entity_id > after)
        .distinct()
        .order_by(MoveHistory.entity_id)
        .limit(limit)
    )
    ids = session.scalars(entities).all()
    rows = select(MoveHistory).where(MoveHistory.entity_id.in_(ids), MoveHistory.state == INTENDED)
    return list(session.scalars(rows.order_by(MoveHistory.entity_id, MoveHistory.path_type)))


def intend(session: Session, moves: Sequence[FileMove], now: datetime) -> None:
    """Write down where files are going to lie, before they are touched."""
    rows = [
        {
            "id": move.move_id,
            "entity_id": move.entity_id,
            "path_type": move.path_type,
            "old_path": move.source,
            "new_path": move.target,
            "state": INTENDED,
            "created_at": now,
            "updated_at": now,
        }
        for move in moves
    ]
    if rows:
        session.execute(insert(MoveHistory), rows)


# The old path is asked for, so that nothing is written over what another did meanwhile.
_SET_ORIGINAL = (
    update(Asset.__table__)  # type: ignore[arg-type]  # a table, which takes many parameters at once
    .where(Asset.id == bindparam("entity"), Asset.original_path == bindparam("old"))
    .values(original_path=bindparam("new"), updated_at=bindparam("now"))
)
_SET_SIDECAR = (
    update(AssetFile.__table__)  # type: ignore[arg-type]
    .where(AssetFile.asset_id == bindparam("entity"), AssetFile.type == SIDECAR, AssetFile.path == bindparam("old"))
    .values(path=bindparam("new"), updated_at=bindparam("now"))
)


def place(session: Session, moves: Sequence[FileMove], now: datetime) -> set[str]:
    """These files have their new names: from now on their rows say so. Returns the ids of the moves for which that is
    true; the rows of the others are gone, or name another file by now."""
    for statement, path_type in ((_SET_ORIGINAL, ORIGINAL), (_SET_SIDECAR, SIDECAR)):
        changes = [
            {"entity": move.entity_id, "old": move.source, "new": move.target, "now": now}
            for move in moves
            if move.path_type == path_type
        ]
        if changes:
            session.connection().execute(statement, changes)
    placed = _where_they_are(session, moves)
    for page in in_pages(placed):
        session.execute(update(MoveHistory).where(MoveHistory.id.in_(page)).values(state=PLACED, updated_at=now))
    return placed


def _where_they_are(session: Session, moves: Sequence[FileMove]) -> set[str]:
    wanted = {(move.entity_id, move.target): move.move_id for move in moves}
    placed: set[str] = set()
    for page in in_pages([move.entity_id for move in moves]):
        paths = union_all(
            select(Asset.id, Asset.original_path).where(Asset.id.in_(page)),
            select(AssetFile.asset_id, AssetFile.path).where(AssetFile.asset_id.in_(page), AssetFile.type == SIDECAR),
        )
        placed |= {wanted[key] for row in session.execute(paths) if (key := (row[0], row[1])) in wanted}
    return placed


def forget(session: Session, move_ids: Collection[str]) -> None:
    """These moves are over, or never began."""
    for page in in_pages(move_ids):
        session.execute(delete(MoveHistory).where(MoveHistory.id.in_(page)))


def old_names(session: Session, limit: int) -> list[OldName]:
    """Files that have moved and whose old place nobody needs: no job that may have been told of it is active."""
    busy = select(Job.asset_id).where(
        Job.state == "active", Job.asset_id.is_not(None), Job.queue != QueueName.STORAGE_TEMPLATE_MIGRATION
    )
    rows = session.execute(
        select(
            *(MoveHistory.id, MoveHistory.path_type, MoveHistory.old_path, MoveHistory.new_path),
            case((MoveHistory.path_type == ORIGINAL, Asset.original_path), else_=AssetFile.path).label("current_path"),
        )
        .outerjoin(Asset, Asset.id == MoveHistory.entity_id)
        .outerjoin(
            AssetFile,
            (AssetFile.asset_id == MoveHistory.entity_id)
            & (AssetFile.type == SIDECAR)
            & AssetFile.is_edited.is_(False),
        )
        .where(MoveHistory.state == PLACED, MoveHistory.entity_id.not_in(busy))
        .order_by(MoveHistory.updated_at)
        .limit(limit)
    )
    return [OldName(row.id, row.path_type, row.old_path, row.new_path, row.current_path) for row in rows]


def any_placed(session: Session) -> bool:
    """Whether an old place is still to be cleared."""
    return bool(session.scalar(select(exists().where(MoveHistory.state == PLACED))))


def any_moves(session: Session) -> bool:
    """Whether anything is on its way."""
    return bool(session.scalar(select(exists().where(MoveHistory.id.is_not(None)))))
