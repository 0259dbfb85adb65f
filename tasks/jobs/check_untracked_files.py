"""Walks the media folder and reports files that no row names.

Before: the cron `integrityChecks.untrackedFiles`, a person. After: nothing. The first job walks page by page, lays each
page beside the rows and hands what they do not name to the second, which looks again: a file may be so new that its
row is not there yet. Hidden files, people's thumbnails and what a broken attempt left (the sweeper's) are left out.
Source: spec/pipeline.md §9.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from cluster.db.queries import integrity
from cluster.db.queries.integrity import ReportType
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, NewJob, Priority, Skipped
from cluster.storage.crawl import Walk, Wanted
from cluster.storage.globs import Exclusions
from cluster.storage.layout import Folder
from cluster.storage.sweep import STRAY
from tasks.integrity import WALKED, lies_there
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.refresh_integrity_reports import refresh_reports
from tasks.tools import Tools

SPEC = JobSpec(JobName.INTEGRITY_UNTRACKED_FILES)
QUEUE_ALL_SPEC = JobSpec(JobName.INTEGRITY_UNTRACKED_FILES_QUEUE_ALL)

PAGE = 2000
"""Files that are laid beside the rows in one transaction."""
SETTLED = timedelta(hours=1)
"""A file that appeared later may belong to an upload or a move that is not committed yet."""

_PERSON_THUMBNAIL = re.compile(r"[0-9a-f-]{36}\.jpeg", re.IGNORECASE)


class EveryFile(Wanted):
    """What a walk takes: every name that is not hidden."""

    def has_known_extension(self, name: str) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class WalkInput:
    """The folder to walk, from after the path `after`. `payload`: of the job, to go on with."""

    folder: str
    after: str
    number: int
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class WalkedPage:
    """Files in order of their paths."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuspectsInput:
    """Files that no row names. `before`: one that changed later is too new."""

    paths: tuple[str, ...]
    before: datetime


def load_page(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_page_input(context, lease) for lease in leases]


def _page_input(context: Context, lease: Lease) -> WalkInput | Skipped:
    first = "after" not in lease.payload
    if first:
        context.store.enqueue(context.session, [refresh_reports(ReportType.UNTRACKED)])
    if lease.payload.get("refreshOnly"):
        return Skipped("only what is reported is looked at")
    number = int(lease.payload.get("folder", 0))
    folder = str(context.layout.folder(WALKED[number]))
    return WalkInput(folder, str(lease.payload.get("after", "")), number, dict(lease.payload))


def walk_page(given: WalkInput, tools: Tools) -> Done | More:
    walk = Walk(given.folder, EveryFile(Exclusions(()), frozenset()), given.after)
    found = tuple(islice(walk, PAGE))
    page = WalkedPage(tuple(path for path in found if not _is_left_out(path, given.number)))
    if len(found) == PAGE:
        return More(page, {**given.payload, "folder": given.number, "after": found[-1]})
    if given.number + 1 < len(WALKED):
        return More(page, {**given.payload, "folder": given.number + 1, "after": ""})
    return Done(page)


def _is_left_out(path: str, number: int) -> bool:
    name = path.rpartition("/")[2]
    if STRAY.search(name):
        return True
    return WALKED[number] is Folder.THUMBS and _PERSON_THUMBNAIL.fullmatch(name) is not None


def save_page(context: Context, lease: Lease, output: WalkedPage) -> frozenset[Fact]:
    known = integrity.known_paths(context.session, output.paths)
    suspects = [path for path in output.paths if path not in known]
    if suspects:
        payload = {"type": "asset", "paths": suspects}
        context.store.enqueue(context.session, [NewJob(SPEC.name, payload, Priority.NIGHTLY)])
    return NO_FACTS


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    before = context.now - SETTLED
    known = integrity.known_paths(context.session, {path for lease in leases for path in lease.payload["paths"]})
    unknown = [tuple(path for path in lease.payload["paths"] if path not in known) for lease in leases]
    return [SuspectsInput(paths, before) if paths else Skipped("rows name them all") for paths in unknown]


def work(given: SuspectsInput, tools: Tools) -> WalkedPage:
    """Those that are still there and old enough. The change time is the file system's; a photo's own is any."""
    before_s = given.before.timestamp()
    statuses = [(path, lies_there(path)) for path in given.paths]
    return WalkedPage(tuple(path for path, status in statuses if status is not None and status.st_ctime < before_s))


def save(context: Context, lease: Lease, output: WalkedPage) -> frozenset[Fact]:
    known = integrity.known_paths(context.session, output.paths)
    paths = [(path, None) for path in output.paths if path not in known]
    integrity.report(context.session, ReportType.UNTRACKED, paths, None, context.now)
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
QUEUE_ALL = Job(QUEUE_ALL_SPEC, load_page, walk_page, save_page)
