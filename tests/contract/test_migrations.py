"""The schema goes forwards and backwards on both databases, and ends where the models are."""

import threading
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from cluster.db import tables
from cluster.db.engine import Database
from cluster.db.migrations import downgrade, migrate
from cluster.db.tables.base import Base

assert tables  # importing them completes the metadata
BOOKKEEPING = {"alembic_version"}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def table_names(database: Database) -> set[str]:
    with database.fast.connect() as connection:
        return set(inspect(connection).get_table_names()) - BOOKKEEPING


def indexes(database: Database) -> set[str]:
    """Each index as the database spells it, conditions included, which the comparison of metadata leaves out."""
    of_sqlite = (
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name <> 'alembic_version'"
    )
    of_postgres = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    with database.fast.connect() as connection:
        return set(connection.execute(text(of_sqlite if database.is_sqlite else of_postgres)).scalars())


def test_the_migrated_schema_is_the_models(database: Database) -> None:
    migrate(database.durable)
    with database.fast.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    migrated = indexes(database)
    downgrade(database.durable)
    Base.metadata.create_all(database.durable)
    assert migrated == indexes(database)
    assert any("WHERE" in index for index in migrated)


def test_migrations_go_forwards_backwards_and_forwards(database: Database) -> None:
    for _ in range(2):
        migrate(database.durable)
        assert table_names(database) == set(Base.metadata.tables)
        downgrade(database.durable)
        assert table_names(database) == set()


def test_migrating_twice_keeps_what_is_there(database: Database) -> None:
    migrate(database.durable)
    with database.session() as session:
        session.execute(text("INSERT INTO system_metadata (key, value) VALUES ('a', '{}')"))
    migrate(database.durable)
    with database.reader() as session:
        assert session.execute(text("SELECT count(*) FROM system_metadata")).scalar() == 1
        if database.is_sqlite:
            assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_two_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    failures: list[Exception] = []

    def start(database: Database) -> None:
        try:
            migrate(database.durable)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert table_names(databases[0]) == set(Base.metadata.tables)
    for database in databases:
        database.close()
