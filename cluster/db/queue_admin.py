"""What an admin and the pruner do to the queues: pause, resume, empty, clear, retry, count, list, prune."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from cluster.db.queue_sql import QueueSql, row_of
from cluster.db.tables.base import from_ms, to_ms
from cluster.names import QueueName
from cluster.queue.job import JobId, Priority
from cluster.queue.row import place_in_line, record_of
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord, QueueCounts

_SET_PAUSED = """
INSERT INTO queue (name, paused, paused_reason, paused_by, paused_until, wait_reason)
VALUES (:name, :paused, :reason, :by, :until, '')
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, paused_reason = excluded.paused_reason,
    paused_by = excluded.paused_by, paused_until = excluded.paused_until
"""
_SAY_WHY = """
INSERT INTO queue (name, paused, paused_reason, paused_by, wait_reason) VALUES (:name, false, '', '', :reason)
ON CONFLICT (name) DO UPDATE SET wait_reason = excluded.wait_reason
"""
_CLEAR_FAILED = """
DELETE FROM job WHERE id IN (SELECT id FROM job WHERE queue = :queue AND state = 'failed' ORDER BY id LIMIT :limit)
"""
_REVIVE = """
UPDATE job SET state = 'waiting', attempts = 0, deaths = 0, alone = false, enqueued_at = :now, run_at = :now,
    order_key = :order_key
WHERE state = 'failed' AND queue = :queue
"""
# One branch per partial index: each is counted in its index alone.
_COUNTS = " UNION ALL ".join(
    f"SELECT queue, '{state}', count(*) FROM job WHERE state = '{state}' GROUP BY queue"  # noqa: S608 our own enum
    for state in JobState
)
# A job that failed before waits for its next attempt, which is no reason of the queue's.
_WHY_PUT_OFF = """
SELECT last_error FROM job WHERE state = 'delayed' AND queue = :queue AND attempts = 0 AND last_error <> ''
ORDER BY run_at, queue LIMIT 1
"""
_QUEUES = "SELECT name, paused, paused_reason, paused_by, paused_until, wait_reason FROM queue"
_JOBS = """
SELECT {row} FROM job WHERE id IN (
    SELECT id FROM job WHERE queue = :queue AND state = '{state}' ORDER BY id DESC LIMIT :limit)
