"""Videos that are being encoded in parts, and their parts."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, FilePath, JsonText, UtcDateTime


class VideoEncoding(Base):
    """An encode in parts that is under way: the row that every part's save locks, so that one of them is the last.

    `plan`: what all parts are encoded with, whatever the settings say by then. `fingerprint`: of source and plan; parts
    of another fingerprint are of no use. The row goes, and its segments with it, when the joined file is in place.
    """

    __tablename__ = "video_encoding"

    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String)
    plan: Mapped[dict[str, Any]] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VideoSegment(Base):
    """One part. `kind`: video, or audio, which is encoded once and whole; `number`: 0 and up, in the order of joining.

    `start_pts`: of its key frame, in the stream's time base; `frame_count`: what must come out, or it is no good; both
    None for audio. `state`: waiting or done; a done one has `path` and `size_bytes`.
    """

    __tablename__ = "video_segment"

    asset_id: Mapped[str] = mapped_column(ForeignKey("video_encoding.asset_id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    start_pts: Mapped[int | None] = mapped_column(BigInteger)
    frame_count: Mapped[int | None]
    state: Mapped[str] = mapped_column(String, default="waiting")
    path: Mapped[str | None] = mapped_column(FilePath)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
