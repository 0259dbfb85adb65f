"""What admins did: kept longer than the jobs it was about."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, EpochMs, RisingId


class AdminAction(Base):
    """Somebody started, paused, emptied, retried or changed something. `user_id` is no foreign key: the line stays
    when the account goes, with the name that it had. `subject`: a queue, a job, a setting; `detail`: for people."""

    __tablename__ = "admin_action"
    __table_args__ = (Index("ix_admin_action_at", "at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(RisingId, primary_key=True)
    at: Mapped[datetime] = mapped_column(EpochMs)
    user_id: Mapped[str | None] = mapped_column(String(36))
    user_name: Mapped[str] = mapped_column(String)
    action: Mapped[str] = mapped_column(String)
    subject: Mapped[str] = mapped_column(String)
    detail: Mapped[str] = mapped_column(Text)
