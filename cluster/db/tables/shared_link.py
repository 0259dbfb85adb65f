"""Links that show assets to whoever has them, without an account."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime, partial_index


class SharedLink(Base):
    """`type`: ALBUM, which shows what is in `album_id`, or INDIVIDUAL, which shows its own assets. `key`: 50 random
    bytes in base64url, shown to the owner again and again. `slug`: a name that does the same. `password`: its hash by
    bcrypt. `show_metadata`: also what the files say."""

    __tablename__ = "shared_link"
    __table_args__ = (
        Index("ix_shared_link_user_id", "user_id"),
        partial_index("ix_shared_link_album_id", "album_id", where="album_id IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String)
    key: Mapped[str] = mapped_column(String, unique=True)
    slug: Mapped[str | None] = mapped_column(String, unique=True)
    album_id: Mapped[str | None] = mapped_column(ForeignKey("album.id", ondelete="CASCADE"))
    description: Mapped[str | None] = mapped_column(Text)
    password: Mapped[str | None] = mapped_column(String)
    allow_upload: Mapped[bool] = mapped_column()
    allow_download: Mapped[bool] = mapped_column()
    show_metadata: Mapped[bool] = mapped_column()
    start_offset_ms: Mapped[int | None] = mapped_column(BigInteger)
    start_page_id: Mapped[str | None] = mapped_column(String(36))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SharedLinkAsset(Base):
    """An asset that a link shows by itself."""

    __tablename__ = "shared_link_asset"
    __table_args__ = (Index("ix_shared_link_asset_asset_id", "asset_id"),)

    link_id: Mapped[str] = mapped_column(ForeignKey("shared_link.id", ondelete="CASCADE"), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
