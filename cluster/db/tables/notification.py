"""What people are told, until they delete it or it is old."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, UtcDateTime, partial_index


class Notification(Base):
    """`level`: success, error, warning or info; `type`: JobFailed, AlbumInvite, … `cause`: what would say the same
    again, None where each stands for itself. `read_at` None: not read yet."""

    __tablename__ = "notification"
    __table_args__ = (
        Index("ix_notification_user_id", "user_id", "created_at"),
        Index("ix_notification_created_at", "created_at"),
        partial_index("ix_notification_cause", "cause", "user_id", where="cause IS NOT NULL"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    level: Mapped[str] = mapped_column(String)
    type: Mapped[str] = mapped_column(String)
    title: Mapped[str] = mapped_column(String)
    description: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, object] | None] = mapped_column(JSON(none_as_null=True))
    cause: Mapped[str | None] = mapped_column(String)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
