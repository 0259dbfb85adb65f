"""What clients that keep a copy of their library have to be told, and how far each of them was told.

A row of `sync_change` stands for one row that clients copy, and says when it last changed; the triggers of
`sync_triggers.py` write it in the transaction of the change, whoever makes that.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, EpochMs, RisingId, UtcDateTime, partial_index


class SyncChange(Base):
    """The last change of a row. `entity`: of which kind; `key`: its id, or two joined by a slash; `scope`: whom it
    concerns, a user's id or an album's, empty for everybody; `deleted_at`: the row is gone.

    (`tx`, `seq`) is its place in line: `tx` is PostgreSQL's number of the transaction, on SQLite, which has one writer,
    always 0. What is below the oldest transaction that still runs can get no new neighbours.
    """

    __tablename__ = "sync_change"
    __table_args__ = (
        UniqueConstraint("entity", "key", name="uq_sync_change_entity_key"),
        Index("ix_sync_change_place", "entity", "scope", "tx", "seq"),
        partial_index("ix_sync_change_deleted_at", "deleted_at", where="deleted_at IS NOT NULL"),
        # A number is never used twice: a client that was told up to it would miss the second.
        {"sqlite_autoincrement": True},
    )

    seq: Mapped[int] = mapped_column(RisingId, primary_key=True)
    tx: Mapped[int] = mapped_column(BigInteger)
    entity: Mapped[str] = mapped_column(String)
    key: Mapped[str] = mapped_column(String)
    scope: Mapped[str] = mapped_column(String(36))
    deleted_at: Mapped[datetime | None] = mapped_column(EpochMs)


class SyncCheckpoint(Base):
    """Up to where a signed-in device has what it was told of one type. `ack`: the text that it gave back."""

    __tablename__ = "session_sync_checkpoint"

    session_id: Mapped[str] = mapped_column(ForeignKey("session.id", ondelete="CASCADE"), primary_key=True)
    type: Mapped[str] = mapped_column(String, primary_key=True)
    ack: Mapped[str] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
