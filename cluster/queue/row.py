"""A job as a store keeps it, and what becomes of it. Pure: every store moves jobs by these functions.

The merge rule: of two requests under one dedup key the stronger `source`, `notify` and `force` stay, other arguments
are the newer's, place and time the earlier's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, assert_never

from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import JobId, Lease, LeaseToken, NewJob, Payload
from cluster.queue.states import JobEvent, JobState, after
from cluster.queue.store import Continue, Defer, Fail, Finish, JobRecord, Release, Retry, Settlement

SOURCE_STRENGTH = {"edit": 1, "sidecar-write": 2, "copy": 3, "upload": 4}
"""An upload has the longest chain behind it, so a merge must not lose it. No source is 0."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job that is not over. Times in ms since 1970; `order_key` in µs; `job_id` 0 until a store has given one."""

    job_id: JobId
    name: JobName
    payload: Payload
    state: JobState
    order_key: int
    enqueued_at_ms: int
    run_at_ms: int
    dedup_key: str | None
    asset_id: str | None
    attempts: int = 0
    deaths: int = 0
    alone: bool = False
    lease_token: LeaseToken | None = None
    lease_expires_at_ms: int | None = None
    controller: str | None = None
    incarnation: str | None = None
    last_error: str = ""
    progress: float | None = None
    queue: QueueName = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "queue", QUEUE_OF_JOB[self.name])


def time_of(milliseconds: int) -> datetime:
    """An aware UTC datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def place_in_line(now_ms: int, offset_s: int, position: int) -> int:
    """The order key of a job. `position` in its call keeps jobs that come together in the order in which they came."""
    return (now_ms + offset_s * 1000) * 1000 + position


def new_rows(jobs: Sequence[NewJob], now_ms: int) -> list[JobRow]:
    """One row per dedup key and one per job without a key, in order."""
    rows: dict[object, JobRow] = {}
    for position, job in enumerate(jobs):
        row = JobRow(
            job_id=JobId(0),
            name=job.name,
            payload=job.payload,
            state=JobState.DELAYED if job.delay_s > 0 else JobState.WAITING,
            order_key=place_in_line(now_ms, job.priority, position),
            enqueued_at_ms=now_ms,
            run_at_ms=now_ms + round(max(0.0, job.delay_s) * 1000),
            dedup_key=job.dedup_key,
            asset_id=job.asset_id,
        )
        key: object = position if job.dedup_key is None else job.dedup_key
        rows[key] = merged(rows[key], row) if key in rows else row
    return list(rows.values())


def stronger(older: Payload, newer: Payload) -> dict[str, Any]:
    """The payload of two requests that became one."""
    payload = {**older, **newer}
    sources = [str(request["source"]) for request in (newer, older) if request.get("source") is not None]
    if sources:
        payload["source"] = max(sources, key=lambda source: SOURCE_STRENGTH.get(source, 0))
    for flag in ("notify", "force"):
        if older.get(flag) or newer.get(flag):
            payload[flag] = True
    return payload


def merged(row: JobRow, request: JobRow) -> JobRow:
    """`row` after a newer request with its key. A failed one starts anew, in the request's place."""
    payload = stronger(row.payload, request.payload)
    if row.state is JobState.FAILED:
        return revived(replace(row, payload=payload), request.enqueued_at_ms, request.order_key)
    state: JobState = row.state
    if state is JobState.DELAYED and request.state is JobState.WAITING:
        state = _moved(row, JobEvent.DUE)
    return replace(
        row,
        payload=payload,
        state=state,
        order_key=min(row.order_key, request.order_key),
        enqueued_at_ms=min(row.enqueued_at_ms, request.enqueued_at_ms),
        run_at_ms=min(row.run_at_ms, request.run_at_ms),
    )


def revived(row: JobRow, now_ms: int, order_key: int) -> JobRow:
    """A failed job as if it were new: an old place would put it before what people asked for since."""
    return replace(
        row,
        state=_moved(row, JobEvent.REVIVE),
        order_key=order_key,
        enqueued_at_ms=now_ms,
        run_at_ms=now_ms,
        attempts=0,
        deaths=0,
        alone=False,
    )


def settled(row: JobRow, settlement: Settlement, now_ms: int) -> JobRow | None:
    """An active job after its settlement, `None` when it is over. Raises StateError when it is not active."""
    changes: dict[str, Any]
    match settlement:
        case Finish():
            after(row.state, JobEvent.FINISH)
            return None
        case Continue(next_payload=payload):
            event, changes = JobEvent.CONTINUE, {"payload": payload, "attempts": 0, "deaths": 0, "alone": False}
        case Retry(attempt=attempt, died=died, alone=alone):
            changes = {"attempts": row.attempts + 1, "deaths": row.deaths + died, "alone": row.alone or alone}
            event, changes = JobEvent.RETRY, changes | {"last_error": attempt.message}
        case Fail(attempt=attempt):
            event, changes = JobEvent.FAIL, {"attempts": row.attempts + 1, "last_error": attempt.message}
        case Defer(reason=reason):
            event, changes = JobEvent.SNOOZE, {"last_error": reason}
        case Release(alone=alone):
            event, changes = JobEvent.RELEASE, {"alone": row.alone or alone}
        case _:
            assert_never(settlement)
    delay_s = settlement.delay_s if isinstance(settlement, Retry | Defer) else 0.0
    held = ("lease_token", "lease_expires_at_ms", "controller", "incarnation", "progress")
    free: dict[str, Any] = dict.fromkeys(held)
    run_at_ms = now_ms + round(delay_s * 1000)
    return replace(row, state=_moved(row, event), run_at_ms=run_at_ms, **free, **changes)


def with_successor(row: JobRow, settlement: Settlement, successor: JobRow) -> JobRow:
    """A job that goes back (`row`, already settled) takes in the successor that waited behind it.

    A walk in its middle starts over: the successor asks for what came after the pages that are done.
    """
    if isinstance(settlement, Continue):
        flags = {key: row.payload[key] for key in ("source", "notify", "force") if key in row.payload}
        row = replace(row, payload=flags)
    return merged(row, successor)


def lease_of(row: JobRow) -> Lease:
    """The lease of an active row."""
    if row.lease_token is None or row.lease_expires_at_ms is None:
        raise ValueError(f"job {row.job_id} is not leased")
    return Lease(
        job_id=row.job_id,
        token=row.lease_token,
        name=row.name,
        queue=row.queue,
        payload=row.payload,
        attempt=row.attempts + 1,
        deaths=row.deaths,
        alone=row.alone,
        asset_id=row.asset_id,
        enqueued_at=time_of(row.enqueued_at_ms),
        expires_at=time_of(row.lease_expires_at_ms),
    )


def record_of(row: JobRow) -> JobRecord:
    """The row as lists show it."""
    return JobRecord(
        job_id=row.job_id,
        name=row.name,
        queue=row.queue,
        state=row.state,
        payload=row.payload,
        attempts=row.attempts,
        enqueued_at=time_of(row.enqueued_at_ms),
        run_at=time_of(row.run_at_ms),
        asset_id=row.asset_id,
        error=row.last_error,
        progress=row.progress,
    )


def _moved(row: JobRow, event: JobEvent) -> JobState:
    state = after(row.state, event)
    if state is None:
        raise ValueError(f"{event} ends a job")
    return state
