"""QueueStore in dicts, for tests and for reading what a store does. One transaction at a time, undone by an error."""

import itertools
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from cluster.clock import Clock, SystemClock
from cluster.errors import LeaseLost
from cluster.names import SEQUENTIAL_QUEUES, JobName, QueueName
from cluster.queue.job import FailedAttempt, JobId, Lease, LeaseToken, NewEvent, NewJob, Priority
from cluster.queue.row import (
    JobRow,
    lease_of,
    merged,
    new_rows,
    place_in_line,
    record_of,
    revived,
    settled,
    time_of,
    with_successor,
)
from cluster.queue.states import JobEvent, JobState, after
from cluster.queue.statistics import Ended, Tally, history, tallies
from cluster.queue.store import Fail, InHand, JobRecord, QueueCounts, Release, Retry, Settlement, Transaction

READY_MOST = 1_000


@dataclass(frozen=True, slots=True)
class QueueFlags:
    """What is said of a queue, beside its jobs."""

    paused: bool = False
    paused_reason: str = ""
    paused_by: str = ""
    paused_until: datetime | None = None
    wait_reason: str = ""
    owner: str | None = None
    owner_expires_at_ms: int = 0


@dataclass(slots=True)
class Tables:
    """Everything that a transaction may change. Pairs are (ms since 1970, what happened then)."""

    rows: dict[JobId, JobRow] = field(default_factory=dict)
    queues: dict[QueueName, QueueFlags] = field(default_factory=dict)
    events: list[tuple[int, NewEvent]] = field(default_factory=list)
    attempts: list[tuple[int, JobId, FailedAttempt]] = field(default_factory=list)
    history: list[tuple[int, Ended]] = field(default_factory=list)
    statistics: dict[tuple[int, QueueName, JobName], Tally] = field(default_factory=dict)
    controllers: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "Tables":
        """Rows are values, so their dict is enough; tallies are counted up in place."""
        return Tables(
            dict(self.rows),
            dict(self.queues),
            list(self.events),
            list(self.attempts),
            list(self.history),
            deepcopy(self.statistics),
            dict(self.controllers),
        )


