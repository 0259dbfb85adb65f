"""What follows what: the whole graph as one table. Pure: a lease, how it ended and what was learnt in, follow-ups out.

Follow-ups run after Done and after Skipped alike, never after a failure. Source: spec/pipeline.md §1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from cluster.names import JobName
from cluster.queue.job import (
    Done,
    Fact,
    FailedAttempt,
    FollowUps,
    Lease,
    NewEvent,
    NewJob,
    Notice,
    Payload,
    Priority,
    Skipped,
    asset_job,
)

VIDEO = Fact("video")
"""The asset is a video."""
VISIBLE = Fact("visible")
"""The asset is in the timeline or the archive, so a client waits for it."""
GONE = Fact("gone")
"""The asset was deleted meanwhile: nothing follows."""
PASSED_BY = Fact("passed by")
"""The storage template takes no notice of the asset, hidden or in the trash: nothing follows."""
OUTDATED = Fact("outdated")
"""An admin chose another model meanwhile, and what this one made is of no use: nothing follows."""

UPLOAD, COPY, SIDECAR_WRITE = "upload", "copy", "sidecar-write"
"""What `source` in a payload may say of the reason for a chain."""

Condition = Callable[[Payload], bool]


def always(payload: Payload) -> bool:
    return True


def uploaded(payload: Payload) -> bool:
    return payload.get("source") == UPLOAD


def uploaded_or_copied(payload: Payload) -> bool:
    return payload.get("source") in (UPLOAD, COPY)


def uploaded_or_notify(payload: Payload) -> bool:
    return uploaded(payload) or bool(payload.get("notify"))


def sidecar_written(payload: Payload) -> bool:
    return payload.get("source") == SIDECAR_WRITE


@dataclass(frozen=True, slots=True)
class Arrow:
    """`then` follows `after` when `when` likes the payload and all of `facts` are known.

    `source`, when given, replaces the payload's; `keeps_notify`: the flag travels on.
    """

    after: JobName
    then: JobName
    when: Condition = always
    facts: frozenset[Fact] = frozenset()
    source: str | None = None
    keeps_notify: bool = True


@dataclass(frozen=True, slots=True)
class Bell:
    """Event `type`, with the asset's id, follows `after`: what clients hear. Who reads events looks up the owner."""

    after: JobName
    type: str
    when: Condition = always
    facts: frozenset[Fact] = frozenset()


J = JobName

TOLD_OF_FAILURE: frozenset[JobName] = frozenset({J.DATABASE_BACKUP})
"""Jobs whose last failure the admins are told of. Source: spec/queues.md §4."""

ARROWS: tuple[Arrow, ...] = (
    Arrow(J.SIDECAR_CHECK, J.ASSET_EXTRACT_METADATA),
    Arrow(J.SIDECAR_WRITE, J.ASSET_EXTRACT_METADATA, source=SIDECAR_WRITE),
    Arrow(J.ASSET_EXTRACT_METADATA, J.STORAGE_TEMPLATE_MIGRATION_SINGLE, keeps_notify=False),
    Arrow(J.STORAGE_TEMPLATE_MIGRATION_SINGLE, J.ASSET_GENERATE_THUMBNAILS, uploaded_or_copied),
    Arrow(J.ASSET_GENERATE_THUMBNAILS, J.SMART_SEARCH, uploaded_or_notify),
    Arrow(J.ASSET_GENERATE_THUMBNAILS, J.ASSET_DETECT_FACES, uploaded_or_notify),
    Arrow(J.ASSET_GENERATE_THUMBNAILS, J.OCR, uploaded_or_notify),
    Arrow(J.ASSET_GENERATE_THUMBNAILS, J.ASSET_ENCODE_VIDEO, uploaded_or_notify, facts=frozenset({VIDEO})),
    Arrow(J.SMART_SEARCH, J.ASSET_DETECT_DUPLICATES, uploaded),
)

BRANCHES: tuple[tuple[JobName, JobName], ...] = (
    (J.ASSET_DETECT_FACES, J.FACIAL_RECOGNITION),
    (J.ASSET_ENCODE_VIDEO, J.ASSET_ENCODE_VIDEO_PART),
)
"""Jobs that enqueue as many others as they find: how many is known from what has ended alone."""

BELLS: tuple[Bell, ...] = (
    Bell(J.ASSET_EXTRACT_METADATA, "asset_update", sidecar_written),
    Bell(J.ASSET_GENERATE_THUMBNAILS, "upload_success", uploaded_or_notify, facts=frozenset({VISIBLE})),
)


