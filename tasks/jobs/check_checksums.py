"""Reads uploads and compares their SHA-1 with what they had when they came; reports those that differ.

Before: the cron `integrityChecks.checksumFiles`, a person. After: nothing. A run goes on where the last one stopped, in
the order of arrival, until its time (`timeLimit`, ms) or its share of the library (`percentageLimit`) is used up. Files
that are not there are not its business; files of external libraries have no checksum of their bytes.
Source: spec/pipeline.md §9.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cluster.db.queries import integrity, notes
from cluster.db.queries.integrity import Named, NamedFile, Original, ReportType
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, Skipped, Snooze
from cluster.storage.files import sha1_of
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.refresh_integrity_reports import refresh_reports
from tasks.tools import Tools

log = logging.getLogger(__name__)

SPEC = JobSpec(JobName.INTEGRITY_CHECKSUM_FILES, timeout_s=6 * 3600)

CHECKPOINT = "integrity-checksum-checkpoint"
PAGE = 500
CALL_S = 20.0
"""A call ends after the file in hand once it has run this long, so that what it found is saved."""


@dataclass(frozen=True, slots=True)
class ChecksumInput:
    """Files to read, in order. `seconds_left`, `files_left`: of the run's limits. `is_last`: the library ends here."""

    originals: tuple[Original, ...]
    seconds_left: float
    files_left: int
    is_last: bool
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChecksumOutput:
    """`checkpoint`: the note from which the next run goes on, empty when everything is covered; None: as it was."""

    differing: tuple[Original, ...]
    sound_reports: tuple[str, ...]
    checkpoint: dict[str, str] | None


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_input(context, lease) for lease in leases]


def _input(context: Context, lease: Lease) -> ChecksumInput | Skipped:
    payload = dict(lease.payload)
    if payload.get("refreshOnly"):
        context.store.enqueue(context.session, [refresh_reports(ReportType.CHECKSUM)])
        return Skipped("only what is reported is looked at")
    limits = context.config.integrity_checks.checksum_files
    payload.setdefault("began_at", context.now.isoformat())
    payload.setdefault("done", 0)
    if "most" not in payload:
        payload["most"] = int(integrity.count_originals(context.session) * limits.percentage_limit)
    used_s = (context.now - datetime.fromisoformat(payload["began_at"])).total_seconds()
    found = integrity.originals(context.session, _reached(context), PAGE)
    if not found and payload["done"] == 0 and _reached(context) is not None:
        found = integrity.originals(context.session, None, PAGE)  # nothing came since: begin anew
    return ChecksumInput(
        tuple(found),
        seconds_left=limits.time_limit / 1000 - used_s,
        files_left=payload["most"] - payload["done"],
        is_last=len(found) < PAGE,
        payload=payload,
    )


def _reached(context: Context) -> tuple[datetime, str] | None:
    note = notes.read(context.session, CHECKPOINT)
    return (datetime.fromisoformat(note["date"]), str(note["id"])) if note and note.get("date") else None


def work(given: ChecksumInput, tools: Tools) -> Done | More | Snooze:
    began_s, differing, sound = time.monotonic(), list[Original](), list[str]()
    checkpoint: dict[str, str] | None = None
    count = 0
    for original in given.originals:
        used_s = time.monotonic() - began_s
        if used_s >= given.seconds_left or count >= given.files_left or used_s >= CALL_S:
            break
        if tools.cancelled.is_set():
            return Snooze(0.0, "cancelled")
        _compare(original, differing, sound)
        checkpoint, count = {"date": original.created_at.isoformat(), "id": original.asset_id}, count + 1
    covered = given.is_last and count == len(given.originals)
    output = ChecksumOutput(tuple(differing), tuple(sound), {} if covered else checkpoint)
    over = time.monotonic() - began_s >= given.seconds_left or count >= given.files_left
    return Done(output) if covered or over else More(output, {**given.payload, "done": given.payload["done"] + count})


def _compare(original: Original, differing: list[Original], sound: list[str]) -> None:
    try:
        checksum = sha1_of(Path(original.path))
    except OSError as error:
        log.warning("cannot read %s: %s", original.path, error.strerror)
        return
    if checksum != original.checksum:
        log.error("%s has changed since it came: %s, not %s", original.path, checksum.hex(), original.checksum.hex())
        differing.append(original)
    elif original.report_id:
        sound.append(original.report_id)


def save(context: Context, lease: Lease, output: ChecksumOutput) -> frozenset[Fact]:
    session = context.session
    files = [NamedFile(one.asset_id, one.path, None) for one in output.differing]
    still = integrity.still_named(session, Named.ASSET, files)
    paths = [(file.path, file.row_id) for file in still]
    integrity.report(session, ReportType.CHECKSUM, paths, Named.ASSET, context.now)
    integrity.clear(session, output.sound_reports)
    if output.checkpoint is not None:
        notes.write(session, CHECKPOINT, output.checkpoint)
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
