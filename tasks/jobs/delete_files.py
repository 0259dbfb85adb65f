"""Deletes files that no row needs any more: replaced thumbnails, broken uploads, what belonged to a deleted asset.

Before: whoever let go of the files, in the same transaction. After: nothing. It never fails: a file that cannot be
deleted is a warning. Source: spec/pipeline.md §4.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, union_all

from cluster.db.queries.assets import in_pages
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.person import Person
from cluster.db.tables.video import VideoSegment
from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, NewJob, Skipped
from tasks.job import NO_FACTS, Context, Job
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.FILE_DELETE, batch=64, timeout_s=60)


@dataclass(frozen=True, slots=True)
class DeleteInput:
    """Absolute paths."""

    paths: tuple[str, ...]


def delete_files(paths: Sequence[str]) -> NewJob:
    """The job that deletes `paths`."""
    return NewJob(JobName.FILE_DELETE, {"files": list(paths)})


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    """A path that a row names again by now (a format switched there and back) is kept."""
    wanted = [[path for path in lease.payload["files"] if path] for lease in leases]
    needed = _named_by_rows(context, {path for paths in wanted for path in paths})
    loaded: list[Loaded] = []
    for paths in wanted:
        unneeded = tuple(path for path in paths if path not in needed)
        loaded.append(DeleteInput(unneeded) if unneeded else Skipped("no file to delete"))
    return loaded


def _named_by_rows(context: Context, paths: set[str]) -> set[str]:
    named: set[str] = set()
    for page in in_pages(paths):
        files = select(AssetFile.path).where(AssetFile.path.in_(page))
        originals = select(Asset.original_path).where(Asset.original_path.in_(page))
        faces = select(Person.thumbnail_path).where(Person.thumbnail_path.in_(page))
        parts = select(VideoSegment.path).where(VideoSegment.path.in_(page))
        named.update(context.session.scalars(union_all(files, originals, faces, parts)))
    return named


def work(given: DeleteInput, tools: Tools) -> None:
    for path in given.paths:
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("cannot delete %s: %s", path, error)


def save(context: Context, lease: Lease, output: None) -> frozenset[Fact]:
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
