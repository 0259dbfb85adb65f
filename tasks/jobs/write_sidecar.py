"""Writes what a person said of an asset (its locked properties) into the sidecar; the original is never touched.

Before: a person changes or tags an asset. After: metadata extraction, which now reads from the sidecar what it left
alone as locked. The sidecar appears whole or not at all and keeps whatever else it said. Where it cannot be written (a
read-only library) the properties stay locked, so the change lives on in the database.
Source: spec/pipeline.md §5.
"""

import errno
import logging
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cluster.db.queries.moves import INTENDED, moves_of
from cluster.db.tables.asset import Asset, AssetExif
from cluster.errors import UnreadableMedia
from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, Skipped, Snooze, asset_job
from cluster.storage.files import fsync_folder
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.check_sidecar import link_sidecar, roots_of, sidecar_rows
from tasks.jobs.delete_files import delete_files
from tasks.media.sidecar import WRITABLE, assignments, is_readable, sidecar_to_write
from tasks.pipeline import GONE
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.SIDECAR_WRITE, batch=32)

NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""The folder is read-only: no attempt will help, and nothing is lost."""


@dataclass(frozen=True, slots=True)
class WriteInput:
    """`values`: locked columns as they are now. `roots`: the folders that links must not leave."""

    original_path: str
    original_file_name: str
    linked: str | None
    roots: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WriteOutput:
    """`path`: what was written. `values`: what it says now."""

    path: str
    values: Mapping[str, Any]


MOVE_TAKES_AT_MOST = timedelta(minutes=10)
"""A move that was begun before was given up, and nothing waits for it."""
MOVE_PAUSE_S = 10.0


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    exif = select(AssetExif).where(AssetExif.asset_id.in_([lease.payload["id"] for lease in leases]))
    facts = {row.asset_id: row for row in context.session.scalars(exif)}
    rows = sidecar_rows(context, [lease.payload["id"] for lease in leases])
    ids = [lease.payload["id"] for lease in leases]
    moving = _on_the_move(context, ids)
    return [
        Snooze(MOVE_PAUSE_S, "its files are being moved")
        if asset_id in moving
        else _input(rows.get(asset_id), facts.get(asset_id), context)
        for asset_id in ids
    ]


def _on_the_move(context: Context, asset_ids: Sequence[str]) -> set[str]:
    """Assets of which a file may be at two places just now: what is written to the one, the other would not say."""
    since = context.now - MOVE_TAKES_AT_MOST
    moves = moves_of(context.session, asset_ids)
    return {
        asset_id
        for asset_id, files in moves.items()
        if any(move.state == INTENDED and move.updated_at > since for move in files)
    }


def _input(row: Any, exif: AssetExif | None, context: Context) -> WriteInput | Skipped:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    values = locked_values(exif) if exif is not None else {}
    if not values:
        return Skipped("nothing to write")
    return WriteInput(row.original_path, row.original_file_name, row.sidecar_path, roots_of(context, row), values)


def locked_values(exif: AssetExif) -> dict[str, Any]:
    """What a person set and no sidecar holds yet. A date and its zone are one thing to a sidecar."""
    names = WRITABLE & set(exif.locked_properties or ())
    if names & {"date_time_original", "time_zone"}:
        names |= {"date_time_original", "time_zone"}
    if exif.date_time_original is None:
        names -= {"date_time_original", "time_zone"}
    return {name: getattr(exif, name) for name in sorted(names)}


def work(given: WriteInput, tools: Tools) -> WriteOutput | Skipped:
    """Raises ProgramTimeout and NoSpace."""
    original = Path(given.original_path)
    target = sidecar_to_write(original, Path(given.linked) if given.linked else None)
    if not original.exists() or not target.parent.is_dir():
        return Skipped("the original cannot be seen")
    before = target if is_readable(target, [Path(root) for root in given.roots]) else None
    try:
        content = tools.exiftool.edit_xmp(before, assignments(given.values))
        _write(tools.fenced(target), content, like=before)
    except UnreadableMedia as error:
        return _not_written(given, error.reason)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        return _not_written(given, f"{target}: {error.strerror}")
    return WriteOutput(str(target), given.values)


def _not_written(given: WriteInput, reason: str) -> Skipped:
    logger.warning("%s: the sidecar cannot be written: %s", given.original_file_name, reason)
    return Skipped(f"the sidecar cannot be written: {reason}")


def _write(path: Path, content: bytes, like: Path | None) -> None:
    """On disk when it returns: what it says is about to be forgotten as locked."""
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if like is not None:
            shutil.copymode(like, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def save(context: Context, lease: Lease, output: WriteOutput) -> frozenset[Fact]:
    asset_id, session = lease.payload["id"], context.session
    locked = select(Asset.id).where(Asset.id == asset_id).with_for_update(key_share=True)
    if session.execute(locked).one_or_none() is None:
        if Path(output.path).is_relative_to(context.layout.media_root):
            context.store.enqueue(session, [delete_files([output.path])])
        return frozenset({GONE})
    row = sidecar_rows(context, [asset_id])[asset_id]
    target = sidecar_to_write(Path(row.original_path), Path(row.sidecar_path) if row.sidecar_path else None)
    if str(target) != output.path or _on_the_move(context, [asset_id]):
        _write_again(context, asset_id, output.path, linked=row.sidecar_path)
        return NO_FACTS
    fsync_folder(Path(output.path).parent)
    link_sidecar(context, asset_id, output.path)
    exif = session.scalars(select(AssetExif).where(AssetExif.asset_id == asset_id).with_for_update()).one_or_none()
    if exif is not None:
        exif.locked_properties = still_locked(exif, output.values)
        exif.updated_at = context.now
    return NO_FACTS


def _write_again(context: Context, asset_id: str, path: str, linked: str | None) -> None:
    """A move overtook us: everything stays locked and is written where the files are then."""
    jobs = [replace(asset_job(SPEC.name, asset_id), delay_s=MOVE_PAUSE_S)]
    if path != linked:
        jobs.append(delete_files([path]))
    context.store.enqueue(context.session, jobs)


def still_locked(exif: AssetExif, written: Mapping[str, Any]) -> list[str]:
    """What the sidecar does not say: what was never written, what a person changed again meanwhile, and an empty list
    of tags, since a sidecar without tags does not hide the original's."""
    return [name for name in exif.locked_properties if not _is_written(exif, name, written)]


def _is_written(exif: AssetExif, name: str, written: Mapping[str, Any]) -> bool:
    pair: Collection[str] = ("date_time_original", "time_zone")
    together = pair if name in pair else (name,)
    said = all(one in written and getattr(exif, one) == written[one] for one in together)
    return said and not (name == "tags" and not written["tags"])


def files(output: WriteOutput) -> Sequence[str]:
    return [output.path]


JOB = Job(SPEC, load, work, save, files)
