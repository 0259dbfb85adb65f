"""Moving held jobs on: rows, failed attempts, history and statistics, in the caller's transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from cluster.db.queue_sql import QueueSql, row_of, until_undisturbed
from cluster.db.queue_writer import JobWriter
from cluster.errors import LeaseLost
from cluster.queue.row import JobRow, settled, with_successor
from cluster.queue.statistics import history, tallies
from cluster.queue.store import Fail, Finish, Retry, Settlement

_FINISH = """
WITH held_rows AS MATERIALIZED (
    SELECT job.id AS id FROM {held_jobs}
    ORDER BY {by_key} {lock_job})
DELETE FROM job WHERE id {in_held_rows} RETURNING id
"""
# All rows of a call in one order, so that two transactions do not wait for each other in a circle.
_LOCK = """
SELECT job.id FROM {held_jobs} ORDER BY {by_key} {lock_job}
"""
_HELD_ROWS = "SELECT {row} FROM job WHERE state = 'active' AND id {in_ids} ORDER BY {by_key} {lock}"
_DELETE = "DELETE FROM job WHERE id {in_ids}"
_ATTEMPT = {
    "job_id": "bigint",
    "name": "text",
    "queue": "text",
    "asset_id": "text",
    "attempt": "int",
    "error_class": "text",
    "message": "text",
    "traceback_tail": "text",
    "stderr_tail": "text",
    "node": "text",
    "duration_ms": "bigint",
    "peak_memory_mb": "int",
    "at": "bigint",
}
_HISTORY = {
    "job_id": "bigint",
    "name": "text",
    "queue": "text",
    "asset_id": "text",
    "outcome": "text",
    "reason": "text",
    "node": "text",
    "duration_ms": "bigint",
    "wait_ms": "bigint",
    "ended_at": "bigint",
}
_COUNTED = ("done", "skipped", "failed", "retried", "run_ms", "wait_ms")
_STATISTIC = {"minute": "bigint", "queue": "text", "name": "text", **dict.fromkeys(_COUNTED, "bigint")}
_ADD_UP = "ON CONFLICT (minute, queue, name) DO UPDATE SET " + ", ".join(
    f"{column} = job_statistic.{column} + excluded.{column}" for column in _COUNTED
)


class Settling:
    """The settling half of `SqlQueueStore`."""

    def __init__(self, sql: QueueSql, writer: JobWriter) -> None:
        self._sql, self._writer = sql, writer
        self._finish = sql.statement(_FINISH)
        self._lock = sql.statement(_LOCK)
        self._held_rows = sql.statement(_HELD_ROWS)
        self._delete = sql.statement(_DELETE)
        self._attempt = sql.insertion("job_attempt", _ATTEMPT)
        self._history = sql.insertion("job_history", _HISTORY)
        self._statistic = sql.insertion("job_statistic", _STATISTIC, _ADD_UP)

    def settle(self, connection: Connection, settlements: Sequence[Settlement], now_ms: int) -> None:
        """Raises LeaseLost when a job is not held; the transaction must then be rolled back."""
        finished = [settlement for settlement in settlements if isinstance(settlement, Finish)]
        others = [settlement for settlement in settlements if not isinstance(settlement, Finish)]
        if finished and others and not self._sql.is_sqlite:
            pairs = [(settlement.lease.job_id, settlement.lease.token) for settlement in settlements]
            connection.execute(self._lock, self._sql.bound_pairs(pairs))
        if finished:
            self._remove(connection, finished)
        if others:
            self._move(connection, others, now_ms)
            self._remember_attempts(connection, others, now_ms)
        self._remember(connection, settlements, now_ms)

    def _remove(self, connection: Connection, finished: Sequence[Settlement]) -> None:
        pairs = [(settlement.lease.job_id, settlement.lease.token) for settlement in finished]
        gone = set(connection.execute(self._finish, self._sql.bound_pairs(pairs)).scalars())
        if len(gone) != len(pairs):
            raise _lost([job_id for job_id, _ in pairs if job_id not in gone])

    def _move(self, connection: Connection, settlements: Sequence[Settlement], now_ms: int) -> None:
        """Everything but Finish: the job goes back, or stays as failed."""
        ids = [settlement.lease.job_id for settlement in settlements]
        found = connection.execute(self._held_rows, {"ids": self._sql.bound_list(ids)}).all()
        rows = {row.job_id: row for row in map(row_of, found)}
        # `pop`: the same job twice in one call is not held the second time.
        pairs = [(settlement, rows.pop(settlement.lease.job_id, None)) for settlement in settlements]
        lost = [s.lease.job_id for s, row in pairs if row is None or row.lease_token != s.lease.token]
        if lost:
            raise _lost(lost)
        after = [(s, moved) for s, row in pairs if row and (moved := settled(row, s, now_ms))]
        if self._sql.is_sqlite:
            self._put_back(connection, after)
        else:
            until_undisturbed(connection, lambda: self._put_back(connection, after))

    def _put_back(self, connection: Connection, after: Sequence[tuple[Settlement, JobRow]]) -> None:
        """Write settled rows, each with its successor taken in."""
        successors = self._writer.of_keys(connection, [row.dedup_key for _, row in after if row.dedup_key is not None])
        if successors:
            taken_in = [successor.job_id for successor in successors.values()]
            connection.execute(self._delete, {"ids": self._sql.bound_list(taken_in)})
        self._writer.update(
            connection,
            [
                with_successor(row, settlement, successors[row.dedup_key]) if row.dedup_key in successors else row
                for settlement, row in after
            ],
        )

    def _remember_attempts(self, connection: Connection, settlements: Sequence[Settlement], now_ms: int) -> None:
        attempts = [_attempt(s, now_ms) for s in settlements if isinstance(s, Retry | Fail)]
        if attempts:
            self._attempt(connection, attempts)

    def _remember(self, connection: Connection, settlements: Sequence[Settlement], now_ms: int) -> None:
        counted = tallies(settlements, now_ms)
        minute = now_ms // 60_000
        statistics = [
            {"minute": minute, "queue": queue, "name": name} | {column: getattr(tally, column) for column in _COUNTED}
            for (queue, name), tally in sorted(counted.items())
        ]
        if statistics:
            self._statistic(connection, statistics)
        ended = [
            {
                "job_id": line.lease.job_id,
                "name": line.lease.name,
                "queue": line.lease.queue,
                "asset_id": line.lease.asset_id,
                "outcome": line.outcome,
                "reason": line.reason,
                "node": line.node,
                "duration_ms": line.duration_ms,
                "wait_ms": line.wait_ms,
                "ended_at": now_ms,
            }
            for line in history(settlements, now_ms)
        ]
        if ended:
            self._history(connection, ended)


def _attempt(settlement: Retry | Fail, now_ms: int) -> dict[str, Any]:
    lease, attempt = settlement.lease, settlement.attempt
    return {
        "job_id": lease.job_id,
        "name": lease.name,
        "queue": lease.queue,
        "asset_id": lease.asset_id,
        "attempt": lease.attempt,
        "error_class": attempt.error_class,
        "message": attempt.message,
        "traceback_tail": attempt.traceback_tail,
        "stderr_tail": attempt.stderr_tail,
        "node": attempt.node,
        "duration_ms": attempt.duration_ms,
        "peak_memory_mb": attempt.peak_memory_mb,
        "at": now_ms,
    }


def _lost(job_ids: Sequence[int]) -> LeaseLost:
    return LeaseLost(f"no longer held: {', '.join(map(str, job_ids))}")
