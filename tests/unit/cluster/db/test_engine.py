"""Which URLs are taken, what the engines promise, and what they refuse."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError, OperationalError, StatementError

from cluster.db import engine as engine_module
from cluster.db.engine import (
    Database,
    file_system_of,
    make_engine,
    normalise_url,
    refuse_network_file_system,
    refuse_old_postgres,
)
from cluster.db.tables.user import User
from cluster.errors import SettingsInvalid

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /srv/my\\040photos nfs4 rw 0 0
/dev/sdb1 /srv/my\\040photos/local xfs rw 0 0
me@host: /mnt/far fuse.sshfs rw 0 0
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgres_means_our_driver(scheme: str) -> None:
    url = normalise_url(f"{scheme}://u:p%40ss@host:5433/db?sslmode=require&uselibpqcompat=true")
    assert url.drivername == "postgresql+psycopg"
    assert (url.password, url.port, dict(url.query)) == ("p@ss", 5433, {"sslmode": "require"})


@pytest.mark.parametrize("url", ["", "mysql://host/db", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_other_urls_are_refused_by_name_and_without_their_password(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="DB_URL") as refused:
        make_engine(url, durable=True)
    assert refused.value.issues[0][0] == "DB_URL"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/x.db", "ext4"),
        ("/srv/my photos/x.db", "nfs4"),
        ("/srv/my photos/local/x.db", "xfs"),
        ("/srv/my photos else/x.db", "ext4"),
        ("/mnt/far/x.db", "fuse.sshfs"),
    ],
)
def test_the_deepest_mount_says_what_a_file_lies_on(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_sqlite_on_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/export {tmp_path} nfs rw 0 0\n")
    with pytest.raises(SettingsInvalid, match=r"network file system \(nfs\).*use PostgreSQL"):
        refuse_network_file_system(tmp_path / "x.db", mounts)
    refuse_network_file_system(Path("/elsewhere/x.db"), mounts)


def test_an_old_postgres_is_refused_with_both_versions() -> None:
    with pytest.raises(SettingsInvalid, match="found PostgreSQL 13, required is 14"):
        refuse_old_postgres(130_011)
    refuse_old_postgres(140_000)
    refuse_old_postgres(170_002)


def test_sqlite_keeps_its_promises(sqlite_database_url: str) -> None:
    database = Database(sqlite_database_url)
    for durable, synchronous in ((True, 2), (False, 1)):
        with database.session(durable=durable) as session:
            assert session.execute(text("PRAGMA synchronous")).scalar() == synchronous
            assert session.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1
            assert session.execute(text("PRAGMA busy_timeout")).scalar() == 10_000
    database.close()


def test_postgres_keeps_its_promises(postgres_database_url: str) -> None:
    database = Database(postgres_database_url.replace("postgresql://", "postgres://"))
    for durable, commit in ((True, "on"), (False, "off")):
        with database.session(durable=durable) as session:
            assert session.execute(text("SHOW synchronous_commit")).scalar() == commit
            assert session.execute(text("SHOW timezone")).scalar() == "UTC"
    database.close()


def test_a_session_commits_at_its_end_and_rolls_back_on_an_error(database: Database) -> None:
    with database.session() as session:
        session.execute(text("CREATE TABLE word (word TEXT)"))
    with contextlib.suppress(ZeroDivisionError), database.session() as session:
        session.execute(text("INSERT INTO word VALUES ('lost')"))
        raise ZeroDivisionError
    with database.session(durable=True) as session:
        session.execute(text("INSERT INTO word VALUES ('kept')"))
    with database.reader() as session:
        assert session.execute(text("SELECT word FROM word")).scalars().all() == ["kept"]


def test_a_reader_neither_waits_for_a_writer_nor_sees_its_rows(database: Database) -> None:
    with database.session() as session:
        session.execute(text("CREATE TABLE word (word TEXT)"))
    with database.session() as writer:
        writer.execute(text("INSERT INTO word VALUES ('unseen')"))
        with database.reader() as reader:
            assert reader.execute(text("SELECT count(*) FROM word")).scalar() == 0


def test_sqlite_writers_wait_for_each_other_from_the_start(sqlite_database_url: str) -> None:
    database = Database(sqlite_database_url)
    with database.session() as session:
        session.execute(text("CREATE TABLE counter (number INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))

    def count_up() -> None:
        for _ in range(50):
            with database.session() as session:
                number = session.execute(text("SELECT number FROM counter")).scalar_one()
                session.execute(text("UPDATE counter SET number = :number"), {"number": number + 1})

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reader() as session:
        assert session.execute(text("SELECT number FROM counter")).scalar() == 200
    database.close()


def test_an_unreachable_database_says_so(tmp_path: Path) -> None:
    engine = make_engine("postgresql://nobody:secret@127.0.0.1:1/none", durable=True)
    with pytest.raises(OperationalError) as failed:
        engine.connect()
    assert "secret" not in str(failed.value)


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    local = datetime(2026, 7, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    common = {"profile_changed_at": local, "created_at": local, "updated_at": local}
    with database.session() as session:
        session.add(User(id="1", email="a@b.c", **common))
    with database.reader() as session:
        stored = session.get_one(User, "1").created_at
    assert stored == local
    assert stored.tzinfo is UTC
    with pytest.raises(StatementError, match="a time without a zone"), database.session() as session:
        session.add(User(id="2", email="d@e.f", **{**common, "created_at": datetime(2026, 7, 1)}))


def test_whoever_freezes_while_writing_to_postgres_lets_go_of_its_locks(
    postgres_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SILENT_WRITER_MS", 300)
    frozen, other = Database(postgres_database_url), Database(postgres_database_url)
    lock = text("SELECT pg_advisory_xact_lock(7)")

    def freeze_while_writing() -> None:
        with frozen.session() as session:
            session.execute(lock)
            with other.session() as waiting:
                waiting.execute(lock)  # returns once the server has rolled the other back
            session.execute(lock)

    try:
        with pytest.raises(InternalError, match="idle-in-transaction"):
            freeze_while_writing()
        with frozen.session() as session:
            session.execute(lock)
        with frozen.reader() as session:
            assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "0"
    finally:
        frozen.close()
        other.close()
