"""Does away with what was reported: an untracked file is deleted, an asset whose original is missing or changed goes to
the trash, and the row of a missing derived file goes, so that it is made anew.

Before: a person (`…-delete-all`, or one report). After: FileDelete, which asks the rows once more. The first job hands
all reports of a type to the second, page by page. Source: spec/pipeline.md §9.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.db.queries import assets, integrity
from cluster.db.queries.integrity import ReportType
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.integrity import IntegrityReport
from cluster.names import JobName
from cluster.queue.job import Done, JobSpec, Lease, More, NewEvent, NewJob, Place
from cluster.queue.store import QueueStore
from cluster.storage.layout import StorageLayout
from tasks.integrity import is_walked
from tasks.job import Context, RowJob
from tasks.jobs.delete_files import delete_files

SPEC = JobSpec(JobName.INTEGRITY_DELETE_REPORTS, place=Place.ROW_JOBS, timeout_s=60)
BY_TYPE_SPEC = JobSpec(JobName.INTEGRITY_DELETE_REPORT_TYPE, place=Place.ROW_JOBS, timeout_s=60)

PAGE = 500


def delete_by_type(context: Context, lease: Lease) -> Done | More:
    """`type` absent: every type, one after the other."""
    wanted = str(lease.payload.get("type") or "")
    types = [ReportType(wanted)] if wanted else list(ReportType)
    current = ReportType(lease.payload.get("current", types[0]))
    ids = integrity.ids_after(context.session, current, str(lease.payload.get("after", "")), PAGE)
    if ids:
        context.store.enqueue(context.session, [NewJob(SPEC.name, {"reports": ids})])
        return More(None, {**lease.payload, "current": current.value, "after": ids[-1]})
    rest = types[types.index(current) + 1 :]
    return More(None, {**lease.payload, "current": rest[0].value, "after": ""}) if rest else Done()


def delete_page(context: Context, lease: Lease) -> Done:
    found = integrity.reports(context.session, lease.payload["reports"])
    delete_reported(context.session, context.store, context.layout, found, context.now)
    return Done()


def delete_reported(
    session: Session, store: QueueStore, layout: StorageLayout, found: Sequence[IntegrityReport], now: datetime
) -> None:
    """Do away with what these reports are about, and with them, in the caller's transaction. Files that are deleted lie
    in the media folder; a report that names another is only forgotten."""
    untracked = [one.path for one in found if one.type == ReportType.UNTRACKED]
    known = integrity.known_paths(session, untracked)
    if stray := [path for path in untracked if path not in known and is_walked(path, layout)]:
        store.enqueue(session, [delete_files(stray)])
    _trash(session, store, [one.asset_id for one in found if one.asset_id], now)
    derived = [one.asset_file_id for one in found if one.asset_file_id]
    integrity.clear(session, [one.id for one in found])
    for page in assets.in_pages(derived):
        session.execute(delete(AssetFile).where(AssetFile.id.in_(page)))


def _trash(session: Session, store: QueueStore, asset_ids: Sequence[str], now: datetime) -> None:
    for page in assets.in_pages(asset_ids):
        found = select(Asset.id, Asset.owner_id).where(Asset.id.in_(page), Asset.deleted_at.is_(None))
        rows = session.execute(found).all()
        assets.set_status(session, [row.id for row in rows], assets.TRASHED, now)
        for owner in {row.owner_id for row in rows}:
            ids = [row.id for row in rows if row.owner_id == owner]
            store.emit(session, [NewEvent("asset_trash", owner, {"asset_ids": ids})])


JOB = RowJob(SPEC, delete_page)
BY_TYPE = RowJob(BY_TYPE_SPEC, delete_by_type)
