"""The first account, and those that an admin makes."""

import uuid
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.db.queries import users
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from serve_app.deps import Services
from serve_app.services.passwords import hash_password

ADMIN_LABEL = "admin"
SECOND_ADMIN = "The server already has an admin"
TAKEN = "Email is not available"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What is known of an account to be made. `email` in lower case."""

    email: str
    password: str
    name: str
    is_admin: bool = False
    quota_size_bytes: int | None = None
    storage_label: str | None = None
    should_change_password: bool = True
    avatar_color: str = "primary"
    pin_code: str | None = None


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
    user = _new_user(services, account)
    try:
        with services.database.session(durable=True) as session:
            _refuse_doubles(session, account, first)
            session.add(user)
    except IntegrityError as error:  # somebody was faster, or the address belongs to a deleted account
        raise BadRequest(SECOND_ADMIN if first else TAKEN) from error
    return user


def _refuse_doubles(session: Session, account: NewAccount, first: bool) -> None:
    if users.has_admin(session) == first:
        raise BadRequest(SECOND_ADMIN if first else "The first registered account must be the administrator.")
    if users.by_email(session, account.email) is not None:
        raise BadRequest(TAKEN)
    if account.storage_label is not None and users.label_taken(session, account.storage_label):
        raise BadRequest("Storage label already in use by another account")


def _new_user(services: Services, account: NewAccount) -> User:
    now = services.clock.now()
    return User(
        id=str(uuid.uuid4()),
        email=account.email,
        name=account.name,
        password=hash_password(account.password),
        pin_code=hash_password(account.pin_code) if account.pin_code is not None else None,
        is_admin=account.is_admin,
        avatar_color=account.avatar_color,
        profile_image_path="",
        profile_changed_at=now,
        storage_label=account.storage_label,
        should_change_password=account.should_change_password,
        quota_size_bytes=account.quota_size_bytes,
        quota_usage_bytes=0,
        status="active",
        is_onboarded=False,
        preferences={},
        created_at=now,
        updated_at=now,
    )