ORDER BY id DESC
"""
_PRUNE = (
    "DELETE FROM job_history WHERE id IN (SELECT id FROM job_history WHERE ended_at < :before LIMIT :limit)",
    """DELETE FROM job_attempt WHERE id IN (
        SELECT id FROM job_attempt WHERE at < :before
        AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = job_attempt.job_id) LIMIT :limit)""",
    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at < :before LIMIT :limit)",
)
# A minute has one row per job type, so whole minutes go.
_PRUNE_STATISTICS = "DELETE FROM job_statistic WHERE minute < :minute"


class QueueAdmin:
    """The administrative half of `SqlQueueStore`."""

    def __init__(self, sql: QueueSql) -> None:
        self._sql = sql
        self._set_paused = sql.statement(_SET_PAUSED)
        self._say_why = sql.statement(_SAY_WHY)
        self._empty = sql.statement("DELETE FROM job WHERE queue = :queue AND state = 'waiting'")
        self._clear_failed = sql.statement(_CLEAR_FAILED)
        self._discard = sql.statement("DELETE FROM job WHERE queue = :queue AND state = :state AND id {in_ids}")
        self._revive_all = sql.statement(_REVIVE)
        self._revive_some = sql.statement(_REVIVE + " AND id {in_ids}")
        self._counts = sql.statement(_COUNTS)
        self._why_put_off = sql.statement(_WHY_PUT_OFF)
        self._queues = sql.statement(_QUEUES)
        self._jobs = {state: sql.statement(_JOBS.replace("{state}", state)) for state in JobState}
        self._prune = [sql.statement(template) for template in _PRUNE]
        self._prune_statistics = sql.statement(_PRUNE_STATISTICS)
        self._analyze = sql.statement("ANALYZE job")

    def pause(
        self, tx: Session, queue: QueueName, reason: str = "", by: str = "", until: datetime | None = None
    ) -> None:
        ends_ms = None if until is None else to_ms(until)
        flags = {"paused": True, "reason": reason, "by": by, "until": ends_ms}
        tx.connection().execute(self._set_paused, {"name": queue, **flags})

    def resume(self, tx: Session, queue: QueueName) -> None:
        flags = {"paused": False, "reason": "", "by": "", "until": None}
        tx.connection().execute(self._set_paused, {"name": queue, **flags})
        self._sql.wake(tx)

    def empty(self, tx: Session, queue: QueueName) -> int:
        return tx.connection().execute(self._empty, {"queue": queue}).rowcount

    def clear_failed(self, tx: Session, queue: QueueName, limit: int = 1000) -> int:
        return tx.connection().execute(self._clear_failed, {"queue": queue, "limit": limit}).rowcount

    def discard(self, tx: Session, queue: QueueName, job_ids: Sequence[JobId], state: JobState) -> int:
        parameters = {"queue": queue, "state": state, "ids": self._sql.bound_list(job_ids)}
        return tx.connection().execute(self._discard, parameters).rowcount

    def retry_failed(self, tx: Session, queue: QueueName, job_ids: Sequence[JobId] | None = None) -> int:
        connection = tx.connection()
        now = self._sql.now_ms(connection)
        parameters = {"queue": queue, "now": now, "order_key": place_in_line(now, Priority.BACKLOG, 0)}
        if job_ids is None:
            revived = connection.execute(self._revive_all, parameters).rowcount
        else:
            ids = self._sql.bound_list(job_ids)
            revived = connection.execute(self._revive_some, {**parameters, "ids": ids}).rowcount
        self._sql.wake(tx)
        return revived

    def counts(self, tx: Session) -> dict[QueueName, QueueCounts]:
        connection = tx.connection()
        by_state: dict[str, dict[str, int]] = {}
        for queue, state, count in connection.execute(self._counts):
            by_state.setdefault(queue, {})[state] = count
        flags = {row.name: row for row in connection.execute(self._queues)}
        now = self._sql.now_ms(connection)
        result = {}
        for queue in QueueName:
            flag, counted = flags.get(queue), by_state.get(queue, {})
            reason = flag.wait_reason if flag else ""
            if not reason and counted.get(JobState.DELAYED):
                reason = connection.execute(self._why_put_off, {"queue": queue}).scalar() or ""
            paused = bool(flag and flag.paused and (flag.paused_until is None or flag.paused_until > now))
            result[queue] = QueueCounts(
                queue,
                paused=paused,
                paused_reason=flag.paused_reason if flag and paused else "",
                paused_by=flag.paused_by if flag and paused else "",
                paused_until=from_ms(flag.paused_until) if flag and paused and flag.paused_until else None,
                wait_reason=reason,
                **counted,
            )
        return result

    def jobs(self, tx: Session, queue: QueueName, states: Iterable[JobState], limit: int) -> list[JobRecord]:
        records = []
        for state in states:
            found = tx.connection().execute(self._jobs[state], {"queue": queue, "limit": limit})
            records += [record_of(row_of(columns)) for columns in found]
        return records

    def say_why_waiting(self, tx: Session, reasons: dict[QueueName, str]) -> None:
        if reasons:
            rows = [{"name": queue, "reason": reason} for queue, reason in sorted(reasons.items())]
            tx.connection().execute(self._say_why, rows)

    def prune(self, tx: Session, history_before: datetime, limit: int) -> int:
        """At most `limit` rows of each kind, and statistics by whole minutes."""
        connection = tx.connection()
        before = to_ms(history_before)
        deleted = sum(connection.execute(s, {"before": before, "limit": limit}).rowcount for s in self._prune)
        deleted += connection.execute(self._prune_statistics, {"minute": before // 60_000}).rowcount
        if not self._sql.is_sqlite:
            # The lease's plan stands on statistics, and a library's worth of jobs comes and goes within minutes.
            connection.execute(self._analyze)
        return deleted
