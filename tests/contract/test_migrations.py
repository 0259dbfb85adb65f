"""The schema goes forwards and backwards on both databases, and ends where the models are."""

import threading
from collections.abc import Iterator
from typing import Any

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
def database(empty_database_url: str) -> Iterator[Database]:
    opened = Database(empty_database_url)
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


def is_of_postgres(item: Any, name: str | None, kind: str, reflected: bool, other: object) -> bool:
    """An index of a kind that SQLite does not have. The comparison of metadata would miss it there."""
    return kind == "index" and item.dialect_options["postgresql"]["using"] == "gin"


def test_the_migrated_schema_is_the_models(database: Database) -> None:
    migrate(database.durable)
    with database.fast.connect() as connection:
        opts = {"compare_type": True, "include_object": lambda *of: not (database.is_sqlite and is_of_postgres(*of))}
        context = MigrationContext.configure(connection, opts=opts)
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


def test_assets_survive_the_way_to_the_jobs_page_and_back(database: Database) -> None:
    def assets() -> list[tuple[object, ...]]:
        columns = "a.id, a.checksum, a.original_path, a.live_photo_video_id, a.file_created_at, e.city"
        wanted = f"SELECT {columns} FROM asset AS a LEFT JOIN asset_exif AS e ON e.asset_id = a.id ORDER BY a.id"
        with database.reader() as session:
            return [tuple(row) for row in session.execute(text(wanted))]

    migrate(database.durable, "0002")
    with database.session() as session:
        for statement in (
            'INSERT INTO "user" (id, email, name, password, is_admin, avatar_color, profile_image_path, '
            "profile_changed_at, should_change_password, quota_usage_bytes, status, is_onboarded, preferences, "
            "created_at, updated_at) VALUES ('u', 'u', '', '', false, '', '', '2026-01-01 00:00:00.000000', false, 0, "
            "'active', false, '{}', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')",
            *(
                "INSERT INTO asset (id, owner_id, type, original_path, original_file_name, checksum, "
                "checksum_algorithm, file_created_at, file_modified_at, local_date_time, is_favorite, is_offline, "
                "is_external, is_edited, visibility, status, live_photo_video_id, created_at, updated_at) "
                f"VALUES ('{number}', 'u', 'IMAGE', '/ä/{number}', 'a', '{number}', 'sha1', "
                "'2026-01-01 12:34:56.789000', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000', false, "
                f"false, false, false, 'timeline', 'active', {partner}, '2026-01-01 00:00:00.000000', "
                "'2026-01-01 00:00:00.000000')"
                for number, partner in ((1, "NULL"), (2, "'1'"))
            ),
            "INSERT INTO asset_exif (asset_id, city, description, locked_properties, updated_at) "
            "VALUES ('2', 'Rome', '', '[]', '2026-01-01 00:00:00.000000')",
        ):
            session.execute(text(statement))
    before = assets()
    assert [row[3] for row in before] == [None, "1"]
    for step in (migrate, lambda engine: downgrade(engine, "0002"), migrate):
        step(database.durable)
        assert assets() == before


def test_two_processes_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    databases = [Database(empty_database_url) for _ in range(3)]
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
