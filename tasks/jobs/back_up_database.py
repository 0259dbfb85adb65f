"""Writes the whole database into one compressed file in `backups/`, and deletes older ones.

Before: the cron `backup.database`, a person. After: nothing; when it fails for good, the admins are told. PostgreSQL by
pg_dump, SQLite by its backup API; both see one moment, and nobody waits for them. A file counts once it has been read
back whole and is on disk under its name; whatever ends earlier leaves nothing. Source: spec/pipeline.md §9.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import make_url

from cluster.db.postgres_copies import server_facts
from cluster.db.sqlite_copies import copy_database, delete_database, sqlite_version
from cluster.errors import Cancelled
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, NewJob, Place, Priority, Snooze
from cluster.storage.layout import Folder
from tasks.backup.archive import PIECE_BYTES, Archive, delete_leftovers, write_archive
from tasks.backup.names import DatabaseKind, Engine, backup_name, superfluous
from tasks.backup.postgres_dump import dump
from tasks.job import NO_FACTS, Context, Job
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.DATABASE_BACKUP, place=Place.ROW_JOBS, timeout_s=12 * 3600)

COPY_SHARE = 0.5
"""Of the progress: the copy of an SQLite file; the rest is its compression."""
COPY_PATTERN = ".{moment}.backup.tmp"


@dataclass(frozen=True, slots=True)
class BackupInput:
    """`folder`: where backups lie. `keep`: how many routine ones stay. `taken_at`: aware UTC, for the name."""

    folder: Path
    keep: int
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class BackupOutput:
    """The finished file, and what was deleted for it."""

    path: str
    size_bytes: int
    deleted: tuple[str, ...]


def back_up_database(priority: Priority = Priority.BACKLOG) -> NewJob:
    """The job. However often it is asked for, one waits."""
    return NewJob(SPEC.name, priority=priority, dedup_key=SPEC.name)


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    keep = context.config.backup.database.keep_last_amount
    return [BackupInput(context.layout.folder(Folder.BACKUPS), keep, context.now) for _ in leases]


def work(given: BackupInput, tools: Tools) -> BackupOutput | Snooze:
    """Raises what the database's programs say, NoSpace, and ArchiveBroken for a file that does not read back."""
    assert tools.database_url is not None, "runs beside the database"
    try:
        archive = _write(given, tools, tools.database_url)
    except Cancelled:
        return Snooze(0.0, "cancelled")
    deleted = _prune(given)
    logger.info("%s: %d bytes of %d, %d older ones deleted", archive.path.name, archive.size_bytes,
                archive.content_bytes, len(deleted))  # fmt: skip
    return BackupOutput(str(archive.path), archive.size_bytes, tuple(deleted))


def _write(given: BackupInput, tools: Tools, url: str) -> Archive:
    def tell(fraction: float) -> None:
        if tools.cancelled.is_set():
            raise Cancelled("the backup was cancelled")
        tools.progress(fraction)

    delete_leftovers(given.folder)
    if make_url(url).get_backend_name() == "postgresql":
        server = server_facts(url)
        name = backup_name(given.taken_at, Engine(DatabaseKind.POSTGRES, server.version))
        return write_archive(given.folder / name, dump(url, server, tell))
    name = backup_name(given.taken_at, Engine(DatabaseKind.SQLITE, sqlite_version()))
    with _copy(Path(str(make_url(url).database)), given.taken_at, tell) as copy:
        return write_archive(given.folder / name, _content(copy, tell))


@contextmanager
def _copy(database: Path, taken_at: datetime, tell: Callable[[float], None]) -> Iterator[Path]:
    """A copy beside the database, where its disk is local, until it is compressed."""
    copy = database.with_name(database.name + COPY_PATTERN.format(moment=f"{taken_at:%Y%m%dT%H%M%S%f}"))
    for leftover in database.parent.glob(database.name + COPY_PATTERN.format(moment="*")):
        delete_database(leftover)
    try:
        copy_database(database, copy, lambda fraction: tell(fraction * COPY_SHARE))
        yield copy
    finally:
        delete_database(copy)


def _content(copy: Path, tell: Callable[[float], None]) -> Iterator[bytes]:
    size_bytes, read_bytes = max(1, copy.stat().st_size), 0
    with copy.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            tell(COPY_SHARE + (1 - COPY_SHARE) * read_bytes / size_bytes)
            read_bytes += len(piece)
            yield piece


def _prune(given: BackupInput) -> list[str]:
    """Delete what is older than the newest `keep`; returns the names."""
    names = superfluous((path.name for path in given.folder.iterdir() if path.is_file()), given.keep)
    for name in names:
        (given.folder / name).unlink(missing_ok=True)
    delete_leftovers(given.folder)
    return names


def save(context: Context, lease: Lease, output: BackupOutput) -> frozenset[Fact]:
    """What waits by now was asked for while this one ran, and is this one. Source: spec/queues.md §2."""
    context.store.empty(context.session, QUEUE_OF_JOB[SPEC.name])
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
