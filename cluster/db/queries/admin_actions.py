"""The list of what admins did."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.db.tables.audit import AdminAction


def add(session: Session, at: datetime, user_id: str, user_name: str, action: str, subject: str, detail: str) -> None:
    """One more line."""
    session.add(AdminAction(at=at, user_id=user_id, user_name=user_name, action=action, subject=subject, detail=detail))


def newest(session: Session, limit: int, below_id: int | None, action: str, subject: str) -> Sequence[AdminAction]:
    """Newest first, below an id where one is given; of one action or subject where those are not empty."""
    wanted = select(AdminAction).order_by(AdminAction.id.desc()).limit(limit)
    if below_id is not None:
        wanted = wanted.where(AdminAction.id < below_id)
    if action:
        wanted = wanted.where(AdminAction.action == action)
    if subject:
        wanted = wanted.where(AdminAction.subject == subject)
    return session.scalars(wanted).all()


def prune(session: Session, before: datetime, limit: int) -> int:
    """Delete lines from before a time, the oldest first; returns how many."""
    old = select(AdminAction.id).where(AdminAction.at < before).order_by(AdminAction.at).limit(limit)
    return len(session.scalars(delete(AdminAction).where(AdminAction.id.in_(old)).returning(AdminAction.id)).all())
