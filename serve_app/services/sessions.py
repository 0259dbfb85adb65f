"""Sessions: opened, listed, ended. A client hears of the end of its own."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from cluster.db.queries import users
from cluster.db.tables.user import Session
from cluster.errors import BadRequest
from cluster.queue.job import NewEvent
from serve_app.deps import Caller, Services, hashed
from serve_app.services.passwords import new_secret


@dataclass(frozen=True, slots=True)
class Device:
    """What the client says it is."""

    kind: str = ""
    system: str = ""
    app_version: str | None = None


def open_session(
    services: Services, user_id: str, device: Device, duration_s: int | None = None
) -> tuple[Session, str]:
    """A session and its token, which is stored only as a digest. Raises BadRequest for a time beyond the calendar."""
    token, now = new_secret(), services.clock.now()
    try:
        expires_at = now + timedelta(seconds=duration_s) if duration_s else None
    except OverflowError:
        raise BadRequest("Invalid duration") from None
    opened = Session(
        id=str(uuid.uuid4()),
        token_sha256=hashed(token),
        user_id=user_id,
        device_type=device.kind,
        device_os=device.system,
        app_version=device.app_version,
        expires_at=expires_at,
        created_at=now,
        updated_at=now,
    )
    with services.database.session(durable=True) as session:
        session.add(opened)
    return opened, token


def require_session(caller: Caller) -> str:
    """The session that asks. Raises BadRequest for an API key: what it may do is what it was granted, and no more."""
    if caller.session_id is None:
        raise BadRequest("This endpoint can only be used with a session token")
    return caller.session_id


def list_sessions(services: Services, user_id: str) -> list[Session]:
    """Those that have not expired, last used first."""
    with services.database.reader() as session:
        found = users.sessions_of(session, user_id)
    now = services.clock.now()
    return [one for one in found if one.expires_at is None or one.expires_at > now]


def end_session(services: Services, user_id: str, session_id: str) -> None:
    """End one session of a user. Raises BadRequest when it is not theirs."""
    with services.database.session(durable=True) as session:
        if not users.delete_sessions(session, user_id, only=session_id):
            raise BadRequest("Not found or no authDevice.delete access")
        services.store.emit(session, [ended(user_id, session_id)])


def update_session(services: Services, caller: Caller, session_id: str, pending_sync_reset: bool | None) -> Session:
    """None: as it is. Raises BadRequest when nothing is to change, or the session is not the caller's. Blocks."""
    if pending_sync_reset is None:
        raise BadRequest("No fields to update")
    with services.database.session(durable=True) as session:
        found = session.get(Session, session_id)
        if found is None or found.user_id != caller.user_id:
            raise BadRequest("Not found or no session.update access")
        found.is_pending_sync_reset, found.updated_at = pending_sync_reset, services.clock.now()
    return found


def lock_one_session(services: Services, caller: Caller, session_id: str) -> None:
    """That device sees no more what is locked. Raises BadRequest when it is not the caller's. Blocks."""
    with services.database.session(durable=True) as session:
        if not users.lock_sessions(session, caller.user_id, only=session_id):
            raise BadRequest("Not found or no session.lock access")


def end_other_sessions(services: Services, caller: Caller) -> None:
    """End every session of the caller but the one that asks."""
    with services.database.session(durable=True) as session:
        for one in users.sessions_of(session, caller.user_id):
            if one.id != caller.session_id:
                services.store.emit(session, [ended(caller.user_id, one.id)])
        users.delete_sessions(session, caller.user_id, keep=caller.session_id)


def ended(user_id: str, session_id: str) -> NewEvent:
    """What the client of an ended session hears."""
    return NewEvent("session_delete", user_id, {"session_id": session_id})
