"""Albums: who owns them, who else may see them, and what is in them."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime, partial_index


class Album(Base):
    """`order`: desc or asc, by date. An album has one owner, so the owner is a column and no row of `album_user`."""

    __tablename__ = "album"
    __table_args__ = (
        Index("ix_album_owner_id", "owner_id"),
        partial_index("ix_album_thumbnail_asset_id", "thumbnail_asset_id", where="thumbnail_asset_id IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String)
    description: Mapped[str] = mapped_column(Text, default="")
    thumbnail_asset_id: Mapped[str | None] = mapped_column(ForeignKey("asset.id", ondelete="SET NULL"))
    order: Mapped[str] = mapped_column(String, default="desc")
    is_activity_enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AlbumAsset(Base):
    """An asset in an album. `created_at`: when it was put there."""

    __tablename__ = "album_asset"
    __table_args__ = (Index("ix_album_asset_asset_id", "asset_id"),)

    album_id: Mapped[str] = mapped_column(ForeignKey("album.id", ondelete="CASCADE"), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AlbumUser(Base):
    """Somebody other than the owner who sees the album. `role`: editor or viewer."""

    __tablename__ = "album_user"
    __table_args__ = (Index("ix_album_user_user_id", "user_id"),)

    album_id: Mapped[str] = mapped_column(ForeignKey("album.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String, default="viewer")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
