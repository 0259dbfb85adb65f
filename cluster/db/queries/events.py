"""The event table as its readers see it: everything above an id, in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.db.tables.job import Event


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Something that happened. `user_id` None: it concerns everyone, or `data` says whom."""

    event_id: int
    type: str
    user_id: str | None
    data: Mapping[str, Any]


def newest_event_id(session: Session) -> int:
    """0 where nothing has happened."""
    return session.scalar(select(func.max(Event.id))) or 0


def events_above(session: Session, event_id: int, limit: int) -> list[StoredEvent]:
    """The next events, oldest first."""
    rows = session.execute(
        select(Event.id, Event.type, Event.user_id, Event.data)
        .where(Event.id > event_id)
        .order_by(Event.id)
        .limit(limit)
    )
    return [StoredEvent(row.id, row.type, row.user_id, row.data) for row in rows]
