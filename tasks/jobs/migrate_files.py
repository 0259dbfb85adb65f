"""Moves what was made of an asset (thumbnail, preview, full size, video) to where it belongs by now; queues it for all.

Before: a person, after an upgrade or a change of format. After: FileDelete takes the old names away. The old file is
whole until the row says the new path, so a kill costs nothing but another run. Source: spec/jobs-media.md §7.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.person import Person
from cluster.names import JobName, QueueName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, NewJob, Priority, Skipped, asset_job
from cluster.storage.layout import Folder
from cluster.storage.moves import FileMove, Named, Problem, add_name, remove_empty_folders, sync_folders
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.delete_files import delete_files
from tasks.queue_all import PAGE, cursor
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.ASSET_FILE_MIGRATION, batch=64)
QUEUE_ALL_SPEC = JobSpec(JobName.FILE_MIGRATION_QUEUE_ALL)

KINDS = ("thumbnail", "preview", "fullsize", "encoded_video")
TRY_AGAIN_S = 10.0
"""In this time a file that lay at the new place, and that no row names, is deleted."""
QUIET_S = 600.0
"""A folder that was changed within this time may be about to be filled."""


@dataclass(frozen=True, slots=True)
class FilesInput:
    """`moves`: under the ids of their rows."""

    moves: tuple[FileMove, ...]
    original_file_name: str


@dataclass(frozen=True, slots=True)
class FilesMoved:
    """`done` lie at both places now. At the place of `occupied` lies something else."""

    done: tuple[FileMove, ...]
    occupied: tuple[FileMove, ...]


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    ids = [lease.payload["id"] for lease in leases]
    statement = (
        select(
            *(Asset.id.label("asset_id"), Asset.owner_id, Asset.original_file_name),
            *(AssetFile.id, AssetFile.type, AssetFile.path, AssetFile.is_edited),
        )
        .outerjoin(AssetFile, (AssetFile.asset_id == Asset.id) & AssetFile.type.in_(KINDS))
        .where(Asset.id.in_(ids))
    )
    files: dict[str, list[Any]] = {}
    for row in context.session.execute(statement):
        files.setdefault(row.asset_id, []).append(row)
    return [_input(context, files.get(lease.payload["id"])) for lease in leases]


def _input(context: Context, rows: Sequence[Any] | None) -> FilesInput | Skipped:
    if rows is None:
        return Skipped("the asset is gone")
    targets = [(row, str(_place(context, row))) for row in rows if row.id is not None]
    moves = tuple(
        FileMove(row.id, row.asset_id, row.type, row.path, target) for row, target in targets if row.path != target
    )
    return FilesInput(moves, rows[0].original_file_name) if moves else Skipped("all lies where it should")


def _place(context: Context, row: Any) -> Path:
    """Where the layout wants this file, with the extension of the format that is set by now."""
    if row.type == "encoded_video":
        return context.layout.encoded_video_path(row.owner_id, row.asset_id)
    image_format = getattr(context.config.image, row.type).format
    return context.layout.thumbnail_path(row.owner_id, row.asset_id, row.type, image_format, row.is_edited)


def work(given: FilesInput, tools: Tools) -> FilesMoved:
    return move_files(given.moves, tools)


def move_files(moves: Sequence[FileMove], tools: Tools) -> FilesMoved:
    """Give these files their new names, too. What is not on disk stays as it is, with a warning."""
    touched: set[Path] = set()
    ends: dict[Named, list[FileMove]] = {Named.DONE: [], Named.OCCUPIED: []}
    for move in moves:
        try:
            ends[add_name(move, tools.token, touched)].append(move)
        except Problem as problem:
            logger.warning("%s", problem)
    sync_folders(touched)
    return FilesMoved(tuple(ends[Named.DONE]), tuple(ends[Named.OCCUPIED]))


def save(context: Context, lease: Lease, output: FilesMoved) -> frozenset[Fact]:
    for move in output.done:
        changed = context.session.execute(
            update(AssetFile)
            .where(AssetFile.id == move.move_id, AssetFile.path == move.source)
            .values(path=move.target, updated_at=context.now)
        )
        let_go(context, move, moved=bool(changed.rowcount))  # type: ignore[attr-defined]
    try_again(context, lease, output)
    return NO_FACTS


def let_go(context: Context, move: FileMove, *, moved: bool) -> None:
    """Of the two names, delete the one that the row does not say; FileDelete asks the rows once more."""
    context.store.enqueue(context.session, [delete_files([move.source if moved else move.target])])


def try_again(context: Context, lease: Lease, output: FilesMoved) -> None:
    """What lies at a new place and no row names is left over, and deleted; then the job runs once more."""
    if not output.occupied:
        return
    paths = [move.target for move in output.occupied]
    if lease.payload.get("again"):
        logger.warning("not moved, something lies there already: %s", ", ".join(paths))
        return
    payload = {**lease.payload, "again": True}
    again = NewJob(lease.name, payload, Priority.BACKLOG, TRY_AGAIN_S, _key(lease.name, payload["id"]), lease.asset_id)
    context.store.enqueue(context.session, [delete_files(paths), again])


def _key(name: JobName, entity_id: str) -> str:
    return f"{name}:{entity_id}"


@dataclass(frozen=True, slots=True)
class PageInput:
    """`ids` of assets or people, whose job is `name`. `folders`: where empty ones are removed first."""

    name: JobName
    ids: tuple[str, ...]
    next_payload: Mapping[str, Any] | None
    folders: tuple[str, ...]
    untouched_since_s: float

    @property
    def original_file_name(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class PageOutput:
    """Who gets which job."""

    name: JobName
    ids: tuple[str, ...]


def load_page(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_page(context, lease) for lease in leases]


def _page(context: Context, lease: Lease) -> PageInput:
    """First every asset that is not deleted, then every person."""
    people, after = lease.payload.get("of") == "people", cursor(lease)
    table: Any = Person if people else Asset
    wanted = select(table.id).where(table.id > after).order_by(table.id).limit(PAGE)
    ids = context.session.scalars(wanted if people else wanted.where(Asset.deleted_at.is_(None))).all()
    if len(ids) == PAGE:
        next_payload: dict[str, Any] | None = {**lease.payload, "after": ids[-1]}
    else:
        next_payload = None if people else {"of": "people"}
    begins = not people and not after
    return PageInput(
        name=JobName.PERSON_FILE_MIGRATION if people else JobName.ASSET_FILE_MIGRATION,
        ids=tuple(ids),
        next_payload=next_payload,
        folders=_folders(context) if begins and _is_alone(context) else (),
        untouched_since_s=context.now.timestamp() - QUIET_S,
    )


def _is_alone(context: Context) -> bool:
    counts = context.store.counts(context.session).get(QueueName.MIGRATION)
    return counts is None or (counts.active <= 1 and counts.waiting == 0)


def _folders(context: Context) -> tuple[str, ...]:
    return tuple(str(context.layout.folder(folder)) for folder in (Folder.THUMBS, Folder.ENCODED_VIDEO))


def work_page(given: PageInput, tools: Tools) -> Done | More:
    for folder in given.folders:
        remove_empty_folders(Path(folder), given.untouched_since_s)
    output = PageOutput(given.name, given.ids)
    return Done(output) if given.next_payload is None else More(output, given.next_payload)


def save_page(context: Context, lease: Lease, output: PageOutput) -> frozenset[Fact]:
    context.store.enqueue(context.session, [_job(output.name, one) for one in output.ids])
    return NO_FACTS


def _job(name: JobName, entity_id: str) -> NewJob:
    if name is JobName.ASSET_FILE_MIGRATION:
        return asset_job(name, entity_id)
    return NewJob(name, {"id": entity_id}, dedup_key=_key(name, entity_id))


JOB = Job(SPEC, load, work, save)
QUEUE_ALL = Job(QUEUE_ALL_SPEC, load_page, work_page, save_page)
