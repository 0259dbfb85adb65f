"""/notifications: what people are told. Source: Immich's published API."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.notifications import (
    check_owner,
    delete_notifications,
    get_notification,
    list_notifications,
    set_read,
    write_notification,
)
from serve_app.wire.common import WireId
from serve_app.wire.notification import (
    NotificationCreate,
    NotificationLevel,
    NotificationsDelete,
    NotificationSeen,
    NotificationsUpdate,
    NotificationType,
    NotificationUpdate,
    notification_seen,
    when,
)

router = APIRouter(tags=["notifications"])

Reader = Annotated[Caller, Depends(allow("notification.read"))]
Updater = Annotated[Caller, Depends(allow("notification.update"))]
Deleter = Annotated[Caller, Depends(allow("notification.delete"))]


@router.get("/notifications")
def get_notifications(
    caller: Reader,
    services: ServicesOf,
    id: WireId | None = None,
    level: NotificationLevel | None = None,
    type: NotificationType | None = None,
    unread: bool | None = None,
) -> list[NotificationSeen]:
    """The caller's, newest first."""
    wanted = {name: value for name, value in {"id": id, "level": level, "type": type}.items() if value is not None}
    return [notification_seen(row) for row in list_notifications(services, caller.user_id, unread=unread, **wanted)]


@router.put("/notifications", status_code=204)
def update_notifications(body: NotificationsUpdate, caller: Updater, services: ServicesOf) -> None:
    """Read, or not read."""
    _update(body, body.ids, caller, services)


@router.delete("/notifications", status_code=204)
def delete_many_notifications(body: NotificationsDelete, caller: Deleter, services: ServicesOf) -> None:
    delete_notifications(services, caller.user_id, body.ids)


@router.get("/notifications/{id}")
def get_one_notification(id: WireId, caller: Reader, services: ServicesOf) -> NotificationSeen:
    return notification_seen(get_notification(services, caller.user_id, id))


@router.put("/notifications/{id}")
def update_notification(
    id: WireId, body: NotificationUpdate, caller: Updater, services: ServicesOf
) -> NotificationSeen:
    """Read, or not read."""
    _update(body, [id], caller, services)
    return notification_seen(get_notification(services, caller.user_id, id))


@router.delete("/notifications/{id}", status_code=204)
def delete_notification(id: WireId, caller: Deleter, services: ServicesOf) -> None:
    delete_notifications(services, caller.user_id, [id])


@router.post("/admin/notifications", status_code=201)
def create_notification(
    body: NotificationCreate, _caller: Annotated[Caller, Depends(allow(admin=True))], services: ServicesOf
) -> NotificationSeen:
    """An admin's word to a user."""
    return notification_seen(write_notification(services, body.user_id, body.notice(), when(body.read_at)))


def _update(body: NotificationUpdate, ids: list[str], caller: Caller, services: ServicesOf) -> None:
    if "read_at" in body.model_fields_set:
        set_read(services, caller.user_id, ids, when(body.read_at))
    else:
        check_owner(services, caller.user_id, ids)
