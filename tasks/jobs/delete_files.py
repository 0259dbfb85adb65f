"""Deletes files that no row needs any more: replaced thumbnails, broken uploads, what belonged to a deleted asset.

Before: whoever let go of the files, in the same transaction. After: nothing. It never fails: a file that cannot be
deleted is a warning. A file that appeared under its name, or got another name, after the rows were asked may belong to
a row by now: the rows are asked once more. So an attempt that comes late deletes nothing new.
Source: spec/pipeline.md §4.
"""

import logging
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cluster.db.queries.integrity import known_paths
from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, NewJob, Skipped, Snooze
from tasks.job import NO_FACTS, Context, Job
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.FILE_DELETE, batch=64, timeout_s=60)

ASK_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class DeleteInput:
    """Absolute paths that no row named at `asked_at`."""

    paths: tuple[str, ...]
    asked_at: datetime


def delete_files(paths: Sequence[str]) -> NewJob:
    """The job that deletes `paths`."""
    return NewJob(JobName.FILE_DELETE, {"files": list(paths)})


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    """A path that a row names again by now (a format switched there and back) is kept."""
    wanted = [[path for path in lease.payload["files"] if path] for lease in leases]
    needed = known_paths(context.session, {path for paths in wanted for path in paths})
    loaded: list[Loaded] = []
    for paths in wanted:
        unneeded = tuple(path for path in paths if path not in needed)
        loaded.append(DeleteInput(unneeded, context.now) if unneeded else Skipped("no file to delete"))
    return loaded


def work(given: DeleteInput, tools: Tools) -> Snooze | None:
    asked_s, too_new = given.asked_at.timestamp(), False
    for path in map(Path, given.paths):
        try:
            found = path.lstat()
            # the change time is the file system's, and grows with every new name
            if stat.S_ISREG(found.st_mode) and found.st_ctime > asked_s:
                too_new = True
            else:
                path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning("cannot delete %s: %s", path, error)
    return Snooze(ASK_AGAIN_S, "a file is newer than the rows that were asked") if too_new else None


def save(context: Context, lease: Lease, output: None) -> frozenset[Fact]:
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
