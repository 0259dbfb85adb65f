"""Who shows whom what is on their timeline."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime


class Partner(Base):
    """`shared_by_id` shows `shared_with_id` their timeline. `in_timeline`: the latter wants it among their own."""

    __tablename__ = "partner"
    __table_args__ = (Index("ix_partner_shared_with_id", "shared_with_id"),)

    shared_by_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    shared_with_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    in_timeline: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
