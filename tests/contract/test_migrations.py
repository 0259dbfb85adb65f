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
from cluster.db.tables.sync_triggers import remove_triggers

assert tables  # importing them completes the metadata
BOOKKEEPING = {"alembic_version"}
ADD_USER = (
    'INSERT INTO "user" (id, email, name, password, is_admin, avatar_color, profile_image_path, profile_changed_at, '
    "should_change_password, quota_usage_bytes, status, is_onboarded, preferences, created_at, updated_at) "
    "VALUES ('u', 'u', '', '', false, '', '', '2026-01-01 00:00:00.000000', false, 0, 'active', false, '{}', "
    "'2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')"
)
OF_USER = {"user": "", "account": "u", "preferences": "u", "onboarding": "u"}
"""What clients are told of a user's row, and whom it concerns."""


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
        assert session.execute(text("SELECT count(*) FROM system_metadata WHERE key = 'a'")).scalar() == 1
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
            ADD_USER,
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


def changes(database: Database) -> set[tuple[object, ...]]:
    with database.reader() as session:
        found = session.execute(text("SELECT entity, key, scope, deleted_at IS NULL FROM sync_change"))
        return {tuple(row) for row in found}


def test_rows_that_came_before_the_sync_are_told_and_so_are_those_that_come_after(database: Database) -> None:
    migrate(database.durable, "0005")
    library = (
        "INSERT INTO library (id, owner_id, name, import_paths, exclusion_patterns, created_at, updated_at) "
        "VALUES ('l', 'u', '', '[]', '[]', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')"
    )
    add_album = (
        'INSERT INTO album (id, owner_id, name, description, "order", is_activity_enabled, created_at, updated_at) '
        "VALUES ('{}', 'u', '', '', 'desc', true, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')"
    )
    with database.session() as session:
        for statement in (ADD_USER, library, add_album.format("old")):
            session.execute(text(statement))
    migrate(database.durable)
    of_user = {(entity, "u", scope, True) for entity, scope in OF_USER.items()}
    of_album = {("album", "{}", "{}", True), ("album_access", "{}/u", "u", True), ("album_user", "{}/u", "{}", True)}

    def lines(album: str) -> set[tuple[object, ...]]:
        return {(entity, key.format(album), scope.format(album), there) for entity, key, scope, there in of_album}

    assert changes(database) == of_user | lines("old")
    with database.session() as session:
        session.execute(text(add_album.format("new")))
        session.execute(text("DELETE FROM album WHERE id = 'old'"))
    gone = ("album_access", "old/u", "u", False)
    assert changes(database) == of_user | lines("new") | {gone}
    migrate(database.durable)
    assert changes(database) == of_user | lines("new") | {gone}


def test_triggers_of_another_version_are_replaced(database: Database) -> None:
    migrate(database.durable)
    with database.durable.begin() as connection:
        remove_triggers(connection)
        connection.execute(text("UPDATE system_metadata SET value = '{}' WHERE key = 'sync-triggers'"))
    migrate(database.durable)
    with database.session() as session:
        session.execute(text(ADD_USER))
    assert {line[0] for line in changes(database)} == set(OF_USER)


def test_a_dump_of_another_server_makes_clients_begin_anew(database: Database) -> None:
    """Its transactions have numbers that are still to come here."""
    migrate(database.durable)
    with database.session() as session:
        session.execute(text(ADD_USER))
        session.execute(
            text(
                "INSERT INTO session (id, token_sha256, user_id, device_type, device_os, is_pending_sync_reset, "
                "created_at, updated_at) VALUES ('s', '', 'u', '', '', false, '2026-01-01 00:00:00.000000', "
                "'2026-01-01 00:00:00.000000')"
            )
        )
        session.execute(text("UPDATE sync_change SET tx = 1000000000000"))
    migrate(database.durable)
    with database.reader() as session:
        pending = session.execute(text("SELECT is_pending_sync_reset FROM session")).scalar_one()
        ahead = session.execute(text("SELECT count(*) FROM sync_change WHERE tx > 0")).scalar_one()
    assert (bool(pending), ahead) == ((False, 4) if database.is_sqlite else (True, 0))


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
