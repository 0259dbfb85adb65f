"""Tells people something: a row that they find later, and an event for the clients that are connected now."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cluster.db.queries import notifications, users
from cluster.db.tables.notification import Notification
from cluster.queue.job import NewEvent, Notice
from cluster.queue.store import QueueStore, Transaction

AGAIN_AFTER = timedelta(minutes=5)
"""The same cause tells nobody twice within this, nor again before they have read it."""
EVENT = "notification"


def tell(
    store: QueueStore,
    tx: Transaction,
    user_ids: Iterable[str],
    notice: Notice,
    now: datetime,
    read_at: datetime | None = None,
) -> list[Notification]:
    """In the caller's transaction; returns the rows of those who did not know it yet."""
    told = [
        _row(user_id, notice, now, read_at)
        for user_id in user_ids
        if notice.cause is None or not notifications.is_told(tx, user_id, notice.cause, now - AGAIN_AFTER)
    ]
    tx.add_all(told)
    tx.flush()
    store.emit(tx, [NewEvent(EVENT, row.user_id, {"notification_id": row.id}) for row in told])
    return told


def tell_admins(store: QueueStore, tx: Transaction, notices: Sequence[Notice], now: datetime) -> None:
    """The same to everyone who is an admin."""
    for notice in notices:
        tell(store, tx, users.admin_ids(tx), notice, now)


def _row(user_id: str, notice: Notice, now: datetime, read_at: datetime | None) -> Notification:
    return Notification(
        id=str(uuid.uuid4()),
        user_id=user_id,
        level=notice.level,
        type=notice.type,
        title=notice.title,
        description=notice.description,
        data=None if notice.data is None else dict(notice.data),
        cause=notice.cause,
        read_at=read_at,
        created_at=now,
    )
