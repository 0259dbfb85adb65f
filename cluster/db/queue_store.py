"""QueueStore over SQLAlchemy, for SQLite and PostgreSQL: what requests, jobs and controllers do.

Statements are Core text with lists as parameters: one round trip for a batch, no ORM object on the way.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from cluster.clock import Clock
from cluster.db.engine import Database
from cluster.db.queue_admin import QueueAdmin
from cluster.db.queue_settle import Settling
from cluster.db.queue_sql import EVENT_LOCK, QueueSql, row_of
from cluster.db.queue_writer import JobWriter
from cluster.db.tables.base import from_ms, to_json
from cluster.names import SEQUENTIAL_QUEUES, JobName, QueueName
from cluster.queue.job import JobId, Lease, LeaseToken, NewEvent, NewJob
from cluster.queue.row import lease_of, new_rows
from cluster.queue.store import InHand, Release, Settlement

READY_MOST = 1_000
CONTROLLER_KEY = "controller:"
PROMOTED_AT_ONCE = 1_000
"""Keeps SQLite's write transaction short when a whole library becomes due in one moment."""

_EVENT = {"type": "text", "user_id": "text", "data": "text", "at": "bigint"}
_OWN = """
INSERT INTO queue (name, paused, paused_reason, paused_by, wait_reason, owner, owner_expires_at)
SELECT q.value, false, '', '', '', :controller, CAST(:expires_at AS bigint) FROM {queues} WHERE true
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, owner_expires_at = excluded.owner_expires_at
WHERE queue.owner IS NULL OR queue.owner = excluded.owner OR queue.owner_expires_at <= :now
RETURNING name
"""
_DISOWN = """
UPDATE queue SET owner = NULL, owner_expires_at = NULL WHERE owner = :controller AND name {in_queues}
"""
# A value among those that tasks remember: a row for each controller that ever was, written every few seconds.
_PRESENT = """
INSERT INTO system_metadata (key, value) VALUES (:key, {json_value})
ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""
_CONTROLLERS = "SELECT key, CAST(value AS text) FROM system_metadata WHERE key LIKE :keys"
_OWNED = "SELECT name FROM queue WHERE owner_expires_at > :now"
_LEASES_OF_PREDECESSOR = """
SELECT {row} FROM job WHERE state = 'active' AND controller = :controller AND incarnation <> :incarnation
ORDER BY {by_key} {lock}
"""
# Waiting jobs are counted in their index alone; those behind an active job are counted from the active side, since
# active rows are few. The order, which a count does not need, makes PostgreSQL stop at the limit. The difference is
# exact up to READY_MOST blocked ones, and never hides the last ready job.
_READY = """
WITH blocked AS MATERIALIZED (
    SELECT held.queue AS queue, count(*) AS jobs FROM job AS held
    WHERE held.state = 'active' AND 'waiting' = (
        SELECT successor.state FROM job AS successor
        WHERE successor.dedup_key = held.dedup_key AND successor.state <> 'active')
    GROUP BY held.queue)
SELECT q.value,
    (SELECT count(*) FROM (
        SELECT 1 FROM job WHERE job.queue = q.value AND job.state = 'waiting'
        ORDER BY job.order_key, job.id LIMIT :most) AS line),
    coalesce((SELECT blocked.jobs FROM blocked WHERE blocked.queue = q.value), 0)
FROM {queues} LEFT JOIN queue ON queue.name = q.value
WHERE (queue.paused AND coalesce(queue.paused_until > :now, true)) IS NOT TRUE
"""
# OR keeps the look at the active key a probe per row: as a join it may be planned over all waiting rows.
_LEASE = """
WITH picked AS MATERIALIZED (
    SELECT id FROM job AS line
    WHERE line.queue = :queue AND line.state = 'waiting'
        AND (line.dedup_key IS NULL OR NOT EXISTS (
            SELECT 1 FROM job AS held WHERE held.dedup_key = line.dedup_key AND held.state = 'active'))
        AND NOT EXISTS (
            SELECT 1 FROM queue
            WHERE queue.name = :queue AND queue.paused AND coalesce(queue.paused_until > :now, true))
        AND (NOT :sequential OR NOT EXISTS (
            SELECT 1 FROM job AS busy WHERE busy.queue = :queue AND busy.state = 'active'))
    ORDER BY line.order_key, line.id LIMIT :limit {skip_locked})
UPDATE job SET state = 'active', lease_token = :token, lease_expires_at = :expires_at, controller = :controller,
    incarnation = :incarnation, started_at = :now, node = NULL
