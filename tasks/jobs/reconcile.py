"""Compares rows, disk and queue, and enqueues exactly what is missing.

Before: the nightly tasks, a person (`heliostat reconcile`). After: the jobs that it enqueues. It looks for what the
rows of an asset or person lack, and for files that they name and that are not on disk, or empty there. What stands in
the queue already is left alone; so is what failed, whose reason is on a list for a person. A file whose disk is away is
not missing. A job of ours: clients see it as the check for missing files, beside which it runs.
"""

import logging
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.db.queries import jobs, notes
from cluster.db.queries.derived_files import (
    DerivedFile,
    asset_ids_after,
    files_of_assets,
    people_after,
    still_there,
)
from cluster.db.queries.people import first_faces, give_first_face, without_face
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, NewJob, Priority, Snooze, asset_job
from cluster.storage.mounts import marker_present
from tasks.integrity import Presence
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs import (
    check_sidecar,
    detect_duplicates,
    detect_faces,
    encode_video,
    extract_metadata,
    generate_thumbnails,
    read_text,
    smart_search,
)
from tasks.missing import Missing, in_queue
from tasks.pipeline import UPLOAD, picture_person
from tasks.tools import Tools

log = logging.getLogger(__name__)

SPEC = JobSpec(JobName.RECONCILE, wire_name=JobName.INTEGRITY_MISSING_FILES_QUEUE_ALL)

CHAIN = extract_metadata.MISSING
"""Where this is missing, nothing of what follows an upload was done: the whole chain is wanted, and nothing else."""

KINDS: tuple[Missing, ...] = (
    generate_thumbnails.MISSING,
    encode_video.MISSING,
    smart_search.MISSING,
    detect_faces.MISSING,
    detect_duplicates.MISSING,
    read_text.MISSING,
)
"""What an asset may lack besides. A job that makes something of an asset adds a line here."""

LINKED: tuple[Missing, ...] = (check_sidecar.MISSING,)
"""What an asset need not have, but is to be looked at when its file is gone."""

LAST = "last-reconciliation"
PAGE = 1000
MEDIA_AWAY_S = 60.0


@dataclass(frozen=True, slots=True)
class PageInput:
    """One page: assets or people, by id, and the files that their rows name."""

    ids: tuple[str, ...]
    files: tuple[DerivedFile, ...]
    of_people: bool
    media_root: Path
    ignore_markers: bool
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PageSeen:
    """`broken`: files that are not there, or empty."""

    ids: tuple[str, ...]
    of_people: bool
    broken: tuple[DerivedFile, ...]
    is_last: bool


def reconcile_asked() -> NewJob:
    """The job, for a person who waits. However often it is asked for, one waits."""
    return NewJob(SPEC.name, {"asked": True}, Priority.PERSON_WAITS, dedup_key=str(SPEC.name))


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_input(context, dict(lease.payload)) for lease in leases]


def _input(context: Context, payload: dict[str, Any]) -> PageInput:
    session, after, of_people = context.session, str(payload.get("after", "")), bool(payload.get("people"))
    if of_people:
        files = people_after(session, after, PAGE)
        ids = [file.owner_id for file in files]
    else:
        ids = asset_ids_after(session, after, PAGE)
        files = files_of_assets(session, ids)
    ignore_markers = context.settings.ignore_mount_check_errors
    return PageInput(tuple(ids), tuple(files), of_people, context.layout.media_root, ignore_markers, payload)


def work(given: PageInput, tools: Tools) -> Done | More | Snooze:
    presence = Presence()
    broken = tuple(file for file in given.files if not file.path or _is_broken(file, presence))
    if broken and not marker_present(given.media_root, given.ignore_markers):
        return Snooze(MEDIA_AWAY_S, "the media folder went away")
    is_full = len(given.ids) == PAGE
    seen = PageSeen(given.ids, given.of_people, broken, is_last=given.of_people and not is_full)
    if is_full:
        return More(seen, {**given.payload, "after": given.ids[-1]})
    return Done(seen) if given.of_people else More(seen, {**given.payload, "after": "", "people": True})


def _is_broken(file: DerivedFile, presence: Presence) -> bool:
    there = presence.of(file.path, file.import_paths)
    may_be_empty = file.type == check_sidecar.SIDECAR
    return there is False or (there is True and not may_be_empty and Path(file.path).stat().st_size == 0)


