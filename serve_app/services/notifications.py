"""What people are told: listed, marked as read, deleted, and written by an admin."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from cluster.db.queries import notifications, users
from cluster.db.tables.notification import Notification
from cluster.errors import BadRequest
from cluster.notices import tell
from cluster.queue.job import Notice
from serve_app.deps import Services


def list_notifications(
    services: Services, user_id: str, *, unread: bool | None = None, **equal: str
) -> list[Notification]:
    """The user's, newest first. `equal`: column → value."""
    with services.database.reader() as session:
        return notifications.notifications_of(session, user_id, unread=unread, **equal)


def get_notification(services: Services, user_id: str, notification_id: str) -> Notification:
    """Raises BadRequest when it is not the user's."""
    with services.database.reader() as session:
        _require(session, user_id, [notification_id], "read")
        return session.get_one(Notification, notification_id)


def set_read(services: Services, user_id: str, ids: Collection[str], read_at: datetime | None) -> None:
    """`read_at` None: as if it had not been read. Raises BadRequest, and then changes nothing."""
    with services.database.session() as session:
        _require(session, user_id, ids, "update")
        notifications.set_read(session, ids, read_at)


def check_owner(services: Services, user_id: str, ids: Collection[str]) -> None:
    """For an update of nothing. Raises BadRequest."""
    with services.database.reader() as session:
        _require(session, user_id, ids, "update")


def delete_notifications(services: Services, user_id: str, ids: Collection[str]) -> None:
    """Raises BadRequest, and then deletes nothing."""
    with services.database.session() as session:
        _require(session, user_id, ids, "delete")
        notifications.delete_notifications(session, ids)


def write_notification(services: Services, user_id: str, notice: Notice, read_at: datetime | None) -> Notification:
    """An admin's word to a user. Raises BadRequest when there is no such user."""
    with services.database.session(durable=True) as session:
        if users.by_id(session, user_id) is None:
            raise BadRequest("User not found")
        (row,) = tell(services.store, session, [user_id], notice, services.clock.now(), read_at)
        return row


def _require(session: Session, user_id: str, ids: Collection[str], verb: str) -> None:
    if notifications.owned_ids(session, user_id, ids) != set(ids):
        raise BadRequest(f"Not found or no notification.{verb} access")