WHERE id {in_picked}
RETURNING order_key, id, name, payload, attempts, deaths, alone, asset_id, enqueued_at
"""
_EXTEND = """
WITH held_rows AS MATERIALIZED (
    SELECT job.id AS id FROM {held_jobs}
    ORDER BY {by_key} {lock_job})
UPDATE job SET lease_expires_at = :expires_at WHERE id {in_held_rows} RETURNING id
"""
_NOTE_PROGRESS = """
UPDATE job SET progress = coalesce(:progress, progress), node = :node WHERE id = :id AND lease_token = :token
"""
_HELD = """
SELECT job.id FROM {held_jobs} ORDER BY {by_key} {lock_job}
"""
_EXPIRED = """
SELECT {row} FROM job WHERE state = 'active' AND queue {in_queues} AND lease_expires_at <= :now
ORDER BY lease_expires_at, id LIMIT :limit {skip_locked}
"""
_PROMOTE = """
UPDATE job SET state = 'waiting' WHERE id IN (
    SELECT id FROM job WHERE state = 'delayed' AND run_at <= :now ORDER BY run_at LIMIT :limit {skip_locked})
"""


def new_token() -> LeaseToken:
    """It becomes part of file names, so it is short: 64 random bits beside the job's id."""
    return LeaseToken(secrets.token_hex(8))


