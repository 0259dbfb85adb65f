"""What stands between a secret and those who guess it: how many tries it has had, and from where its owner came."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, EpochMs


class TriedSecret(Base):
    """Tries that were counted for a key, a digest of what they have in common. `due_at`: when all are paid off, at the
    pace of its allowance; the row says nothing any more after that."""

    __tablename__ = "tried_secret"
    __table_args__ = (Index("ix_tried_secret_due_at", "due_at"),)

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(EpochMs)


class KnownAddress(Base):
    """A network from which a user has signed in. `seen_at`: the last time."""

    __tablename__ = "known_address"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    address: Mapped[str] = mapped_column(String, primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(EpochMs)
