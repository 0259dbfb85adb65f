"""Deletes assets for good: rows here, files by FileDelete in the same transaction.

Before: an emptied trash, a forced deletion, the nightly check for what was long enough in the trash, a deleted library.
After: AssetDelete of the moving part that nobody needs any more; the owner's clients hear of each asset.
Source: spec/pipeline.md §4.
"""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, case, delete, exists, select, update
from sqlalchemy.orm import Session

from cluster.db.queries.assets import DELETED, TIMELINE
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.stack import Stack
from cluster.db.tables.user import User
from cluster.db.tables.video import VideoSegment
from cluster.names import JobName
from cluster.queue.job import Done, JobSpec, Lease, More, NewEvent, NewJob, Place, Priority, Skipped
from cluster.storage.layout import Folder
from tasks.job import Context, RowJob
from tasks.jobs.delete_files import delete_files
from tasks.pipeline import GONE
from tasks.queue_all import PAGE, cursor, queue_all_spec

SPEC = JobSpec(JobName.ASSET_DELETE, place=Place.ROW_JOBS, batch=32, timeout_s=60)

SIDECAR, ORIGINAL = "sidecar", "original"
OF_THE_PERSON = frozenset({SIDECAR, ORIGINAL})
"""Kinds of files that stay where `delete_on_disk` does not say otherwise; all others were made by us."""
PLACED = "placed"
FROM_TRASH = "fromTrash"


def delete_asset(
    asset_id: str, *, delete_on_disk: bool, from_trash: bool = False, priority: Priority = Priority.BACKLOG
) -> NewJob:
    """The job that deletes an asset; `delete_on_disk`: its original and sidecar too, not only what was made of them.
    `from_trash`: only if it is still there when its turn comes."""
    name, payload = JobName.ASSET_DELETE, {"id": asset_id, "deleteOnDisk": delete_on_disk}
    if from_trash:
        payload[FROM_TRASH] = True
    return NewJob(name, payload, priority, dedup_key=f"{name}:{asset_id}", asset_id=asset_id)


def run(context: Context, lease: Lease) -> Done | Skipped:
    session, asset_id = context.session, str(lease.payload["id"])
    stack = _locked_stack(session, asset_id)
    asset = session.get(Asset, asset_id, with_for_update=True)
    if asset is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if lease.payload.get(FROM_TRASH) and asset.deleted_at is None:
        return Skipped("it was taken out of the trash")
    delete_on_disk = bool(lease.payload.get("deleteOnDisk"))
    paths = _paths(context, asset, delete_on_disk and not asset.is_offline)
    events = [NewEvent("asset_delete", asset.owner_id, {"asset_id": asset_id})]
    if stack is not None:
        events += _leave_stack(context, asset, stack)
    if asset.library_id is None:
        _free_quota(session, asset)
    session.execute(delete(MoveHistory).where(MoveHistory.entity_id == asset_id))
    session.execute(delete(Asset).where(Asset.id == asset_id).execution_options(synchronize_session=False))
    jobs = [delete_files(paths)] if paths else []
    if asset.live_photo_video_id is not None and not _is_moving_part(session, asset.live_photo_video_id):
        jobs.append(delete_asset(asset.live_photo_video_id, delete_on_disk=delete_on_disk))
    context.store.enqueue(session, jobs)
    context.store.emit(session, events)
    return Done()


