"""Adding jobs to the tables, merging those whose dedup key is there already, and writing changed rows back.

On PostgreSQL every transaction first locks the rows of its keys, in the order of the keys, and then takes keys that are
free, in the same order. So transactions with common keys wait for each other in one direction, and not in a circle.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from cluster.db.queue_sql import KeyTaken, QueueSql, row_of, until_undisturbed
from cluster.db.tables.base import to_json
from cluster.queue.row import JobRow, merged

# A probe per key: as one condition it may be planned as a walk over the whole table.
_OF_KEYS = """
SELECT {row} FROM job WHERE state <> 'active' AND id IN (
    SELECT (SELECT job.id FROM job WHERE job.dedup_key = k.value AND job.state <> 'active') FROM {keys})
ORDER BY {by_key} {lock}
"""
_COLUMNS = {
    "queue": "text",
    "name": "text",
    "payload": "text",
    "state": "text",
    "order_key": "bigint",
    "enqueued_at": "bigint",
    "run_at": "bigint",
    "dedup_key": "text",
    "asset_id": "text",
    "attempts": "int",
    "deaths": "int",
    "alone": "bool",
    "last_error": "text",
}
_KEY_TAKEN = "ON CONFLICT (dedup_key) WHERE state <> 'active' DO NOTHING"
_UPDATE = """
UPDATE job SET payload = :payload, state = :state, order_key = :order_key, enqueued_at = :enqueued_at,
    run_at = :run_at, attempts = :attempts, deaths = :deaths, alone = :alone, lease_token = :lease_token,
    lease_expires_at = :lease_expires_at, controller = :controller, incarnation = :incarnation,
    last_error = :last_error, progress = NULL
WHERE id = :id
"""


class JobWriter:
    """Writes JobRows: new ones, merged ones, settled ones."""

    def __init__(self, sql: QueueSql) -> None:
        self._sql = sql
        self._of_keys = sql.statement(_OF_KEYS)
        self._insert = sql.insertion("job", _COLUMNS, _KEY_TAKEN)
        self._update = sql.statement(_UPDATE)

    def add(self, connection: Connection, rows: Sequence[JobRow]) -> int:
        """Insert rows or merge them with those of their key; returns how many were inserted."""
        if self._sql.is_sqlite:
            return self._add_alone(connection, rows)
        try:
            return until_undisturbed(connection, lambda: self._add_at_once(connection, rows))
        except KeyTaken:
            return self._add_bit_by_bit(connection, rows)

    def _add_alone(self, connection: Connection, rows: Sequence[JobRow]) -> int:
        """Nobody else writes: a merge is rare, so the insert comes first and says whether there is one."""
        inserted = self._insert_all(connection, rows)
        if inserted < len(rows):
            # Those just inserted are found too, and merge with themselves: nothing changes.
            self._merge(connection, rows)
        return inserted

    def _add_at_once(self, connection: Connection, rows: Sequence[JobRow]) -> int:
        """Raises KeyTaken when a key that was free is taken a moment later."""
        free = self._merge(connection, rows)
        inserted = self._insert_all(connection, free)
        if inserted < len(free):
            raise KeyTaken
        return inserted

    def _add_bit_by_bit(self, connection: Connection, rows: Sequence[JobRow]) -> int:
        """For keys that others take again and again: keep what could be added, and the risk of a deadlock with it."""
        new = 0
        while rows:
            free = self._merge(connection, rows)
            inserted = self._insert_all(connection, free)
            new += inserted
            rows = [row for row in free if row.dedup_key is not None] if inserted < len(free) else []
        return new

    def _merge(self, connection: Connection, rows: Sequence[JobRow]) -> list[JobRow]:
        """Merge rows with those of their key; returns the rows whose key is free."""
        known = self.of_keys(connection, [row.dedup_key for row in rows if row.dedup_key is not None])
        pairs = [(known[row.dedup_key], row) for row in rows if row.dedup_key in known]
        self.update(connection, [now for old, row in pairs if (now := merged(old, row)) != old])
        return [row for row in rows if row.dedup_key not in known]

    def of_keys(self, connection: Connection, keys: Sequence[str]) -> dict[str | None, JobRow]:
        """The rows of these keys that are not active, locked."""
        if not keys:
            return {}
        found = connection.execute(self._of_keys, {"keys": self._sql.bound_list(keys)})
        return {row.dedup_key: row for row in map(row_of, found)}

    def update(self, connection: Connection, rows: Sequence[JobRow]) -> None:
        """Write back everything of a row that can change."""
        if rows:
            connection.execute(self._update, [_changeable(row) for row in sorted(rows, key=_by_key)])

    def _insert_all(self, connection: Connection, rows: Sequence[JobRow]) -> int:
        """Insert those whose key is free; returns how many."""
        if not rows:
            return 0
        ordered = rows if self._sql.is_sqlite else sorted(rows, key=_by_key)
        return self._insert(connection, [_new(row) for row in ordered])


def _by_key(row: JobRow) -> str:
    return row.dedup_key or ""


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
        "attempts": row.attempts,
        "deaths": row.deaths,
        "alone": row.alone,
        "last_error": row.last_error,
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
