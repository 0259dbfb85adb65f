"""What the jobs of external libraries share: which files count, and the jobs by which they call each other.

Source: spec/pipeline.md §6.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cluster.names import JobName
from cluster.queue.job import NewJob, Priority, asset_job
from cluster.storage.crawl import Wanted
from cluster.storage.globs import Exclusions
from tasks.media.formats import IMAGES, VIDEOS
from tasks.pipeline import UPLOAD

MEDIA_EXTENSIONS = frozenset(IMAGES | VIDEOS)

ABSENT_S = 300.0
"""How long jobs wait before they look again for a disk that is away."""

SAME_TIME_S = 0.001
"""Modification times closer than this are one: databases and clients keep no more than that."""

FILES_PER_IMPORT = 250
"""Files that one LibrarySyncFiles adds, in one transaction with their follow-ups."""


def wanted_files(exclusion_patterns: Sequence[str], media_root: Path | str) -> Wanted:
    """The files of a library that count. The media folder is none of any library. Raises PatternTooLarge."""
    return Wanted(Exclusions(exclusion_patterns), MEDIA_EXTENSIONS, os.path.realpath(media_root))


def scan_jobs(library_id: str, priority: Priority = Priority.BACKLOG) -> list[NewJob]:
    """Find what is new, then look after what is known. A scan that waits already is not doubled."""
    return [crawl_job(library_id, priority), check_job(library_id, priority)]


def crawl_job(library_id: str, priority: Priority = Priority.BACKLOG) -> NewJob:
    """Find files that the library does not know."""
    return _library_job(JobName.LIBRARY_SYNC_FILES_QUEUE_ALL, library_id, priority)


def check_job(library_id: str, priority: Priority = Priority.BACKLOG) -> NewJob:
    """Look whether the files that the library knows are there and unchanged."""
    return _library_job(JobName.LIBRARY_SCAN_ASSETS_QUEUE_ALL, library_id, priority)


def delete_job(library_id: str) -> NewJob:
    """Delete the assets of a deleted library, and when there are none, its row."""
    return _library_job(JobName.LIBRARY_DELETE, library_id, Priority.BACKLOG)


def import_jobs(library_id: str, paths: Sequence[str], priority: Priority = Priority.BACKLOG) -> list[NewJob]:
    """Add these files, or look what became of those that are known."""
    pages = [paths[at : at + FILES_PER_IMPORT] for at in range(0, len(paths), FILES_PER_IMPORT)]
    return [
        NewJob(JobName.LIBRARY_SYNC_FILES, {"libraryId": library_id, "paths": list(page)}, priority) for page in pages
    ]


def remove_jobs(library_id: str, paths: Sequence[str]) -> list[NewJob]:
    """Remove the assets of files that somebody deleted."""
    pages = [paths[at : at + FILES_PER_IMPORT] for at in range(0, len(paths), FILES_PER_IMPORT)]
    return [NewJob(JobName.LIBRARY_REMOVE_ASSET, {"libraryId": library_id, "paths": list(page)}) for page in pages]


def sidecar_job(asset_id: str) -> NewJob:
    """The first job of the chain for a file that is new or has changed."""
    return asset_job(JobName.SIDECAR_CHECK, asset_id, source=UPLOAD)


def modified_s(status: os.stat_result) -> float:
    """When the file was last changed, seconds since 1970; 1970 itself for a time that no calendar has."""
    try:
        datetime.fromtimestamp(status.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):
        return 0.0
    return status.st_mtime


def _library_job(name: JobName, library_id: str, priority: Priority) -> NewJob:
    return NewJob(name, {"id": library_id}, priority, dedup_key=f"{name}:{library_id}")
