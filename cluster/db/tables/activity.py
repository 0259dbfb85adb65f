"""What people say of an album, or of an asset in it."""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime, partial_index


class Activity(Base):
    """A like or a comment; `asset_id` None: of the album itself. It goes when the asset leaves the album. Nobody likes
    anything twice."""

    __tablename__ = "activity"
    __table_args__ = (
        ForeignKeyConstraint(
            ["album_id", "asset_id"], ["album_asset.album_id", "album_asset.asset_id"], ondelete="CASCADE"
        ),
        Index("ix_activity_album_id_asset_id", "album_id", "asset_id"),
        Index("ix_activity_user_id", "user_id"),
        partial_index(
            "uq_activity_like_of_asset",
            *("asset_id", "album_id", "user_id"),
            unique=True,
            where="is_liked AND asset_id IS NOT NULL",
        ),
        partial_index(
            "uq_activity_like_of_album", "album_id", "user_id", unique=True, where="is_liked AND asset_id IS NULL"
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    album_id: Mapped[str] = mapped_column(ForeignKey("album.id", ondelete="CASCADE"))
    asset_id: Mapped[str | None] = mapped_column(String(36))
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    is_liked: Mapped[bool] = mapped_column()
    comment: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
