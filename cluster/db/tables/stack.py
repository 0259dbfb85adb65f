"""Stacks: assets that the timeline shows as one. The members name their stack in `asset.stack_id`."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime


class Stack(Base):
    """`primary_asset_id`: the member that is shown. Promote another before it is deleted, or the stack goes with it."""

    __tablename__ = "stack"
    __table_args__ = (Index("ix_stack_owner_id", "owner_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    primary_asset_id: Mapped[str] = mapped_column(ForeignKey("asset.id", ondelete="CASCADE"), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
