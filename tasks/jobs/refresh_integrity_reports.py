"""Looks again at what was reported: what is in order by now is no longer reported.

Before: every integrity check, a person (`…-refresh`). After: nothing. One job of three names walks the reports of one
type, page by page. A missing file is in order when it is there, an untracked one when it is gone or a row names it, a
changed one when its checksum is right again; and each when its row says another path. Source: spec/pipeline.md §9.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from cluster.db.queries import integrity
from cluster.db.queries.integrity import ReportedFile, ReportType
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, NewJob, Priority, Skipped, Snooze
from cluster.storage.files import sha1_of
from tasks.integrity import Presence, lies_there
from tasks.job import NO_FACTS, Context, Job
from tasks.tools import Tools

log = logging.getLogger(__name__)

PAGE = 1000
CALL_S = 20.0
"""A call ends after the file in hand once it has run this long."""

REFRESH: dict[ReportType, JobName] = {
    ReportType.MISSING: JobName.INTEGRITY_MISSING_FILES_REFRESH,
    ReportType.UNTRACKED: JobName.INTEGRITY_UNTRACKED_REFRESH,
    ReportType.CHECKSUM: JobName.INTEGRITY_CHECKSUM_FILES_REFRESH,
}


@dataclass(frozen=True, slots=True)
class RefreshInput:
    """Reports of one type. `settled`: ids of those that rows alone settle. `is_last`: no more follow."""

    type: ReportType
    files: tuple[ReportedFile, ...]
    settled: frozenset[str]
    is_last: bool
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InOrder:
    """Reports that go."""

    report_ids: tuple[str, ...]


def refresh_reports(kind: ReportType) -> NewJob:
    """The job that looks again at all reports of a type; however often it is asked for, one waits."""
    name = REFRESH[kind]
    return NewJob(name, {}, Priority.NIGHTLY, dedup_key=str(name))


def _load(kind: ReportType, context: Context, lease: Lease) -> RefreshInput | Skipped:
    files = integrity.reported_files(context.session, kind, str(lease.payload.get("after", "")), PAGE)
    if not files:
        return Skipped("nothing is reported")
    if kind is ReportType.UNTRACKED:
        known = integrity.known_paths(context.session, {file.path for file in files})
        settled = frozenset(file.report_id for file in files if file.path in known)
    else:
        settled = frozenset(file.report_id for file in files if file.path != file.row_path)
    return RefreshInput(kind, tuple(files), settled, len(files) < PAGE, dict(lease.payload))


def work(given: RefreshInput, tools: Tools) -> Done | More | Snooze:
    began_s, presence, in_order, last = time.monotonic(), Presence(), list[str](), ""
    for file in given.files:
        if tools.cancelled.is_set():
            return Snooze(0.0, "cancelled")
        if last and time.monotonic() - began_s >= CALL_S:
            break
        if file.report_id in given.settled or _is_in_order(given.type, file, presence):
            in_order.append(file.report_id)
        last = file.report_id
    output = InOrder(tuple(in_order))
    if given.is_last and last == given.files[-1].report_id:
        return Done(output)
    return More(output, {**given.payload, "after": last})


def _is_in_order(kind: ReportType, file: ReportedFile, presence: Presence) -> bool:
    match kind:
        case ReportType.MISSING:
            return presence.of(file.path, file.import_paths) is True
        case ReportType.UNTRACKED:
            return lies_there(file.path) is None
        case ReportType.CHECKSUM:
            there = presence.of(file.path, file.import_paths)
            return there is False or (there is True and _has_its_checksum(file))
        case _:
            assert_never(kind)


def _has_its_checksum(file: ReportedFile) -> bool:
    try:
        return sha1_of(Path(file.path)) == file.checksum
    except OSError as error:
        log.warning("cannot read %s: %s", file.path, error.strerror)
        return False


def save(context: Context, lease: Lease, output: InOrder) -> frozenset[Fact]:
    integrity.clear(context.session, output.report_ids)
    return NO_FACTS


def _job(kind: ReportType) -> Job:
    def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
        return [_load(kind, context, lease) for lease in leases]

    return Job(JobSpec(REFRESH[kind], timeout_s=6 * 3600), load, work, save)


JOBS: tuple[Job, ...] = tuple(_job(kind) for kind in ReportType)
