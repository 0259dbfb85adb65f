"""Accounts: shown and changed."""

from collections.abc import Mapping
from typing import Any

from cluster.db.queries import users
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from serve_app.deps import Services
from serve_app.services.passwords import hash_password


def get_user(services: Services, user_id: str) -> User:
    """Raises BadRequest when there is none."""
    with services.database.reader() as session:
        user = users.by_id(session, user_id)
    if user is None:
        raise BadRequest("User not found")
    return user


def list_users(services: Services, *, with_deleted: bool = False) -> list[User]:
    with services.database.reader() as session:
        return users.all_users(session, with_deleted=with_deleted)


def update_user(
    services: Services,
    user_id: str,
    *,
    name: str | None = None,
    email: str | None = None,
    avatar_color: str | None = None,
    password: str | None = None,
) -> User:
    """Change what is given. Raises BadRequest when the address is another's."""
    hashed = hash_password(password) if password is not None else None
    with services.database.session(durable=True) as session:
        user = session.get_one(User, user_id)
        if email is not None:
            other = users.by_email(session, email)
            if other is not None and other.id != user_id:
                raise BadRequest("Email is not available")
            user.email = email.lower()
        if hashed is not None:
            user.password, user.should_change_password = hashed, False
        user.name = name if name is not None else user.name
        user.avatar_color = avatar_color or user.avatar_color
        user.updated_at = services.clock.now()
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