def after_upload(asset_id: str) -> NewJob:
    """The first job of the chain for a photo or video that was just accepted."""
    return asset_job(J.ASSET_EXTRACT_METADATA, asset_id, source=UPLOAD, priority=Priority.PERSON_WAITS)


def picture_person(person_id: str) -> NewJob:
    """Makes the picture of somebody who was just found; at most one such job waits."""
    name = JobName.PERSON_GENERATE_THUMBNAIL
    return NewJob(name, {"id": person_id}, dedup_key=f"{name}:{person_id}")


def recognize_faces() -> NewJob:
    """Looks after faces that nobody has; at most one such job waits."""
    name = JobName.FACIAL_RECOGNITION_QUEUE_ALL
    return NewJob(name, {"force": False}, dedup_key=f"{name}:unknown")


def recognize_face(
    face_id: str, asset_id: str, priority: Priority = Priority.BACKLOG, *, deferred: bool = False
) -> NewJob:
    """Says whose a face is. `deferred`: for the second time, after those that wait now."""
    name = JobName.FACIAL_RECOGNITION
    payload: dict[str, object] = {"id": face_id, "deferred": True} if deferred else {"id": face_id}
    key = f"{name}:{face_id}" + (":deferred" if deferred else "")
    return NewJob(name, payload, priority, dedup_key=key, asset_id=asset_id)


def follow(lease: Lease, outcome: Done | Skipped, facts: frozenset[Fact]) -> FollowUps:
    """The jobs and events that the end of `lease` causes. Implements `cluster.queue.job.Pipeline`."""
    known = facts | outcome.facts if isinstance(outcome, Skipped) else facts
    if known & {GONE, PASSED_BY, OUTDATED}:
        return FollowUps()
    return FollowUps(
        jobs=tuple(_job(arrow, lease.payload) for arrow in ARROWS if _applies(arrow, lease, known)),
        events=tuple(
            NewEvent(bell.type, data={"asset_id": lease.payload["id"]})
            for bell in BELLS
            if _applies(bell, lease, known)
        ),
    )


def leads_to(name: JobName, payload: Payload, wanted: JobName) -> bool:
    """Whether a job with this payload is `wanted`, or will cause one when all goes well. Facts are taken to hold."""
    return name is wanted or any(
        leads_to(arrow.then, _job(arrow, payload).payload, wanted)
        for arrow in ARROWS
        if arrow.after is name and arrow.when(payload)
    )


@cache
def chain_behind(name: JobName, source: str | None, notify: bool, is_video: bool) -> tuple[JobName, ...]:
    """Every job that the end of one will cause, and theirs, when all goes well: what a forecast counts.

    `source`, `notify`: of its payload. Without what other jobs enqueue on their own: parts of videos, faces.
    """
    payload = asset_job(name, "", source=source, notify=notify).payload
    known = frozenset({VIDEO}) if is_video else frozenset()
    found: list[JobName] = []
    for arrow in ARROWS:
        if arrow.after is name and arrow.facts <= known and arrow.when(payload):
            then = _job(arrow, payload).payload
            found += arrow.then, *chain_behind(arrow.then, then.get("source"), bool(then.get("notify")), is_video)
    return tuple(found)


def jobs_before(wanted: JobName) -> frozenset[JobName]:
    """`wanted`, and every job that may lead to it."""
    found = {wanted}
    while more := {arrow.after for arrow in ARROWS if arrow.then in found} - found:
        found |= more
    return frozenset(found)


def follow_failure(lease: Lease, attempt: FailedAttempt) -> FollowUps:
    """What the last failure of a job causes. Implements `cluster.loops.settler.OnFailed`."""
    if lease.name not in TOLD_OF_FAILURE:
        return FollowUps()
    described = f"Job {lease.name} failed with error: {attempt.message}"
    return FollowUps(notices=(Notice("JobFailed", "error", "Job Failed", described),))


def _applies(line: Arrow | Bell, lease: Lease, facts: frozenset[Fact]) -> bool:
    return line.after is lease.name and line.facts <= facts and line.when(lease.payload)


def _job(arrow: Arrow, payload: Payload) -> NewJob:
    # Who uploads or asks to be told looks at the screen; anything else that chains can wait its turn.
    waiting = uploaded_or_notify(payload)
    return asset_job(
        arrow.then,
        payload["id"],
        source=arrow.source or payload.get("source"),
        notify=arrow.keeps_notify and bool(payload.get("notify")),
        priority=Priority.PERSON_WAITS if waiting else Priority.BACKLOG,
    )