def save(context: Context, lease: Lease, output: PageSeen) -> frozenset[Fact]:
    priority = Priority.PERSON_WAITS if lease.payload.get("asked") else Priority.NIGHTLY
    if output.of_people:
        wanted = _pictures(context, output.broken)
    else:
        wanted = _jobs(context, output.ids, output.broken, priority)
    context.store.enqueue(context.session, wanted)
    _note(context, lease, output, wanted)
    return NO_FACTS


def _jobs(
    context: Context, asset_ids: Sequence[str], broken: Sequence[DerivedFile], priority: Priority
) -> list[NewJob]:
    unread = _missing(context, CHAIN, asset_ids, ())
    wanted = [asset_job(CHAIN.job, asset_id, source=UPLOAD, priority=priority) for asset_id in unread]
    never_read = CHAIN.lacking(context, asset_ids)
    read = [asset_id for asset_id in asset_ids if asset_id not in never_read]
    for kind in (*KINDS, *LINKED):
        gone = [file for file in broken if file.type in kind.makes and file.owner_id not in never_read]
        ids = _missing(context, kind, read if kind in KINDS else (), gone)
        wanted += [asset_job(kind.job, asset_id, priority=priority) for asset_id in ids]
    return wanted


def _missing(context: Context, kind: Missing, asset_ids: Sequence[str], broken: Sequence[DerivedFile]) -> list[str]:
    """Of these assets, those that lack what the job makes by their rows, and owners of broken files that it would make
    anew, unless it is in the queue. Rows are asked before the queue, to ask it of few, and after it: a job may have
    ended in between."""
    gone = kind.acts_on(context, sorted({file.owner_id for file in broken}))
    suspected = sorted(kind.lacking(context, asset_ids) | gone)
    busy = in_queue(context, kind.job, suspected) | kind.begun(context, suspected)
    if kind in LINKED:  # what follows has failed: looking again would change nothing
        busy |= in_queue(context, CHAIN.job, suspected)
    free = set(suspected) - busy
    lacking = kind.lacking(context, sorted(free.intersection(asset_ids)))
    still_gone = still_there(context.session, _of(broken, free & gone))
    return sorted(lacking | {file.owner_id for file in still_gone})


def _of(files: Sequence[DerivedFile], owners: Collection[str]) -> list[DerivedFile]:
    return [file for file in files if file.owner_id in owners]


def _pictures(context: Context, broken: Sequence[DerivedFile]) -> list[NewJob]:
    """Of people that have a face to show."""
    job_of = {picture_person(file.owner_id).dedup_key: picture_person(file.owner_id) for file in broken}
    for known in jobs.with_keys(context.session, [key for key in job_of if key]):
        job_of.pop(known.dedup_key, None)
    free = [job.payload["id"] for job in job_of.values()]
    missing = {file.owner_id for file in still_there(context.session, _of(broken, free))}
    faceless = without_face(context.session, missing)
    chosen = first_faces(context.session, faceless)
    give_first_face(context.session, chosen, context.now)
    return [picture_person(one) for one in sorted(missing) if one not in faceless or one in chosen]


def _note(context: Context, lease: Lease, output: PageSeen, wanted: Sequence[NewJob]) -> None:
    """What this run has seen and done so far, for a person who asks."""
    begins = "after" not in lease.payload
    before: dict[str, Any] = {} if begins else notes.read(context.session, LAST) or {}
    enqueued = Counter(before.get("enqueued", {})) + Counter(str(job.name) for job in wanted)
    kind = "people" if output.of_people else "assets"
    note = {
        "began_at": before.get("began_at") or context.now.isoformat(),
        "ended_at": context.now.isoformat() if output.is_last else None,
        "assets": before.get("assets", 0),
        "people": before.get("people", 0),
        "broken_files": before.get("broken_files", 0) + sum(1 for file in output.broken if file.path),
        "enqueued": dict(enqueued),
    }
    note[kind] += len(output.ids)
    notes.write(context.session, LAST, note)
    if output.is_last:
        log.info("%d assets, %d people: %s", note["assets"], note["people"], note["enqueued"] or "nothing is missing")


JOB = Job(SPEC, load, work, save)
