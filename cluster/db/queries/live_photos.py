"""Photos and the videos that move them: found by content identifier or by content, linked, hidden.

Source: spec/jobs-media.md §1.4, §1.5.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from cluster.db.dialects import unindexed
from cluster.db.queries.assets import HIDDEN, IMAGE, LOCKED, VIDEO, with_checksum
from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif


def other_half(session: Session, owner_id: str, asset_id: str, asset_type: str, cid: str) -> str | None:
    """The user's asset of the other type (photo, video) with this content identifier, in whatever library."""
    wanted = VIDEO if asset_type == IMAGE else IMAGE
    return session.scalar(
        select(Asset.id)
        .join(AssetExif, AssetExif.asset_id == Asset.id)
        .where(
            AssetExif.live_photo_cid == cid,
            unindexed(Asset.owner_id) == owner_id,
            Asset.type == wanted,
            Asset.id != asset_id,
            Asset.deleted_at.is_(None),
        )
        .order_by(Asset.created_at, Asset.id)
        .limit(1)
    )


def link_video(session: Session, photo_id: str, video_id: str, now: datetime) -> bool:
    """The photo moves from now on, and the video no longer stands alone. Returns whether it did until now."""
    changes = {"live_photo_video_id": video_id, "updated_at": now}
    unlinked = Asset.live_photo_video_id.is_distinct_from(video_id)
    session.execute(update(Asset).where(Asset.id == photo_id, unlinked).values(changes))
    session.execute(delete(AlbumAsset).where(AlbumAsset.asset_id == video_id))
    stood = session.execute(
        update(Asset)
        .where(Asset.id == video_id, Asset.visibility.not_in([HIDDEN, LOCKED]))
        .values(visibility=HIDDEN, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    return bool(stood.rowcount)  # type: ignore[attr-defined]


def show_video(session: Session, video_id: str, visibility: str, now: datetime) -> None:
    """The video stands alone again."""
    hidden = update(Asset).where(Asset.id == video_id, Asset.visibility == HIDDEN)
    session.execute(hidden.values(visibility=visibility, updated_at=now))


def same_content(session: Session, owner_id: str, checksum: bytes) -> str | None:
    """The user's video with this SHA-1, the trash included."""
    return session.scalar(
        select(Asset.id)
        .where(Asset.id.in_(with_checksum(owner_id, checksum)), Asset.type == VIDEO)
        .order_by(Asset.deleted_at.is_not(None), Asset.id)
        .limit(1)
    )


def add_motion_part(session: Session, columns: Mapping[str, Any]) -> None:
    """A hidden video that was taken out of its photo."""
    session.execute(insert(Asset).values(type=VIDEO, visibility=HIDDEN, **columns))
