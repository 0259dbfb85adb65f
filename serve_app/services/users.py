"""Accounts: shown and changed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from cluster.db.queries import system, users
from cluster.db.tables.user import User
from cluster.errors import BadRequest, Forbidden
from serve_app.deps import Caller, Services
from serve_app.permissions import covers
from serve_app.services.passwords import hash_password


def get_user(services: Services, user_id: str) -> User:
    """Raises BadRequest when there is none."""
    with services.database.reader() as session:
        user = users.by_id(session, user_id)
    if user is None:
        raise BadRequest("User not found")
    return user


def list_users(services: Services, *, with_deleted: bool = False) -> list[User]:
    """In the order in which they came."""
    with services.database.reader() as session:
        return users.all_users(session, with_deleted=with_deleted)


def visible_users(services: Services, caller: Caller) -> list[User]:
    """Everybody, or the caller alone where an admin wants users to stay among themselves."""
    with services.database.reader() as session:
        everybody = system.read_config(session, services.settings).server.public_users or caller.is_admin
        return [user for user in users.all_users(session) if everybody or user.id == caller.user_id]


def check_new_password(services: Services, caller: Caller) -> None:
    """A password that is set without saying the one before would open what a PIN code locks, and make a key a login.
    Raises Forbidden."""
    if caller.permissions is not None and not covers(caller.permissions, "auth.changePassword"):
        raise Forbidden("Missing required permission: auth.changePassword")
    user = get_user(services, caller.user_id)
    if user.pin_code and not caller.elevated and not user.should_change_password:
        raise Forbidden("Unlock the session by its PIN code, or change the password by saying the one before")


def update_user(
    services: Services,
    user_id: str,
    *,
    name: str | None = None,
    email: str | None = None,
    avatar_color: str | None = None,
    password: str | None = None,
) -> User:
    """Change what is given; `email` in lower case. Raises BadRequest when the address is another's."""
    hashed = hash_password(password) if password is not None else None
    try:
        with services.database.session(durable=True) as session:
            user = session.get_one(User, user_id)
            if hashed is not None:
                user.password, user.should_change_password = hashed, False
            user.email = email if email is not None else user.email
            user.name = name if name is not None else user.name
            user.avatar_color = avatar_color or user.avatar_color
            user.updated_at = services.clock.now()
    except IntegrityError as error:
        raise BadRequest("Email is not available") from error
    return user


def update_preferences(
    services: Services, user_id: str, changes: Mapping[str, Mapping[str, Any]], *, avatar_color: str | None = None
) -> dict[str, Any]:
    """Merge `changes`, group by group, into what is stored; returns what is stored now."""
    with services.database.session(durable=True) as session:
        user = session.get_one(User, user_id)
        stored: dict[str, Any] = dict(user.preferences)
        for group, values in changes.items():
            stored[group] = {**stored.get(group, {}), **values}
        user.preferences = stored
        user.avatar_color = avatar_color or user.avatar_color
        user.updated_at = services.clock.now()
    return stored


def set_onboarded(services: Services, user_id: str, onboarded: bool) -> None:
    with services.database.session(durable=True) as session:
        session.get_one(User, user_id).is_onboarded = onboarded


def preference(user: User, group: str, name: str, default: Any) -> Any:
    """What the user chose; both names in the wire's spelling, as they are stored."""
    return user.preferences.get(group, {}).get(name, default)  # type: ignore[attr-defined]
