"""Password in, session token out."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from cluster.db.queries import system, users
from cluster.db.tables.user import Session, User
from cluster.errors import BadRequest, NotAuthenticated
from serve_app.deps import Services, hashed
from serve_app.services.passwords import hash_password, matches, new_secret

WRONG = "Incorrect email or password"
NOBODY = "$2b$10$CwTycUXWue0Thq9StjUM0uJ8b1Yv7cC5Z4U5d5o3b1hQ9s1bq6l1W"
"""Checked when there is no such account, so that the time of an answer does not tell."""


@dataclass(frozen=True, slots=True)
class Device:
    """What the client says it is."""

    kind: str = ""
    system: str = ""


def sign_in(services: Services, email: str, password: str, device: Device) -> tuple[User, str]:
    """The account and a new token. Raises NotAuthenticated."""
    with services.database.reader() as session:
        if not system.read_config(session, services.settings).password_login.enabled:
            raise NotAuthenticated("Password login has been disabled")
        user = users.by_email(session, email)
    right = matches(password, user.password if user is not None else NOBODY)
    if user is None or not right:
        raise NotAuthenticated(WRONG)
    return user, open_session(services, user.id, device)[1]


def open_session(
    services: Services, user_id: str, device: Device, duration_s: int | None = None
) -> tuple[Session, str]:
    """A session and its token, which is stored only as a digest."""
    token, now = new_secret(), services.clock.now()
    opened = Session(
        id=str(uuid.uuid4()),
        token_sha256=hashed(token),
        user_id=user_id,
        device_type=device.kind,
        device_os=device.system,
        app_version=None,
        expires_at=now + timedelta(seconds=duration_s) if duration_s else None,
        created_at=now,
        updated_at=now,
    )
    with services.database.session(durable=True) as session:
        session.add(opened)
    return opened, token


def change_password(
    services: Services, user_id: str, old: str, new: str, *, end_other_sessions: bool, session_id: str | None
) -> User:
    """Raises BadRequest when `old` is wrong."""
    with services.database.reader() as session:
        user = users.by_id(session, user_id)
    if user is None or not matches(old, user.password):
        raise BadRequest("Wrong password")
    hashed_new = hash_password(new)
    with services.database.session(durable=True) as session:
        stored = session.get_one(User, user_id)
        stored.password, stored.should_change_password = hashed_new, False
        stored.updated_at = services.clock.now()
        if end_other_sessions:
            users.delete_sessions(session, user_id, keep=session_id or "")
        return stored
