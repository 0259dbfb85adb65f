"""What people are told, in Immich's spelling. Source: spec/queues.md §4, spec/workers.md §8, Immich's published API."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from cluster.db.tables.notification import Notification
from cluster.queue.job import Notice
from serve_app.wire.asset import FormDate, parse_date
from serve_app.wire.common import PlainText, WhenKnown, Wire, WireId, WireTime


class NotificationLevel(StrEnum):
    """How good or bad it is."""

    SUCCESS = "success"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class NotificationType(StrEnum):
    """What it is about."""

    JOB_FAILED = "JobFailed"
    BACKUP_FAILED = "BackupFailed"
    SYSTEM_MESSAGE = "SystemMessage"
    ALBUM_INVITE = "AlbumInvite"
    ALBUM_UPDATE = "AlbumUpdate"
    CUSTOM = "Custom"


class NotificationSeen(Wire):
    """Something that somebody is told."""

    id: str
    created_at: WireTime
    level: NotificationLevel
    type: NotificationType
    title: str
    description: WhenKnown[str] = None
    data: WhenKnown[dict[str, Any]] = None
    read_at: WhenKnown[WireTime] = None


class NotificationCreate(Wire):
    """An admin's word to a user."""

    user_id: WireId
    title: PlainText
    description: PlainText | None = None
    level: NotificationLevel = NotificationLevel.INFO
    type: NotificationType = NotificationType.CUSTOM
    data: dict[str, Any] = Field(default_factory=dict)
    read_at: FormDate | None = None

    def notice(self) -> Notice:
        return Notice(self.type, self.level, self.title, self.description, self.data or None)


class NotificationUpdate(Wire):
    """When it was read; null: it was not."""

    read_at: FormDate | None = None


class NotificationsUpdate(NotificationUpdate):
    """The same for many."""

    ids: Annotated[list[WireId], Field(min_length=1)]


class NotificationsDelete(Wire):
    """Those to delete."""

    ids: Annotated[list[WireId], Field(min_length=1)]


def when(text: str | None) -> datetime | None:
    return None if text is None else parse_date(text)


def notification_seen(row: Notification) -> NotificationSeen:
    return NotificationSeen(
        id=row.id,
        created_at=row.created_at,
        level=NotificationLevel(row.level),
        type=NotificationType(row.type),
        title=row.title,
        description=row.description,
        data=row.data,
        read_at=row.read_at,
    )
