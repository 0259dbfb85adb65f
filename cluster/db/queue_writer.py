"""Adding jobs to the tables, and merging those whose dedup key is there already.

On PostgreSQL a key's rows are locked first, the active one too: it may be going back at this moment, and would collide.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from cluster.db.queue_sql import QueueSql, row_of
from cluster.db.tables.base import to_json
from cluster.queue.row import JobRow, merged
from cluster.queue.states import JobState

_KNOWN_SQLITE = "SELECT {row} FROM job WHERE state <> 'active' AND dedup_key {in_keys}"
# One statement per partial index: PostgreSQL proves no index usable for the key alone.
_KNOWN_POSTGRES = """
WITH held AS (SELECT {row} FROM job WHERE state = 'active' AND dedup_key {in_keys} ORDER BY dedup_key {lock}),
     others AS (SELECT {row} FROM job WHERE state <> 'active' AND dedup_key {in_keys} ORDER BY dedup_key {lock})
SELECT * FROM held UNION ALL SELECT * FROM others
"""
_INSERT_SQLITE = """
INSERT INTO job (queue, name, payload, state, order_key, enqueued_at, run_at, dedup_key, asset_id,
                 attempts, deaths, alone, last_error)
VALUES (:queue, :name, :payload, :state, :order_key, :enqueued_at, :run_at, :dedup_key, :asset_id, 0, 0, false, '')
"""
_INSERT_POSTGRES = """
INSERT INTO job (queue, name, payload, state, order_key, enqueued_at, run_at, dedup_key, asset_id,
                 attempts, deaths, alone, last_error)
SELECT *, 0, 0, false, ''
FROM unnest(CAST(:queue AS text[]), CAST(:name AS text[]), CAST(:payload AS text[]), CAST(:state AS text[]),
            CAST(:order_key AS bigint[]), CAST(:enqueued_at AS bigint[]), CAST(:run_at AS bigint[]),
            CAST(:dedup_key AS text[]), CAST(:asset_id AS text[]))
ON CONFLICT (dedup_key) WHERE state <> 'active' DO NOTHING
RETURNING dedup_key
"""
_UPDATE = """
UPDATE job SET payload = :payload, state = :state, order_key = :order_key, enqueued_at = :enqueued_at,
    run_at = :run_at, attempts = :attempts, deaths = :deaths, alone = :alone, lease_token = :lease_token,
    lease_expires_at = :lease_expires_at, controller = :controller, incarnation = :incarnation,
    last_error = :last_error
WHERE id = :id
"""


class JobWriter:
    """Writes JobRows: new ones, merged ones, settled ones."""

    def __init__(self, sql: QueueSql) -> None:
        self._sql = sql
        self._known = sql.statement(_KNOWN_SQLITE if sql.is_sqlite else _KNOWN_POSTGRES)
        self._insert = sql.statement(_INSERT_SQLITE if sql.is_sqlite else _INSERT_POSTGRES)
        self._update = sql.statement(_UPDATE)

    def add(self, connection: Connection, rows: Sequence[JobRow]) -> int:
        """Insert rows or merge them with those of their key; returns how many were inserted."""
        new = 0
        while rows:
            known = self.of_keys(connection, [row.dedup_key for row in rows if row.dedup_key is not None])
            changed = []
            for row in rows:
                if (old := known.get(row.dedup_key)) is not None and (now := merged(old, row)) != old:
                    changed.append(now)
            self.update(connection, changed)
            fresh = [row for row in rows if row.dedup_key not in known]
            left = self._insert_all(connection, fresh)
            new += len(fresh) - len(left)
            rows = left  # another transaction inserted these keys since we looked: look again
        return new

    def of_keys(self, connection: Connection, keys: Sequence[str]) -> dict[str | None, JobRow]:
        """The rows of these keys that are not active, locked."""
        if not keys:
            return {}
        found = connection.execute(self._known, {"keys": self._sql.bound_list(sorted(keys))}).all()
        rows = (row_of(columns) for columns in found if columns[3] != JobState.ACTIVE)
        return {row.dedup_key: row for row in rows}

    def update(self, connection: Connection, rows: Sequence[JobRow]) -> None:
        """Write back everything of a row that can change."""
        if rows:
            connection.execute(self._update, [_changeable(row) for row in rows])

    def _insert_all(self, connection: Connection, rows: Sequence[JobRow]) -> list[JobRow]:
        """Insert; returns the rows whose key another transaction took, which SQLite's lock rules out."""
        if not rows:
            return []
        if self._sql.is_sqlite:
            connection.execute(self._insert, [_new(row) for row in rows])
            return []
        ordered = sorted(rows, key=lambda row: row.dedup_key or "")  # two transactions then wait in one direction
        records = [_new(row) for row in ordered]
        columns = {name: [record[name] for record in records] for name in records[0]}
        taken = set(connection.execute(self._insert, columns).scalars())
        return [row for row in ordered if row.dedup_key is not None and row.dedup_key not in taken]


def _new(row: JobRow) -> dict[str, Any]:
    return {
        "queue": row.queue,
        "name": row.name,
        "payload": to_json(row.payload),
        "state": row.state,
        "order_key": row.order_key,
        "enqueued_at": row.enqueued_at_ms,
        "run_at": row.run_at_ms,
        "dedup_key": row.dedup_key,
        "asset_id": row.asset_id,
    }


def _changeable(row: JobRow) -> dict[str, Any]:
    return {
        "id": row.job_id,
        "payload": to_json(row.payload),
        "state": row.state,
        "order_key": row.order_key,
        "enqueued_at": row.enqueued_at_ms,
        "run_at": row.run_at_ms,
        "attempts": row.attempts,
        "deaths": row.deaths,
        "alone": row.alone,
        "lease_token": row.lease_token,
        "lease_expires_at": row.lease_expires_at_ms,
        "controller": row.controller,
        "incarnation": row.incarnation,
        "last_error": row.last_error,
    }
