"""Memories: a few assets of an earlier year, shown on their day."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime


class Memory(Base):
    """`type`: on_this_day; its `data` is `{"year": 2019}`. `memory_at`: the day that is remembered.

    `show_at`, `hide_at`: from when until when it is shown, None for no bound. A saved one is never cleaned up.
    """

    __tablename__ = "memory"
    __table_args__ = (Index("ix_memory_owner_id", "owner_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String)
    data: Mapped[dict[str, object]] = mapped_column(JSON)
    memory_at: Mapped[datetime] = mapped_column(UtcDateTime)
    show_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    hide_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_saved: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class MemoryAsset(Base):
    """An asset in a memory."""

    __tablename__ = "memory_asset"
    __table_args__ = (Index("ix_memory_asset_asset_id", "asset_id"),)

    memory_id: Mapped[str] = mapped_column(ForeignKey("memory.id", ondelete="CASCADE"), primary_key=True)
    asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), primary_key=True)
