"""Users, their sessions and API keys."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, exists, func, select, update
from sqlalchemy.orm import Session as DatabaseSession

from cluster.db.tables.user import ApiKey, Session, User


@dataclass(frozen=True, slots=True)
class KnownSession:
    """A session that a token opened, with what a request needs of its user."""

    session_id: str
    user_id: str
    is_admin: bool
    seen_at: datetime
    expires_at: datetime | None
    pin_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """An API key, with what a request needs of its user."""

    key_id: str
    user_id: str
    is_admin: bool
    permissions: frozenset[str]


# Every request asks one of these two, so they are built once.
_SESSION_BY_TOKEN = (
    select(Session.id, User.id, User.is_admin, Session.updated_at, Session.expires_at, Session.pin_expires_at)
    .join(User, User.id == Session.user_id)
    .where(Session.token_sha256 == bindparam("digest"), User.deleted_at.is_(None))
)
_KEY_BY_DIGEST = (
    select(ApiKey.id, User.id, User.is_admin, ApiKey.permissions)
    .join(User, User.id == ApiKey.user_id)
    .where(ApiKey.key_sha256 == bindparam("digest"), User.deleted_at.is_(None))
)


def session_by_token(session: DatabaseSession, token_sha256: str) -> KnownSession | None:
    """The session of this token, unless its user is deleted."""
    row = session.connection().execute(_SESSION_BY_TOKEN, {"digest": token_sha256}).one_or_none()
    return KnownSession(*row) if row is not None else None


def api_key_by_digest(session: DatabaseSession, key_sha256: str) -> KnownKey | None:
    """The API key with this digest, unless its user is deleted."""
    row = session.connection().execute(_KEY_BY_DIGEST, {"digest": key_sha256}).one_or_none()
    return KnownKey(row[0], row[1], row[2], frozenset(row[3])) if row is not None else None


def touch_session(session: DatabaseSession, session_id: str, now: datetime) -> None:
    """Note that the session was used."""
    session.execute(update(Session).where(Session.id == session_id).values(updated_at=now))


def keep_elevated(session: DatabaseSession, session_id: str, now: datetime, until: datetime) -> None:
    """A session that is unlocked stays so until then; one that was locked meanwhile stays locked."""
    still = update(Session).where(Session.id == session_id, Session.pin_expires_at > now)
    session.execute(still.values(pin_expires_at=until).execution_options(synchronize_session=False))


def lock_sessions(session: DatabaseSession, user_id: str, only: str | None = None) -> int:
    """Sessions of the user, or `only` one, do not see any more what is locked; returns how many there are."""
    query = update(Session).where(Session.user_id == user_id)
    if only is not None:
        query = query.where(Session.id == only)
    locked = session.execute(query.values(pin_expires_at=None).execution_options(synchronize_session=False))
    return locked.rowcount  # type: ignore[attr-defined, no-any-return]


def has_admin(session: DatabaseSession) -> bool:
    """Whether the first account has been made."""
    return bool(session.scalar(select(exists().where(User.is_admin))))


def by_id(session: DatabaseSession, user_id: str) -> User | None:
    return session.get(User, user_id)


def by_email(session: DatabaseSession, email: str) -> User | None:
    """Living users only; addresses compare without case."""
    return session.scalar(select(User).where(func.lower(User.email) == email.lower(), User.deleted_at.is_(None)))


def by_storage_label(session: DatabaseSession, label: str) -> User | None:
    """Deleted users too: their files still lie there."""
    return session.scalar(select(User).where(User.storage_label == label))


def label_taken(session: DatabaseSession, label: str, user_id: str | None = None) -> bool:
    """Whether another account's folder has this name. One without a label has its id for a name."""
    owner = by_storage_label(session, label) or by_id(session, label)
    return owner is not None and owner.id != user_id


def all_users(session: DatabaseSession, *, with_deleted: bool = False) -> list[User]:
    """In the order in which they came."""
    query = select(User).order_by(User.created_at, User.id)
    return list(session.scalars(query if with_deleted else query.where(User.deleted_at.is_(None))))


def sessions_of(session: DatabaseSession, user_id: str) -> list[Session]:
    """Last used first."""
    return list(session.scalars(select(Session).where(Session.user_id == user_id).order_by(Session.updated_at.desc())))


def delete_sessions(session: DatabaseSession, user_id: str, *, keep: str | None = None, only: str | None = None) -> int:
    """End sessions of a user: all, all but `keep`, or `only` one; returns how many."""
    query = delete(Session).where(Session.user_id == user_id)
    if keep is not None:
        query = query.where(Session.id != keep)
    if only is not None:
        query = query.where(Session.id == only)
    return session.execute(query).rowcount  # type: ignore[attr-defined, no-any-return]


def api_keys_of(session: DatabaseSession, user_id: str) -> list[ApiKey]:
    """In the order in which they were made."""
    return list(session.scalars(select(ApiKey).where(ApiKey.user_id == user_id).order_by(ApiKey.created_at)))


def api_key_of(session: DatabaseSession, user_id: str, key_id: str) -> ApiKey | None:
    return session.scalar(select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.id == key_id))


def admin_ids(session: DatabaseSession) -> list[str]:
    """Every admin that is not deleted."""
    return list(session.scalars(select(User.id).where(User.is_admin, User.deleted_at.is_(None))))


def count_usage(session: DatabaseSession, user_id: str, size_bytes: int) -> None:
    """Count `size_bytes` more for the user, whatever the quota says: for files that we made ourselves."""
    usage = User.quota_usage_bytes + size_bytes
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(quota_usage_bytes=usage)
        .execution_options(synchronize_session=False)
    )
