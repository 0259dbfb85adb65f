"""Deletes accounts for good: first their folders, then their assets page by page, at last albums and the account.

What is begun is ended: the account is marked as being removed when the job is leased, and cannot be restored from then.
A folder in which files of others lie, since it was once named after them, stays, and this user's files go one by one.
Before: a forced deletion, or the nightly check for accounts that were deleted long enough ago. After: every client
hears that the user is gone. Files of external libraries are not ours to delete.
Source: spec/pipeline.md §4.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.db.queries.assets import others_lie_below
from cluster.db.tables.album import Album
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.stack import Stack
from cluster.db.tables.user import User
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, NewEvent, NewJob, Priority, Skipped
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.jobs.delete_files import delete_files
from tasks.queue_all import queue_all_spec
from tasks.tools import Tools

SPEC = JobSpec(JobName.USER_DELETE, timeout_s=6 * 3600)

REMOVING = "removing"
"""The account's status."""
ASSETS_AT_ONCE = 200
"""Rows per transaction: each takes many others with it."""


@dataclass(frozen=True, slots=True)
class DeleteUserInput:
    """`folders`: absolute, whether they exist or not. `asset_ids`: the next page, empty when none is left."""

    folders: tuple[str, ...]
    asset_ids: tuple[str, ...]
    payload: dict[str, object]


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """`last`: nothing is left but the account."""

    asset_ids: tuple[str, ...]
    last: bool


def delete_user(user_id: str, *, force: bool = False, priority: Priority = Priority.BACKLOG) -> NewJob:
    """The job that deletes an account; `force`: however short ago it was deleted."""
    name, payload = JobName.USER_DELETE, {"id": user_id, **({"force": True} if force else {})}
    return NewJob(name, payload, priority, dedup_key=f"{name}:{user_id}")


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_load_one(context, lease) for lease in leases]


def _load_one(context: Context, lease: Lease) -> DeleteUserInput | Skipped:
    user = context.session.get(User, lease.payload["id"])
    if user is None:
        return Skipped("the user is gone")
    due_before = context.now - timedelta(days=context.config.user.delete_delay)
    # one that was restored meanwhile must live, whatever the job was told
    if user.deleted_at is None:
        return Skipped("the user is not deleted")
    if user.status != REMOVING and not lease.payload.get("force") and user.deleted_at > due_before:
        return Skipped("the user was deleted too short ago")
    user.status = REMOVING
    folders = [
        str(folder)
        for folder in context.layout.user_folders(user.id, user.storage_label)
        if not others_lie_below(context.session, user.id, str(folder))
    ]
    page = context.session.scalars(
        select(Asset.id).where(Asset.owner_id == user.id).order_by(Asset.id).limit(ASSETS_AT_ONCE)
    )
    return DeleteUserInput(tuple(folders), tuple(page), dict(lease.payload))


def work(given: DeleteUserInput, tools: Tools) -> DeletedPage | More:
    """Folders go first: a file without a row would be lost sight of, a row without a file is seen and goes next."""
    for folder in map(Path, given.folders):
        delete_folder(folder)
    if given.asset_ids:
        return More(DeletedPage(given.asset_ids, last=False), given.payload)
    return DeletedPage((), last=True)


def delete_folder(folder: Path) -> None:
    """Everything below `folder`, and itself; links are deleted, not followed. Raises OSError for what stays."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def save(context: Context, lease: Lease, output: DeletedPage) -> frozenset[Fact]:
    session, user_id = context.session, str(lease.payload["id"])
    user = session.get(User, user_id, with_for_update=True)
    if user is None or user.deleted_at is None:
        return NO_FACTS
    if paths := _uploaded(session, output.asset_ids):
        context.store.enqueue(session, [delete_files(paths)])
    session.execute(delete(Stack).where(Stack.primary_asset_id.in_(output.asset_ids)))
    session.execute(delete(MoveHistory).where(MoveHistory.entity_id.in_(output.asset_ids)))
    session.execute(delete(Asset).where(Asset.id.in_(output.asset_ids), Asset.owner_id == user_id))
    if output.last:
        session.execute(delete(Album).where(Album.owner_id == user_id))
        session.delete(user)
        session.flush()
        context.store.emit(session, [NewEvent("user_delete", data={"user_id": user_id})])
    return NO_FACTS


def _uploaded(session: Session, asset_ids: Sequence[str]) -> list[str]:
    """Files of these assets that may lie outside the user's folders, as a storage label of former times has it."""
    ours = (Asset.id.in_(asset_ids), Asset.library_id.is_(None))
    originals = select(Asset.original_path).where(*ours)
    return list(session.scalars(originals.union(select(AssetFile.path).join(Asset).where(*ours))))


def run_check(context: Context, lease: Lease) -> Done:
    """Queue the accounts whose time is over."""
    due_before = context.now - timedelta(days=context.config.user.delete_delay)
    due = context.session.scalars(
        select(User.id).where(User.deleted_at.is_not(None), User.deleted_at <= due_before).order_by(User.id)
    )
    context.store.enqueue(context.session, [delete_user(user_id) for user_id in due])
    return Done()


JOB = Job(SPEC, load, work, save)
CHECK = RowJob(queue_all_spec(JobName.USER_DELETE_CHECK), run_check)