def _paths(context: Context, asset: Asset, person_s_too: bool) -> list[str]:
    """Files that go. A move whose row says that it was placed has left the file at its old place, too. A video that was
    taken out of its photo is ours, though it is an original."""
    session = context.session
    person_s_too |= Path(asset.original_path).is_relative_to(context.layout.folder(Folder.ENCODED_VIDEO))
    files = session.execute(select(AssetFile.type, AssetFile.path).where(AssetFile.asset_id == asset.id))
    moved = session.execute(
        select(MoveHistory.path_type, MoveHistory.old_path).where(
            MoveHistory.entity_id == asset.id, MoveHistory.state == PLACED
        )
    )
    segments = session.scalars(
        select(VideoSegment.path).where(VideoSegment.asset_id == asset.id, VideoSegment.path.is_not(None))
    )
    found = [(kind, path) for kind, path in (*files, *moved, (ORIGINAL, asset.original_path))]
    return sorted(
        {path for kind, path in found if person_s_too or kind not in OF_THE_PERSON}
        | {path for path in segments if path}
    )


def _locked_stack(session: Session, asset_id: str) -> Stack | None:
    """The asset's stack, locked before the asset: two of its members that go at once wait for each other here."""
    member = select(Asset.stack_id).where(Asset.id == asset_id)
    return session.scalar(select(Stack).where(Stack.id == member.scalar_subquery()).with_for_update())


def _leave_stack(context: Context, asset: Asset, stack: Stack) -> list[NewEvent]:
    """A stack of one is none; one without its first picture shows another, if it can one of the timeline."""
    session = context.session
    others = session.scalars(
        select(Asset.id)
        .where(Asset.stack_id == stack.id, Asset.id != asset.id)
        .order_by(
            case((Asset.deleted_at.is_(None) & (Asset.visibility == TIMELINE), 0), else_=1),
            Asset.file_created_at,
            Asset.id,
        )
        .limit(2)
    ).all()
    if len(others) < 2:
        session.execute(update(Asset).where(Asset.stack_id == stack.id).values(stack_id=None))
        session.delete(stack)
    elif stack.primary_asset_id == asset.id:
        stack.primary_asset_id, stack.updated_at = others[0], context.now
    else:
        return []
    session.flush()
    return [NewEvent("stack_update", stack.owner_id)]


def _free_quota(session: Session, asset: Asset) -> None:
    """What was uploaded counts no more. Never below nothing: the nightly count repairs what is off."""
    size = session.scalar(select(AssetExif.file_size_bytes).where(AssetExif.asset_id == asset.id)) or 0
    used = User.quota_usage_bytes
    session.execute(
        update(User)
        .where(User.id == asset.owner_id)
        .values(quota_usage_bytes=case((used > size, used - size), else_=0))
        .execution_options(synchronize_session=False)
    )


def _is_moving_part(session: Session, video_id: str) -> bool:
    return bool(session.scalar(select(exists().where(Asset.live_photo_video_id == video_id))))


def run_check(context: Context, lease: Lease) -> Done | More:
    """Queue what was in the trash, or offline, for as long as the admin says. What is offline has no file to delete."""
    trash = context.config.trash
    before = context.now - timedelta(days=trash.days if trash.enabled else 0)
    return _queue_page(context, lease, Asset.deleted_at.is_not(None), Asset.deleted_at <= before)


def run_empty_trash(context: Context, lease: Lease) -> Done | More:
    """Queue what somebody has deleted for good, of all users."""
    return _queue_page(context, lease, Asset.deleted_at.is_not(None), Asset.status == DELETED, always_on_disk=True)


def _queue_page(
    context: Context, lease: Lease, *chosen: ColumnElement[bool], always_on_disk: bool = False
) -> Done | More:
    page = context.session.execute(
        select(Asset.id, Asset.is_offline).where(*chosen, Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    ).all()
    context.store.enqueue(
        context.session,
        [delete_asset(row.id, delete_on_disk=always_on_disk or not row.is_offline, from_trash=True) for row in page],
    )
    return Done() if len(page) < PAGE else More(None, {**lease.payload, "after": page[-1].id})


JOB = RowJob(SPEC, run)
CHECK = RowJob(queue_all_spec(JobName.ASSET_DELETE_CHECK), run_check)
EMPTY_TRASH = RowJob(queue_all_spec(JobName.ASSET_EMPTY_TRASH), run_empty_trash)
