"""Encoded videos, and encodes in parts: the row of the whole, which every part's end locks, and the rows of its parts.

Every function takes the caller's transaction. Whoever changes a part locks the whole first.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.video import VideoEncoding, VideoSegment
from cluster.db.upsert import upsert

ENCODED_VIDEO = "encoded_video"
"""The type of the asset's file that all this is for."""
PICTURE, SOUND = "video", "audio"
"""A part's `kind`."""
WAITING, DONE = "waiting", "done"
"""A part's `state`."""


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part. `start_pts`, `frame_count`: None for sound; `path`: of a done one."""

    kind: str
    number: int
    start_pts: int | None
    frame_count: int | None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class EncodingRow:
    """An encode in parts with what belongs to its asset. `parts`: in the order of joining, sound last."""

    asset_id: str
    owner_id: str
    original_path: str
    original_file_name: str
    fingerprint: str
    plan: Mapping[str, Any]
    parts: tuple[PartRow, ...]

    @property
    def missing(self) -> tuple[PartRow, ...]:
        """Parts that are not done."""
        return tuple(part for part in self.parts if part.path is None)


def encodings(session: Session, asset_ids: Collection[str]) -> dict[str, EncodingRow]:
    """Those of these assets that are being encoded in parts, by asset."""
    heads = session.execute(
        select(
            *(VideoEncoding.asset_id, VideoEncoding.fingerprint, VideoEncoding.plan),
            *(Asset.owner_id, Asset.original_path, Asset.original_file_name),
        )
        .join(Asset, Asset.id == VideoEncoding.asset_id)
        .where(VideoEncoding.asset_id.in_(list(asset_ids)))
    ).all()
    parts: dict[str, list[PartRow]] = {head.asset_id: [] for head in heads}
    found = session.execute(
        select(VideoSegment.asset_id, *_COLUMNS)
        .where(VideoSegment.asset_id.in_(list(parts)))
        .order_by(VideoSegment.kind.desc(), VideoSegment.number)
    )
    for asset_id, kind, number, start_pts, frame_count, path in found:
        parts[asset_id].append(PartRow(kind, number, start_pts, frame_count, path))
    return {head.asset_id: EncodingRow(**head._mapping, parts=tuple(parts[head.asset_id])) for head in heads}


_COLUMNS = (
    *(VideoSegment.kind, VideoSegment.number, VideoSegment.start_pts, VideoSegment.frame_count, VideoSegment.path),
)


def lock(session: Session, asset_id: str) -> str | None:
    """Hold the encode of this asset until the transaction ends; its fingerprint, None when there is none."""
    return session.scalar(select(VideoEncoding.fingerprint).where(VideoEncoding.asset_id == asset_id).with_for_update())


def begin(
    session: Session,
    asset_id: str,
    fingerprint: str,
    plan: Mapping[str, Any],
    parts: Sequence[PartRow],
    now: datetime,
) -> None:
    """Write down a new encode; nothing changes where there is one already. The asset must exist."""
    head = {"asset_id": asset_id, "fingerprint": fingerprint, "plan": plan, "created_at": now, "updated_at": now}
    every_column = ["fingerprint", "plan", "created_at", "updated_at"]
    upsert(session, VideoEncoding, [head], key=["asset_id"], keep=every_column)
    if lock(session, asset_id) != fingerprint:
        return
    columns = ("kind", "number", "start_pts", "frame_count")
    rows = [{name: getattr(part, name) for name in columns} for part in parts]
    rows = [{"asset_id": asset_id, **row, "state": WAITING, "updated_at": now} for row in rows]
    upsert(session, VideoSegment, rows, key=["asset_id", "kind", "number"], keep=[*columns, "state", "updated_at"])


def finish_part(
    session: Session, asset_id: str, kind: str, number: int, path: str, size_bytes: int, now: datetime
) -> int:
    """Note that a part is done; how many are not. The encode must be locked."""
    part = (VideoSegment.asset_id == asset_id, VideoSegment.kind == kind, VideoSegment.number == number)
    done = {"state": DONE, "path": path, "size_bytes": size_bytes, "updated_at": now}
    session.execute(update(VideoSegment).where(*part).values(**done))
    waiting = select(func.count()).where(VideoSegment.asset_id == asset_id, VideoSegment.state == WAITING)
    return session.scalar(waiting) or 0


def drop(session: Session, asset_id: str) -> list[str]:
    """Forget the encode; the paths of its done parts, whose files nobody needs any more."""
    paths = session.scalars(
        select(VideoSegment.path).where(VideoSegment.asset_id == asset_id, VideoSegment.path.is_not(None))
    ).all()
    session.execute(delete(VideoSegment).where(VideoSegment.asset_id == asset_id))
    session.execute(delete(VideoEncoding).where(VideoEncoding.asset_id == asset_id))
    return [path for path in paths if path is not None]


def keep_asset(session: Session, asset_id: str) -> bool:
    """Keep the asset from being deleted until the transaction ends; False when it is gone already."""
    return session.scalar(select(Asset.id).where(Asset.id == asset_id).with_for_update(key_share=True)) is not None


def replace_encoded_file(session: Session, asset_id: str, path: str | None, now: datetime) -> list[str]:
    """`path` is the asset's encoded video, or it has none; returns other paths that were."""
    ours = (AssetFile.asset_id == asset_id, AssetFile.type == ENCODED_VIDEO, AssetFile.is_edited.is_(False))
    before = session.scalars(select(AssetFile.path).where(*ours)).all()
    if path is None:
        session.execute(delete(AssetFile).where(*ours))
    else:
        flags = dict.fromkeys(("is_edited", "is_progressive", "is_transparent"), False)
        row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "type": ENCODED_VIDEO, "path": path, **flags}
        row |= {"created_at": now, "updated_at": now}
        upsert(session, AssetFile, [row], key=["asset_id", "type", "is_edited"], keep=["id", "created_at"])
    return [old for old in before if old != path]
