"""How far each signed-in device was told. Every function takes the caller's transaction."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cluster.db.tables.sync import SyncCheckpoint
from cluster.db.tables.user import Session as Device
from cluster.db.upsert import upsert


def checkpoints_of(session: Session, session_id: str) -> list[SyncCheckpoint]:
    """By type."""
    found = select(SyncCheckpoint).where(SyncCheckpoint.session_id == session_id).order_by(SyncCheckpoint.type)
    return list(session.scalars(found))


def set_checkpoints(session: Session, session_id: str, acks: Mapping[str, str], at: datetime) -> None:
    """`acks`: by type."""
    rows = [
        {"session_id": session_id, "type": kind, "ack": ack, "created_at": at, "updated_at": at}
        for kind, ack in acks.items()
    ]
    upsert(session, SyncCheckpoint, rows, key=["session_id", "type"], keep=["created_at"])


def delete_checkpoints(session: Session, session_id: str, types: Collection[str] | None = None) -> None:
    """Those of some types, or all."""
    gone = delete(SyncCheckpoint).where(SyncCheckpoint.session_id == session_id)
    if types is not None:
        gone = gone.where(SyncCheckpoint.type.in_(types))
    session.execute(gone.execution_options(synchronize_session=False))


def is_reset_pending(session: Session, session_id: str) -> bool:
    """Whether the device has to throw its copy away first."""
    return bool(session.scalar(select(Device.is_pending_sync_reset).where(Device.id == session_id)))


def start_over(session: Session, session_id: str) -> None:
    """The device has nothing, and knows it."""
    delete_checkpoints(session, session_id)
    session.execute(
        update(Device)
        .where(Device.id == session_id)
        .values(is_pending_sync_reset=False)
        .execution_options(synchronize_session=False)
    )
