"""The queue as the loops, services and tests see it. Three implementations pass one behaviour suite: memory, SQLite,
PostgreSQL. Every method takes an opaque transaction, so that jobs move together with the rows they are about.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, JobId, Lease, LeaseToken, NewEvent, NewJob, Payload
from cluster.queue.states import JobState

Transaction = Any


@dataclass(frozen=True, slots=True)
class Finish:
    """The job is over: its row goes, history and statistics stay."""

    lease: Lease
    skipped: bool = False
    reason: str = ""
    duration_ms: int = 0
    node: str = ""


@dataclass(frozen=True, slots=True)
class Continue:
    """A page is done, the next waits with `next_payload`. Attempts start anew."""

    lease: Lease
    next_payload: Payload
    duration_ms: int = 0
    node: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed; the job is delayed. `died`: a worker died with it in hand."""

    lease: Lease
    delay_s: float
    attempt: FailedAttempt
    died: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """The last attempt failed; the row stays as failed with the attempt's story."""

    lease: Lease
    attempt: FailedAttempt


@dataclass(frozen=True, slots=True)
class Defer:
    """Snoozed: delayed without counting an attempt."""

    lease: Lease
    delay_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Back to waiting at once, without counting an attempt. `alone`: the next call holds nothing else."""

    lease: Lease
    alone: bool = False


Settlement = Finish | Continue | Retry | Fail | Defer | Release


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Jobs of one queue by state. `paused` is the queue's flag, not a count; a pause that has run out is none.
    `wait_reason`: why nothing of it can
    start, else why the first of those that were put off was; empty when there is neither."""

    queue: QueueName
    paused: bool
    waiting: int = 0
    delayed: int = 0
    active: int = 0
    failed: int = 0
    paused_reason: str = ""
    paused_by: str = ""
    paused_until: datetime | None = None
    wait_reason: str = ""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as lists show it. `error`: what its last attempt failed of, or why it was put off; `progress`: 0 to 1, of
    an active job whose worker says so."""

    job_id: JobId
    name: JobName
    queue: QueueName
    state: JobState
    payload: Payload
    attempts: int
    enqueued_at: datetime
    run_at: datetime
    asset_id: str | None
    error: str = ""
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class InHand:
    """A worker's word on a job that it holds: where it is, and how far (0 to 1) where it says so."""

    job_id: JobId
    token: LeaseToken
    node: str = ""
    progress: float | None = None


