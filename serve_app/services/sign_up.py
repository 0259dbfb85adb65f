"""The first account, and those that an admin makes."""

import uuid
from dataclasses import dataclass

from sqlalchemy import select

from cluster.db.queries import users
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from serve_app.deps import Services
from serve_app.services.passwords import hash_password

ADMIN_LABEL = "admin"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What is known of an account to be made."""

    email: str
    password: str
    name: str
    is_admin: bool = False
    quota_size_bytes: int | None = None
    storage_label: str | None = None
    should_change_password: bool = True
    avatar_color: str = "primary"


def sign_up_admin(services: Services, email: str, password: str, name: str) -> User:
    """Make the first account. Raises BadRequest when there is one, or when setting up is switched off."""
    if not services.settings.allow_setup:
        raise BadRequest("Admin setup is disabled")
    account = NewAccount(email, password, name, is_admin=True, storage_label=ADMIN_LABEL, should_change_password=False)
    return _create(services, account, first=True)


def create_user(services: Services, account: NewAccount) -> User:
    """Make a further account. Raises BadRequest when the address or the storage label is taken."""
    return _create(services, account, first=False)


def _create(services: Services, account: NewAccount, *, first: bool) -> User:
    hashed = hash_password(account.password)
    now = services.clock.now()
    with services.database.session(durable=True) as session:
        if users.has_admin(session) == first:
            raise BadRequest(
                "The server already has an admin" if first else "The first registered account must be the admin"
            )
        if users.by_email(session, account.email) is not None:
            raise BadRequest("Email is not available")
        label = account.storage_label
        if label is not None and session.scalar(select(User.id).where(User.storage_label == label)):
            raise BadRequest("Storage label already in use by another account")
        user = User(
            id=str(uuid.uuid4()),
            email=account.email.lower(),
            name=account.name,
            password=hashed,
            is_admin=account.is_admin,
            avatar_color=account.avatar_color,
            profile_image_path="",
            profile_changed_at=now,
            storage_label=label,
            should_change_password=account.should_change_password,
            quota_size_bytes=account.quota_size_bytes,
            quota_usage_bytes=0,
            status="active",
            is_onboarded=False,
            preferences={},
            created_at=now,
            updated_at=now,
        )
        session.add(user)
        session.flush()
        return user
