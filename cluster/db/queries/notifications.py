"""What people are told: listed, marked as read, deleted, forgotten. Every function takes the caller's transaction."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from cluster.db.queries.assets import in_pages
from cluster.db.tables.notification import Notification


def notifications_of(session: Session, user_id: str, *, unread: bool | None, **equal: str) -> list[Notification]:
    """The user's, newest first. `equal`: column → value."""
    found = select(Notification).where(Notification.user_id == user_id).filter_by(**equal)
    if unread is not None:
        found = found.where(Notification.read_at.is_(None) if unread else Notification.read_at.is_not(None))
    return list(session.scalars(found.order_by(Notification.created_at.desc(), Notification.id)))


def owned_ids(session: Session, user_id: str, ids: Collection[str]) -> set[str]:
    """Of these, the user's."""
    found: set[str] = set()
    for page in in_pages(ids):
        mine = select(Notification.id).where(Notification.id.in_(page), Notification.user_id == user_id)
        found.update(session.scalars(mine))
    return found


def by_ids(session: Session, ids: Collection[str]) -> Mapping[str, Notification]:
    """Those that are still there."""
    return {
        row.id: row
        for page in in_pages(ids)
        for row in session.scalars(select(Notification).where(Notification.id.in_(page)))
    }


def is_told(session: Session, user_id: str, cause: str, since: datetime) -> bool:
    """Whether the user has one of this cause that they did not read, or that came since."""
    fresh = or_(Notification.read_at.is_(None), Notification.created_at > since)
    known = select(Notification.id).where(Notification.cause == cause, Notification.user_id == user_id, fresh)
    return session.scalar(known.limit(1)) is not None


def set_read(session: Session, ids: Collection[str], read_at: datetime | None) -> None:
    for page in in_pages(ids):
        session.execute(
            update(Notification)
            .where(Notification.id.in_(page))
            .values(read_at=read_at)
            .execution_options(synchronize_session=False)
        )


def delete_notifications(session: Session, ids: Collection[str]) -> None:
    for page in in_pages(ids):
        _delete(session, Notification.id.in_(page))


def take_back(session: Session, cause: str) -> None:
    """What nobody has read yet and is so no longer."""
    _delete(session, Notification.cause == cause, Notification.read_at.is_(None))


def prune(session: Session, read_before: datetime, created_before: datetime, limit: int) -> int:
    """Forget what was read before a time, or came before another; at most `limit`. Returns how many."""
    old = or_(Notification.read_at < read_before, Notification.created_at < created_before)
    return _delete(session, Notification.id.in_(select(Notification.id).where(old).limit(limit)))


def _delete(session: Session, *conditions: Any) -> int:
    gone = session.execute(delete(Notification).where(*conditions).execution_options(synchronize_session=False))
    return int(gone.rowcount)  # type: ignore[attr-defined]