class QueueStore(Protocol):
    """Jobs, durable. Time is the database's; `transaction(durable=True)` is on disk when it returns."""

    def transaction(self, *, durable: bool = False, reading: bool = False) -> AbstractContextManager[Transaction]:
        """All or nothing. SQLite takes the write lock at once (`BEGIN IMMEDIATE`), unless it is only for `reading`."""
        ...

    def savepoint(self, tx: Transaction) -> AbstractContextManager[None]:
        """A part of a transaction that may fail alone."""
        ...

    # what a request or a job does
    def enqueue(self, tx: Transaction, jobs: Sequence[NewJob]) -> int:
        """Add jobs; returns how many are new. One with a dedup key that waits, is delayed or has failed merges with it:
        the payload keeps the stronger source, notify and force, the earlier place and time. A failed one revives."""
        ...

    def emit(self, tx: Transaction, events: Sequence[NewEvent]) -> None:
        """Append events; ids rise in commit order."""
        ...

    # what a controller does
    def own(self, tx: Transaction, queues: Iterable[QueueName], controller: str, ttl_s: float) -> set[QueueName]:
        """Take or renew the ownership of queues that are free, expired or already ours; returns those we own now."""
        ...

    def disown(self, tx: Transaction, queues: Iterable[QueueName], controller: str) -> None:
        """Let another controller have those of these queues that are this one's."""
        ...

    def present(self, tx: Transaction, controller: str, ttl_s: float) -> list[str]:
        """Say that this controller lives; returns the names of all that said so and have not let it run out, sorted."""
        ...

    def owned(self, tx: Transaction) -> set[QueueName]:
        """Queues that some controller owns and has not let run out."""
        ...

    def release_predecessor(self, tx: Transaction, controller: str, incarnation: str) -> int:
        """Release active jobs that an earlier incarnation of this controller leased; returns how many."""
        ...

    def ready(self, tx: Transaction, queues: Iterable[QueueName]) -> dict[QueueName, int]:
        """Of these queues, those that are not paused and have waiting jobs that may start, counted up to 1,000."""
        ...

    def lease(
        self, tx: Transaction, queue: QueueName, limit: int, lease_s: float, controller: str, incarnation: str
    ) -> list[Lease]:
        """Up to `limit` waiting jobs in order, now active. Empty when paused; of a sequential queue also while any job
        of it is active, whoever leased that. One whose dedup key is active waits."""
        ...

    def extend(self, tx: Transaction, leases: Sequence[tuple[JobId, LeaseToken]], lease_s: float) -> set[JobId]:
        """Push out the expiry of leases that are still held; returns the ids that were."""
        ...

    def note_progress(self, tx: Transaction, progress: Sequence[InHand]) -> None:
        """Write down where jobs are that are still held, and how far; it goes with the lease."""
        ...

    def held(self, tx: Transaction, leases: Sequence[Lease]) -> set[JobId]:
        """Of these, the jobs that are still ours by token; their rows are locked until the transaction ends."""
        ...

    def settle(self, tx: Transaction, settlements: Sequence[Settlement]) -> None:
        """Move held jobs on, with attempts, history and statistics. Raises LeaseLost when one is not held."""
        ...

    def expired(self, tx: Transaction, queues: Iterable[QueueName], limit: int) -> list[Lease]:
        """Active jobs whose lease ran out, locked; the rescuer settles them."""
        ...

    def promote_due(self, tx: Transaction) -> int:
        """Delayed jobs whose time has come wait; returns how many."""
        ...

    def next_due(self, tx: Transaction) -> datetime | None:
        """When the earliest delayed job is due."""
        ...

    def prune(self, tx: Transaction, history_before: datetime, limit: int) -> int:
        """Delete old history, attempts of jobs that are gone, events and statistics; returns rows deleted."""
        ...

    # what an admin does
    def pause(
        self, tx: Transaction, queue: QueueName, reason: str = "", by: str = "", until: datetime | None = None
    ) -> None:
        """Lease nothing more of it, until resumed or until a time. `by`: who paused it, for people to read."""
        ...

    def resume(self, tx: Transaction, queue: QueueName) -> None: ...

    def empty(self, tx: Transaction, queue: QueueName) -> int:
        """Discard waiting jobs, not active, delayed or failed ones; returns how many."""
        ...

    def clear_failed(self, tx: Transaction, queue: QueueName, limit: int = 1000) -> int: ...

    def discard(self, tx: Transaction, queue: QueueName, job_ids: Sequence[JobId], state: JobState) -> int:
        """Drop these jobs, if they are in this state: failed, or active ones, whose calls are then given up. Returns
        how many."""
        ...

    def retry_failed(self, tx: Transaction, queue: QueueName, job_ids: Sequence[JobId] | None = None) -> int:
        """Revive failed jobs (all of the queue, or these); returns how many."""
        ...

    def counts(self, tx: Transaction) -> dict[QueueName, QueueCounts]:
        """Every queue, in Immich's order."""
        ...

    def jobs(self, tx: Transaction, queue: QueueName, states: Iterable[JobState], limit: int) -> list[JobRecord]:
        """Newest first, at most `limit` per state."""
        ...

    def say_why_waiting(self, tx: Transaction, reasons: dict[QueueName, str]) -> None:
        """Record why nothing of these queues can start (no node, no mount); an empty reason clears it."""
        ...
