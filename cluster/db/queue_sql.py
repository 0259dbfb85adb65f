"""What SQLite and PostgreSQL say differently, in one place: list parameters, row locks, time and the wake-up call.

The queue's statements are templates. `{…}` names one of `SPELLINGS`, `:…` is a bound parameter; nothing else varies.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from psycopg.errors import DeadlockDetected, UniqueViolation
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cluster.clock import Clock
from cluster.db.tables.base import to_json, to_ms
from cluster.names import JobName
from cluster.queue.job import JobId, LeaseToken
from cluster.queue.row import JobRow
from cluster.queue.states import JobState

TRIES = 8
Result = TypeVar("Result")

CHANNEL = "heliostat"
"""PostgreSQL's NOTIFY channel: something was enqueued or emitted."""

EVENT_LOCK = 0x68656C6961
"""Advisory lock that orders event ids like commits. Any constant of our own."""

ROW = """id, name, payload, state, order_key, enqueued_at, run_at, dedup_key, asset_id, attempts, deaths, alone,
lease_token, lease_expires_at, controller, incarnation, last_error, progress"""

SPELLINGS: dict[str, tuple[str, str]] = {
    # template word: (SQLite, PostgreSQL)
    "in_ids": ("IN (SELECT value FROM json_each(:ids))", "= ANY(CAST(:ids AS bigint[]))"),
    "in_queues": ("IN (SELECT value FROM json_each(:queues))", "= ANY(CAST(:queues AS text[]))"),
    "keys": ("json_each(:keys) AS k", "unnest(CAST(:keys AS text[])) AS k(value)"),
    "queues": ("json_each(:queues) AS q", "unnest(CAST(:queues AS text[])) AS q(value)"),
    # An array makes PostgreSQL probe the key: as a join it may be planned as a loop over the whole table, since a table
    # that was analyzed when it was empty counts as one row, however many it has now.
    "held_jobs": (
        "(SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS token"
        " FROM json_each(:pairs)) AS held JOIN job ON job.id = held.id AND job.lease_token = held.token",
        "unnest(CAST(:ids AS bigint[]), CAST(:tokens AS text[])) AS held(id, token)"
        " JOIN job ON job.id = held.id AND job.lease_token = held.token AND job.id = ANY(CAST(:ids AS bigint[]))",
    ),
    "in_picked": ("IN (SELECT id FROM picked)", "= ANY(ARRAY(SELECT id FROM picked))"),
    "in_held_rows": ("IN (SELECT id FROM held_rows)", "= ANY(ARRAY(SELECT id FROM held_rows))"),
    # The order in which every transaction locks rows; Python sorts keys the same way.
    "by_key": ("job.id", 'job.dedup_key COLLATE "C", job.id'),
    "json_value": (":value", "CAST(:value AS json)"),
    "lock": ("", "FOR UPDATE"),
    "lock_job": ("", "FOR UPDATE OF job"),
    "skip_locked": ("", "FOR UPDATE SKIP LOCKED"),
    "row": (ROW, ROW),
}


class QueueSql:
    """Binds lists, builds statements and tells the time for one kind of database."""

    def __init__(self, *, is_sqlite: bool, clock: Clock | None) -> None:
        self.is_sqlite = is_sqlite
        self._words = {word: spelling[0 if is_sqlite else 1] for word, spelling in SPELLINGS.items()}
        self._time = _own_time(clock) if clock is not None or is_sqlite else _server_time()

    def statement(self, template: str) -> TextClause:
        return text(template.format_map(self._words))

    def bound_list(self, values: Iterable[Any]) -> Any:
        """The value of a parameter that holds a list."""
        return json.dumps(list(values)) if self.is_sqlite else list(values)

    def insertion(self, table: str, columns: Mapping[str, str], conflict: str = "") -> "Insertion":
        """An INSERT of many rows. `columns`: name → PostgreSQL's type; `conflict`: what follows the rows."""
        names = ", ".join(columns)
        if self.is_sqlite:
            values = ", ".join(f":{name}" for name in columns)
            return SqliteInsertion(f"INSERT INTO {table} ({names}) VALUES ({values}) {conflict}")  # noqa: S608 our names
        record = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        rows = f"json_to_recordset(CAST(:rows AS json)) AS new ({record})"
        return PostgresInsertion(text(f"INSERT INTO {table} ({names}) SELECT {names} FROM {rows} {conflict}"))  # noqa: S608

    def bound_pairs(self, leases: Iterable[tuple[JobId, LeaseToken]]) -> dict[str, Any]:
        """Parameters of `{held_jobs}`. Sorted, so that two transactions lock rows in one order."""
        pairs = sorted(leases)
        if self.is_sqlite:
            return {"pairs": json.dumps(pairs)}
        return {"ids": [job_id for job_id, _ in pairs], "tokens": [token for _, token in pairs]}

    def now_ms(self, connection: Connection) -> int:
        """The database's time."""
        return self._time(connection)

    def wake(self, tx: Session) -> None:
        """Tell listeners when this transaction commits; once is enough. SQLite's listeners poll."""
        if not self.is_sqlite and not tx.info.get("woken"):
            tx.info["woken"] = not tx.in_nested_transaction()  # a savepoint may yet be rolled back
            tx.connection().execute(_NOTIFY, {"channel": CHANNEL})