class SqlQueueStore(QueueAdmin):
    """See `QueueStore`. `clock`: for tests; without it time is the server's on PostgreSQL, the machine's on SQLite."""

    def __init__(
        self, database: Database, clock: Clock | None = None, token: Callable[[], LeaseToken] = new_token
    ) -> None:
        sql = QueueSql(is_sqlite=database.is_sqlite, clock=clock)
        super().__init__(sql)
        self._database, self._token = database, token
        self._writer = JobWriter(sql)
        self._settling = Settling(sql, self._writer)
        self._emit = sql.insertion("event", _EVENT)
        self._event_lock = text(f"SELECT pg_advisory_xact_lock({EVENT_LOCK})")
        self._own = sql.statement(_OWN)
        self._disown = sql.statement(_DISOWN)
        self._present = sql.statement(_PRESENT)
        self._controllers = sql.statement(_CONTROLLERS)
        self._owned = sql.statement(_OWNED)
        self._leases_of_predecessor = sql.statement(_LEASES_OF_PREDECESSOR)
        self._ready = sql.statement(_READY)
        self._lease = sql.statement(_LEASE)
        self._extend = sql.statement(_EXTEND)
        self._note_progress = sql.statement(_NOTE_PROGRESS)
        self._held = sql.statement(_HELD)
        self._expired = sql.statement(_EXPIRED)
        self._promote = sql.statement(_PROMOTE)
        self._next_due = sql.statement("SELECT min(run_at) FROM job WHERE state = 'delayed'")

    def transaction(self, *, durable: bool = False, reading: bool = False) -> AbstractContextManager[Session]:
        return self._database.reader() if reading else self._database.session(durable=durable)

    @contextmanager
    def savepoint(self, tx: Session) -> Iterator[None]:
        with tx.begin_nested():
            yield

    def enqueue(self, tx: Session, jobs: Sequence[NewJob]) -> int:
        if not jobs:
            return 0
        connection = tx.connection()
        new = self._writer.add(connection, new_rows(jobs, self._sql.now_ms(connection)))
        self._sql.wake(tx)
        return new

    def emit(self, tx: Session, events: Sequence[NewEvent]) -> None:
        if not events:
            return
        connection = tx.connection()
        if not self._sql.is_sqlite:
            connection.execute(self._event_lock)
        at = self._sql.now_ms(connection)
        rows = [{"type": e.type, "user_id": e.user_id, "data": to_json(e.data), "at": at} for e in events]
        self._emit(connection, rows)
        self._sql.wake(tx)

    def own(self, tx: Session, queues: Iterable[QueueName], controller: str, ttl_s: float) -> set[QueueName]:
        connection = tx.connection()
        now = self._sql.now_ms(connection)
        parameters = {
            "queues": self._sql.bound_list(sorted(queues)),
            "controller": controller,
            "now": now,
            "expires_at": now + round(ttl_s * 1000),
        }
        return {QueueName(name) for name in connection.execute(self._own, parameters).scalars()}

    def disown(self, tx: Session, queues: Iterable[QueueName], controller: str) -> None:
        parameters = {"queues": self._sql.bound_list(sorted(queues)), "controller": controller}
        tx.connection().execute(self._disown, parameters)

    def present(self, tx: Session, controller: str, ttl_s: float) -> list[str]:
        connection = tx.connection()
        now = self._sql.now_ms(connection)
        until = {"until": now + round(ttl_s * 1000)}
        connection.execute(self._present, {"key": f"{CONTROLLER_KEY}{controller}", "value": json.dumps(until)})
        found = connection.execute(self._controllers, {"keys": f"{CONTROLLER_KEY}%"})
        return sorted(key.removeprefix(CONTROLLER_KEY) for key, value in found if json.loads(value)["until"] > now)

    def owned(self, tx: Session) -> set[QueueName]:
        connection = tx.connection()
        names = connection.execute(self._owned, {"now": self._sql.now_ms(connection)}).scalars()
        return {QueueName(name) for name in names}

    def release_predecessor(self, tx: Session, controller: str, incarnation: str) -> int:
        parameters = {"controller": controller, "incarnation": incarnation}
        found = tx.connection().execute(self._leases_of_predecessor, parameters).all()
        self.settle(tx, [Release(lease_of(row_of(columns))) for columns in found])
        return len(found)

    def ready(self, tx: Session, queues: Iterable[QueueName]) -> dict[QueueName, int]:
        connection, most = tx.connection(), 2 * READY_MOST
        now_ms = self._sql.now_ms(connection)
        parameters = {"queues": self._sql.bound_list(queues), "most": most, "now": now_ms}
        result = {}
        for queue, waiting, blocked in connection.execute(self._ready, parameters):
            least = 1 if waiting == most else 0
            if (count := min(READY_MOST, max(least, waiting - blocked))) > 0:
                result[QueueName(queue)] = count
        return result

    def lease(
        self, tx: Session, queue: QueueName, limit: int, lease_s: float, controller: str, incarnation: str
    ) -> list[Lease]:
        connection = tx.connection()
        now_ms = self._sql.now_ms(connection)
        expires_at_ms = now_ms + round(lease_s * 1000)
        token, expires_at = self._token(), from_ms(expires_at_ms)
        parameters = {
            "queue": queue,
            "now": now_ms,
            "limit": limit,
            "token": token,
            "expires_at": expires_at_ms,
            "controller": controller,
            "incarnation": incarnation,
            "sequential": queue in SEQUENTIAL_QUEUES,
        }
        return [
            Lease(
                job_id=job_id,
                token=token,
                name=JobName(name),
                queue=queue,
                payload=json.loads(payload),
                attempt=attempts + 1,
                deaths=deaths,
                alone=bool(alone),
                asset_id=asset_id,
                enqueued_at=from_ms(enqueued_at),
                expires_at=expires_at,
            )
            for _, job_id, name, payload, attempts, deaths, alone, asset_id, enqueued_at in sorted(
                connection.execute(self._lease, parameters).all()
            )
        ]

    def extend(self, tx: Session, leases: Sequence[tuple[JobId, LeaseToken]], lease_s: float) -> set[JobId]:
        if not leases:
            return set()
        connection = tx.connection()
        expires_at = self._sql.now_ms(connection) + round(lease_s * 1000)
        parameters = {**self._sql.bound_pairs(leases), "expires_at": expires_at}
        return set(connection.execute(self._extend, parameters).scalars())

    def note_progress(self, tx: Session, progress: Sequence[InHand]) -> None:
        rows = [
            {"id": one.job_id, "token": one.token, "progress": one.progress, "node": one.node}
            for one in sorted(progress, key=lambda one: one.job_id)
        ]
        if rows:
            tx.connection().execute(self._note_progress, rows)

    def held(self, tx: Session, leases: Sequence[Lease]) -> set[JobId]:
        if not leases:
            return set()
        parameters = self._sql.bound_pairs((lease.job_id, lease.token) for lease in leases)
        return set(tx.connection().execute(self._held, parameters).scalars())

    def settle(self, tx: Session, settlements: Sequence[Settlement]) -> None:
        if settlements:
            connection = tx.connection()
            self._settling.settle(connection, settlements, self._sql.now_ms(connection))

    def expired(self, tx: Session, queues: Iterable[QueueName], limit: int) -> list[Lease]:
        connection = tx.connection()
        parameters = {
            "queues": self._sql.bound_list(queues),
            "now": self._sql.now_ms(connection),
            "limit": limit,
        }
        return [lease_of(row_of(columns)) for columns in connection.execute(self._expired, parameters)]

    def promote_due(self, tx: Session) -> int:
        """At most `PROMOTED_AT_ONCE` in one call."""
        connection = tx.connection()
        parameters = {"now": self._sql.now_ms(connection), "limit": PROMOTED_AT_ONCE}
        return connection.execute(self._promote, parameters).rowcount

    def next_due(self, tx: Session) -> datetime | None:
        due_at = tx.connection().execute(self._next_due).scalar()
        return None if due_at is None else from_ms(due_at)
