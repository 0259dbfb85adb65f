"""Partners: who shows whom their timeline. Deleted users show nothing and are shown to nobody."""

from typing import Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from cluster.db.tables.partner import Partner
from cluster.db.tables.user import User


def partner(session: Session, shared_by_id: str, shared_with_id: str) -> Partner | None:
    return session.get(Partner, (shared_by_id, shared_with_id))


def shared_by(session: Session, user_id: str) -> list[tuple[Partner, User]]:
    """Those to whom the user shows theirs, by name."""
    return _partners(session, Partner.shared_by_id == user_id, Partner.shared_with_id)


def shared_with(session: Session, user_id: str) -> list[tuple[Partner, User]]:
    """Those who show the user theirs, by name."""
    return _partners(session, Partner.shared_with_id == user_id, Partner.shared_by_id)


def sharing_with(user_id: str, *, in_timeline: bool = False) -> Select[str]:
    """The ids of those who show the user theirs. `in_timeline`: whom the user wants among their own alone."""
    sharing = (
        select(Partner.shared_by_id)
        .join(User, User.id == Partner.shared_by_id)
        .where(Partner.shared_with_id == user_id, User.deleted_at.is_(None))
    )
    return sharing.where(Partner.in_timeline) if in_timeline else sharing


def ids_sharing_with(session: Session, user_id: str, *, in_timeline: bool = False) -> tuple[str, ...]:
    return tuple(session.scalars(sharing_with(user_id, in_timeline=in_timeline).order_by(Partner.shared_by_id)))


def _partners(session: Session, mine: ColumnElement[bool], other: Any) -> list[tuple[Partner, User]]:
    rows = session.execute(
        select(Partner, User)
        .join(User, User.id == other)
        .where(mine, User.deleted_at.is_(None))
        .order_by(User.name, User.id)
    )
    return [(row[0], row[1]) for row in rows]