class Insertion(Protocol):
    """Inserts rows, given as column → value; returns how many were inserted."""

    def __call__(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> int: ...


@dataclass(frozen=True, slots=True)
class SqliteInsertion:
    """The driver takes dicts as they are: SQLAlchemy would turn each into a tuple first."""

    statement: str

    def __call__(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
        return connection.exec_driver_sql(self.statement, list(rows)).rowcount


@dataclass(frozen=True, slots=True)
class PostgresInsertion:
    """One JSON text for all rows: arrays per column, or a message per row, cost psycopg three times as much."""

    statement: TextClause

    def __call__(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
        return connection.execute(self.statement, {"rows": to_json(rows)}).rowcount


def until_undisturbed(connection: Connection, step: Callable[[], Result]) -> Result:
    """PostgreSQL: run `step` in a savepoint, and again when another transaction came between.

    That shows as KeyTaken, as a unique violation or as a deadlock. Undoing the step gives back its locks, so the other
    goes on. Raises the last error when it keeps happening, as when the lock that is missed was taken before the step.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            with connection.begin_nested():
                return step()
        except KeyTaken:
            if not tries_left:
                raise
        except DBAPIError as error:
            if not tries_left or not isinstance(error.orig, UniqueViolation | DeadlockDetected):
                raise
    raise AssertionError("the last try returns or raises")


class KeyTaken(Exception):
    """A dedup key that was free is not any more."""


_NOTIFY = text("SELECT pg_notify(:channel, '')")
_SERVER_TIME = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")
_MEASURE_EVERY_S = 60.0


def _own_time(clock: Clock | None) -> Callable[[Connection], int]:
    if clock is not None:
        return lambda connection: to_ms(clock.now())
    return lambda connection: time.time_ns() // 1_000_000


def _server_time() -> Callable[[Connection], int]:
    """The server's clock, carried on by this machine's steady one and read again each minute."""
    read_at_s, offset_ms = -_MEASURE_EVERY_S, 0.0

    def now_ms(connection: Connection) -> int:
        nonlocal read_at_s, offset_ms
        now_s = time.monotonic()
        if now_s - read_at_s >= _MEASURE_EVERY_S:
            server_ms: int = connection.execute(_SERVER_TIME).scalar_one()
            read_at_s, offset_ms = now_s, server_ms - time.monotonic() * 1000
        return int(time.monotonic() * 1000 + offset_ms)

    return now_ms


def row_of(columns: Sequence[Any]) -> JobRow:
    """The columns of `{row}` as a JobRow."""
    return JobRow(
        job_id=columns[0],
        name=JobName(columns[1]),
        payload=json.loads(columns[2]),
        state=JobState(columns[3]),
        order_key=columns[4],
        enqueued_at_ms=columns[5],
        run_at_ms=columns[6],
        dedup_key=columns[7],
        asset_id=columns[8],
        attempts=columns[9],
        deaths=columns[10],
        alone=bool(columns[11]),
        lease_token=columns[12],
        lease_expires_at_ms=columns[13],
        controller=columns[14],
        incarnation=columns[15],
        last_error=columns[16],
        progress=columns[17],
    )