class MemoryQueueStore:
    """See `QueueStore`. `tables` is there for tests to read."""

    def __init__(self, clock: Clock | None = None, token: Callable[[], LeaseToken] | None = None) -> None:
        self.tables = Tables()
        self._clock = clock or SystemClock()
        self._token = token or (lambda: LeaseToken(secrets.token_hex(8)))
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self, *, durable: bool = False, reading: bool = False) -> Iterator[Transaction]:
        """`durable` and `reading` promise nothing here: memory is neither safe nor shared."""
        with self._lock, self.savepoint(self):
            yield self

    @contextmanager
    def savepoint(self, tx: Transaction) -> Iterator[None]:
        before = self.tables.copy()
        try:
            yield
        except BaseException:
            self.tables = before
            raise

    def enqueue(self, tx: Transaction, jobs: Sequence[NewJob]) -> int:
        new = 0
        for row in new_rows(jobs, self._now_ms()):
            known = self._with_key(row.dedup_key)
            if known is None:
                new += 1
                self._put(replace(row, job_id=JobId(next(self._ids))))
            else:
                self._put(merged(known, row))
        return new

    def emit(self, tx: Transaction, events: Sequence[NewEvent]) -> None:
        self.tables.events += [(self._now_ms(), event) for event in events]

    def own(self, tx: Transaction, queues: Iterable[QueueName], controller: str, ttl_s: float) -> set[QueueName]:
        now, owned = self._now_ms(), set()
        for queue in queues:
            flags = self._flags(queue)
            if flags.owner in {None, controller} or flags.owner_expires_at_ms <= now:
                self._set(queue, owner=controller, owner_expires_at_ms=now + round(ttl_s * 1000))
                owned.add(queue)
        return owned

    def disown(self, tx: Transaction, queues: Iterable[QueueName], controller: str) -> None:
        for queue in queues:
            if self._flags(queue).owner == controller:
                self._set(queue, owner=None, owner_expires_at_ms=0)

    def present(self, tx: Transaction, controller: str, ttl_s: float) -> list[str]:
        now_ms = self._now_ms()
        self.tables.controllers[controller] = now_ms + round(ttl_s * 1000)
        return sorted(name for name, until_ms in self.tables.controllers.items() if until_ms > now_ms)

    def owned(self, tx: Transaction) -> set[QueueName]:
        now_ms = self._now_ms()
        return {queue for queue, flags in self.tables.queues.items() if flags.owner_expires_at_ms > now_ms}

    def release_predecessor(self, tx: Transaction, controller: str, incarnation: str) -> int:
        leases = [
            lease_of(row)
            for row in self._in(JobState.ACTIVE)
            if row.controller == controller and row.incarnation != incarnation
        ]
        self.settle(tx, [Release(lease) for lease in leases])
        return len(leases)

    def ready(self, tx: Transaction, queues: Iterable[QueueName]) -> dict[QueueName, int]:
        counts = {queue: len(self._line(queue)) for queue in queues}
        return {queue: min(READY_MOST, count) for queue, count in counts.items() if count}

    def lease(
        self, tx: Transaction, queue: QueueName, limit: int, lease_s: float, controller: str, incarnation: str
    ) -> list[Lease]:
        token, expires_at_ms = self._token(), self._now_ms() + round(lease_s * 1000)
        leases: list[Lease] = []
        if queue in SEQUENTIAL_QUEUES and any(row.queue is queue for row in self._in(JobState.ACTIVE)):
            return leases
        for row in self._line(queue)[:limit]:
            after(row.state, JobEvent.LEASE)
            leased = replace(
                row,
                state=JobState.ACTIVE,
                lease_token=token,
                lease_expires_at_ms=expires_at_ms,
                controller=controller,
                incarnation=incarnation,
            )
            self._put(leased)
            leases.append(lease_of(leased))
        return leases

    def extend(self, tx: Transaction, leases: Sequence[tuple[JobId, LeaseToken]], lease_s: float) -> set[JobId]:
        expires_at_ms = self._now_ms() + round(lease_s * 1000)
        held = [row for job_id, token in leases if (row := self._held(job_id, token))]
        for row in held:
            self._put(replace(row, lease_expires_at_ms=expires_at_ms))
        return {row.job_id for row in held}

    def note_progress(self, tx: Transaction, progress: Sequence[InHand]) -> None:
        for one in progress:
            if (row := self._held(one.job_id, one.token)) and one.progress is not None:
                self._put(replace(row, progress=one.progress))

    def held(self, tx: Transaction, leases: Sequence[Lease]) -> set[JobId]:
        return {lease.job_id for lease in leases if self._held(lease.job_id, lease.token)}

    def settle(self, tx: Transaction, settlements: Sequence[Settlement]) -> None:
        now = self._now_ms()
        for settlement in settlements:
            lease = settlement.lease
            row = self._held(lease.job_id, lease.token)
            if row is None:
                raise LeaseLost(f"no longer held: {lease.job_id}")
            self._move(row, settlement, now)
            if isinstance(settlement, Retry | Fail):
                self.tables.attempts.append((now, lease.job_id, settlement.attempt))
        self.tables.history += [(now, line) for line in history(settlements, now)]
        for (queue, name), counted in tallies(settlements, now).items():
            total = self.tables.statistics.setdefault((now // 60_000, queue, name), Tally())
            for column in fields(Tally):
                setattr(total, column.name, getattr(total, column.name) + getattr(counted, column.name))

    def expired(self, tx: Transaction, queues: Iterable[QueueName], limit: int) -> list[Lease]:
        now, wanted = self._now_ms(), set(queues)
        found = [r for r in self._in(JobState.ACTIVE) if r.queue in wanted and (r.lease_expires_at_ms or 0) <= now]
        found.sort(key=lambda row: (row.lease_expires_at_ms, row.job_id))
        return [lease_of(row) for row in found[:limit]]

    def promote_due(self, tx: Transaction) -> int:
        due = [row for row in self._in(JobState.DELAYED) if row.run_at_ms <= self._now_ms()]
        for row in due:
            after(row.state, JobEvent.DUE)
            self._put(replace(row, state=JobState.WAITING))
        return len(due)

    def next_due(self, tx: Transaction) -> datetime | None:
        delayed = self._in(JobState.DELAYED)
        return time_of(min(row.run_at_ms for row in delayed)) if delayed else None

    def prune(self, tx: Transaction, history_before: datetime, limit: int) -> int:
        before, tables = int(history_before.timestamp() * 1000), self.tables
        lines = [entry for entry in tables.history if entry[0] < before][:limit]
        attempts = [entry for entry in tables.attempts if entry[0] < before and entry[1] not in tables.rows][:limit]
        events = [entry for entry in tables.events if entry[0] < before][:limit]
        minutes = [key for key in tables.statistics if key[0] < before // 60_000]
        tables.history = [entry for entry in tables.history if entry not in lines]
        tables.attempts = [entry for entry in tables.attempts if entry not in attempts]
        tables.events = [entry for entry in tables.events if entry not in events]
        for key in minutes:
            del tables.statistics[key]
        return len(lines) + len(attempts) + len(events) + len(minutes)

    def pause(
        self, tx: Transaction, queue: QueueName, reason: str = "", by: str = "", until: datetime | None = None
    ) -> None:
        self._set(queue, paused=True, paused_reason=reason, paused_by=by, paused_until=until)

    def resume(self, tx: Transaction, queue: QueueName) -> None:
        self._set(queue, paused=False, paused_reason="", paused_by="", paused_until=None)

    def empty(self, tx: Transaction, queue: QueueName) -> int:
        return self._discard([row for row in self._in(JobState.WAITING) if row.queue is queue])

    def clear_failed(self, tx: Transaction, queue: QueueName, limit: int = 1000) -> int:
        return self._discard([row for row in self._in(JobState.FAILED) if row.queue is queue][:limit])

    def discard(self, tx: Transaction, queue: QueueName, job_ids: Sequence[JobId], state: JobState) -> int:
        return self._discard([row for row in self._in(state) if row.queue is queue and row.job_id in job_ids])

    def retry_failed(self, tx: Transaction, queue: QueueName, job_ids: Sequence[JobId] | None = None) -> int:
        now = self._now_ms()
        wanted = [
            row
            for row in self._in(JobState.FAILED)
            if row.queue is queue and (job_ids is None or row.job_id in job_ids)
        ]
        for row in wanted:
            self._put(revived(row, now, place_in_line(now, Priority.BACKLOG, 0)))
        return len(wanted)

    def counts(self, tx: Transaction) -> dict[QueueName, QueueCounts]:
        result = {}
        for queue in QueueName:
            flags = self._flags(queue)
            by_state = {str(state): sum(row.queue is queue for row in self._in(state)) for state in JobState}
            wait_reason = flags.wait_reason or self._why_put_off(queue)
            reasons = {"paused_reason": flags.paused_reason, "paused_by": flags.paused_by, "wait_reason": wait_reason}
            until = flags.paused_until
            result[queue] = QueueCounts(queue, flags.paused, **by_state, **reasons, paused_until=until)  # type: ignore[arg-type]
        return result

    def jobs(self, tx: Transaction, queue: QueueName, states: Iterable[JobState], limit: int) -> list[JobRecord]:
        records = []
        for state in states:
            newest_first = sorted((r for r in self._in(state) if r.queue is queue), key=lambda row: -row.job_id)
            records += [record_of(row) for row in newest_first[:limit]]
        return records

    def say_why_waiting(self, tx: Transaction, reasons: dict[QueueName, str]) -> None:
        for queue, reason in reasons.items():
            self._set(queue, wait_reason=reason)

    def _why_put_off(self, queue: QueueName) -> str:
        delayed = (r for r in self._in(JobState.DELAYED) if r.queue is queue and r.attempts == 0 and r.last_error)
        return next((row.last_error for row in sorted(delayed, key=lambda row: row.run_at_ms)), "")

    def _move(self, row: JobRow, settlement: Settlement, now_ms: int) -> None:
        """Carry out one settlement; a successor is taken in by a job that goes back."""
        successor = self._with_key(row.dedup_key)
        moved = settled(row, settlement, now_ms)
        if moved is None:
            del self.tables.rows[row.job_id]
        elif successor is None:
            self._put(moved)
        else:
            del self.tables.rows[successor.job_id]
            self._put(with_successor(moved, settlement, successor))

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)

    def _put(self, row: JobRow) -> None:
        self.tables.rows[row.job_id] = row

    def _discard(self, rows: Sequence[JobRow]) -> int:
        for row in rows:
            after(row.state, JobEvent.DISCARD)
            del self.tables.rows[row.job_id]
        return len(rows)

    def _in(self, state: JobState) -> list[JobRow]:
        return [row for row in self.tables.rows.values() if row.state is state]

    def _with_key(self, dedup_key: str | None) -> JobRow | None:
        """The one row of this key that is not active."""
        others = (r for r in self.tables.rows.values() if r.dedup_key == dedup_key and r.state is not JobState.ACTIVE)
        return None if dedup_key is None else next(others, None)

    def _held(self, job_id: JobId, token: LeaseToken) -> JobRow | None:
        row = self.tables.rows.get(job_id)
        return row if row is not None and row.lease_token == token else None

    def _line(self, queue: QueueName) -> list[JobRow]:
        """Jobs that may start, in order: none while paused, none whose key is active."""
        if self._flags(queue).paused:
            return []
        active = {row.dedup_key for row in self._in(JobState.ACTIVE)} - {None}
        line = [r for r in self._in(JobState.WAITING) if r.queue is queue and r.dedup_key not in active]
        return sorted(line, key=lambda row: (row.order_key, row.job_id))

    def _flags(self, queue: QueueName) -> QueueFlags:
        flags = self.tables.queues.get(queue, QueueFlags())
        over = flags.paused_until is not None and flags.paused_until <= self._clock.now()
        return replace(flags, paused=False, paused_reason="", paused_by="", paused_until=None) if over else flags

    def _set(self, queue: QueueName, **changes: object) -> None:
        self.tables.queues[queue] = replace(self._flags(queue), **changes)  # type: ignore[arg-type]
