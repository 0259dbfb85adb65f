"""Looks whether every file that a row names is there, and reports those that are not.

Before: the cron `integrityChecks.missingFiles`, a person. After: nothing. The first job cuts the rows into ranges of
ids, the second looks at one range: payloads stay small, and a library of a million files needs no list of them. A file
that is found again is no longer reported. Offline assets are left out: their library says already that they are away.
Source: spec/pipeline.md §9.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.db.queries import integrity
from cluster.db.queries.integrity import Named, NamedFile, ReportType
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, NewJob, Place, Priority, Skipped, Snooze
from cluster.storage.mounts import marker_present
from tasks.integrity import Presence
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.jobs.refresh_integrity_reports import refresh_reports
from tasks.tools import Tools

SPEC = JobSpec(JobName.INTEGRITY_MISSING_FILES)
QUEUE_ALL_SPEC = JobSpec(JobName.INTEGRITY_MISSING_FILES_QUEUE_ALL, place=Place.ROW_JOBS, timeout_s=60)

RANGE = 4000
"""Rows that one call looks at."""
RANGES_AT_ONCE = 25
MEDIA_AWAY_S = 60.0


@dataclass(frozen=True, slots=True)
class MissingInput:
    """Files to look for. `media_root`: its markers say whether the media disk is there; `ignore_markers`: there may be
    none."""

    files: tuple[NamedFile, ...]
    media_root: Path
    ignore_markers: bool


@dataclass(frozen=True, slots=True)
class MissingOutput:
    """What is not there, and the reports of what is there again."""

    missing: tuple[NamedFile, ...]
    found_reports: tuple[str, ...]


def queue_ranges(context: Context, lease: Lease) -> Done | More:
    """`refreshOnly`: look only at what is reported."""
    if lease.payload.get("refreshOnly"):
        context.store.enqueue(context.session, [refresh_reports(ReportType.MISSING)])
        return Done()
    named, after = Named(lease.payload.get("named", Named.ASSET)), str(lease.payload.get("after", ""))
    for _ in range(RANGES_AT_ONCE):
        until = integrity.last_of_range(context.session, named, after, RANGE)
        payload = {"named": named.value, "after": after, "until": until}
        key = f"{SPEC.name}:{named.value}:{after}"
        context.store.enqueue(context.session, [NewJob(SPEC.name, payload, Priority.NIGHTLY, dedup_key=key)])
        if until is None:
            if named is Named.ASSET_FILE:
                return Done()
            named, after = Named.ASSET_FILE, ""
        else:
            after = until
    return More(None, {**lease.payload, "named": named.value, "after": after})


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_input(context, lease) for lease in leases]


def _input(context: Context, lease: Lease) -> MissingInput | Skipped:
    payload = lease.payload
    files = integrity.named_files(context.session, Named(payload["named"]), payload["after"], payload["until"])
    if not files:
        return Skipped("no rows")
    return MissingInput(tuple(files), context.layout.media_root, context.settings.ignore_mount_check_errors)


def work(given: MissingInput, tools: Tools) -> MissingOutput | Snooze:
    presence, missing, found = Presence(), list[NamedFile](), list[str]()
    for file in given.files:
        there = presence.of(file.path, file.import_paths)
        if there is False:
            missing.append(file)
        elif there and file.report_id:
            found.append(file.report_id)
    if missing and not marker_present(given.media_root, given.ignore_markers):
        return Snooze(MEDIA_AWAY_S, "the media folder went away")
    return MissingOutput(tuple(missing), tuple(found))


def save(context: Context, lease: Lease, output: MissingOutput) -> frozenset[Fact]:
    """A file that was moved meanwhile has another path by now, and is not missing."""
    named = Named(lease.payload["named"])
    missing = integrity.still_named(context.session, named, output.missing)
    paths = [(file.path, file.row_id) for file in missing]
    integrity.report(context.session, ReportType.MISSING, paths, named, context.now)
    integrity.clear(context.session, output.found_reports)
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
QUEUE_ALL = RowJob(QUEUE_ALL_SPEC, queue_ranges)
