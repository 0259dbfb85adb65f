"""Accounts as admins change, delete and restore them. Source: spec/api.md §3, spec/pipeline.md §3, §4."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.db.queries import sync_changes, users
from cluster.db.tables.album import Album
from cluster.db.tables.user import User
from cluster.errors import BadRequest, Forbidden
from cluster.queue.job import Priority
from serve_app.deps import Caller, Services
from serve_app.services.passwords import hash_password
from tasks.jobs.delete_users import REMOVING, delete_user

ACTIVE, DELETED = "active", "deleted"
LABEL_TAKEN = "Storage label already in use by another account"


def update_account(services: Services, caller: Caller, user_id: str, changes: Mapping[str, Any]) -> User:
    """Set these columns; `password` and `pin_code` as they are typed. Raises BadRequest. Blocks."""
    columns = dict(changes)
    for secret in ("password", "pin_code"):
        if columns.get(secret) is not None:
            columns[secret] = hash_password(columns[secret])
    if user_id == caller.user_id and columns.get("is_admin") is False:
        raise BadRequest("Another admin must take these rights away")
    try:
        with services.database.session(durable=True) as session:
            user = _locked(session, user_id)
            label = columns.get("storage_label")
            if label is not None and users.label_taken(session, label, user_id):
                raise BadRequest(LABEL_TAKEN)
            for column, value in columns.items():
                setattr(user, column, value)
            if "pin_code" in columns:
                users.lock_sessions(session, user_id)  # who knew the old one shows that they know the new one
            user.updated_at = services.clock.now()
    except IntegrityError as error:
        raise BadRequest("Email is not available") from error
    return user


def delete_account(services: Services, caller: Caller, user_id: str, *, force: bool) -> User:
    """Nobody can sign in with it any more, nobody sees its albums, and all of it goes after the configured days.

    `force`: at once. Raises Forbidden for the caller's own, BadRequest for one that is not there. Blocks.
    """
    if user_id == caller.user_id:
        raise Forbidden("Cannot delete your own account")
    with services.database.session(durable=True) as session:
        user = _locked(session, user_id)
        now = services.clock.now()
        user.deleted_at = user.deleted_at or now
        user.status = REMOVING if force or user.status == REMOVING else DELETED
        user.updated_at = now
        _set_albums_deleted(session, user_id, now)
        if force:
            services.store.enqueue(session, [delete_user(user_id, force=True, priority=Priority.PERSON_WAITS)])
    return user


def restore_account(services: Services, user_id: str) -> User:
    """As it was. Raises BadRequest for one that is not there, or that is being removed already. Blocks."""
    with services.database.session(durable=True) as session:
        user = _locked(session, user_id)
        if user.status == REMOVING:
            raise BadRequest("The account is being removed")
        user.deleted_at, user.status, user.updated_at = None, ACTIVE, services.clock.now()
        _set_albums_deleted(session, user_id, None)
        session.flush()
        sync_changes.share_anew(session, user_id)
    return user


def _locked(session: Session, user_id: str) -> User:
    user = session.get(User, user_id, with_for_update=True)
    if user is None:
        raise BadRequest("User not found")
    return user


def _set_albums_deleted(session: Session, user_id: str, at: datetime | None) -> None:
    session.execute(
        update(Album)
        .where(Album.owner_id == user_id)
        .values(deleted_at=at)
        .execution_options(synchronize_session=False)
    )
