"""The three queue stores that one suite runs over, each on a clock of its own."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from sqlalchemy import text

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queue_store import SqlQueueStore
from cluster.queue.memory_store import MemoryQueueStore
from cluster.queue.store import QueueStore
from tests.fake_clock import FakeClock

KINDS = ("memory", "sqlite", "postgresql")
QUEUE_TABLES = ("job", "job_attempt", "job_history", "job_statistic", "queue", "event")


@dataclass
class StoreBench:
    """A store with nothing in it, and its clock. `database` is None for the one in memory."""

    store: QueueStore
    clock: FakeClock
    database: Database | None


@contextlib.contextmanager
def migrated_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Database | None]:
    """A database of this kind with our tables; None for memory. Servers are started only when they are wanted."""
    if kind == "memory":
        yield None
        return
    if kind == "sqlite":
        with _opened(f"sqlite:///{folder / 'queue.db'}") as database:
            yield database
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"queue_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        with _opened(urlunsplit(urlsplit(server)._replace(path=f"/{name}"))) as database:
            yield database
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def fresh_bench(database: Database | None) -> StoreBench:
    """Everything that an earlier test left is deleted."""
    clock = FakeClock()
    if database is None:
        return StoreBench(MemoryQueueStore(clock), clock, None)
    with database.session() as session:
        for table in QUEUE_TABLES:
            session.execute(text(f"DELETE FROM {table}"))
    return StoreBench(SqlQueueStore(database, clock), clock, database)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        migrate(database.durable)
        yield database
    finally:
        database.close()
