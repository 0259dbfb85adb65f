"""Backups on both databases: consistent while others write, whole or not there, and they come back."""

import gzip
import os
import re
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from cluster.db import postgres_copies, sqlite_copies
from cluster.db.engine import Database
from cluster.db.migrations import UnknownSchema
from cluster.db.postgres_copies import connection_words, database_name
from cluster.db.tables.asset import Asset
from cluster.db.tables.job import Job
from cluster.db.tables.notification import Notification
from cluster.db.tables.user import Session as SignedIn
from cluster.errors import BadRequest, HeliostatError, ProgramMissing
from cluster.names import JobName
from cluster.queue.states import JobState
from cluster.stack import Stack, StackRunning
from cluster.storage.layout import Folder
from serve_app.services.restore_backup import restore_backup
from tasks.backup import postgres_dump
from tasks.backup.archive import ArchiveBroken
from tasks.backup.names import WRITING
from tasks.jobs import back_up_database as job
from tasks.jobs.back_up_database import back_up_database
from tasks.tools import Tools
from tests.inline_server import InlineServer, inline_server
from tests.programs import program

ASSETS = 40


@pytest.fixture
def media(tmp_path: Path) -> Path:
    program("pg_dump"), program("gzip")
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


@pytest.fixture
def server(database_url: str, media: Path) -> Iterator[InlineServer]:
    with inline_server(database_url, media) as running:
        for number in range(ASSETS):
            running.add_asset(f"ä{number}.jpg", str(number).encode())
        yield running


def back_up(server: InlineServer) -> Path:
    """One backup; returns its file."""
    before = set(server.backups())
    server.enqueue(back_up_database())
    server.drain()
    assert server.jobs() == []
    (made,) = set(server.backups()) - before
    return made


def restore(server: InlineServer, backup: Path, tmp_path: Path) -> str:
    """With the server's connections closed, as when it is stopped."""
    server.database.close()
    said: list[str] = []
    kept = restore_backup(server.services.settings, environment(tmp_path), backup, server.clock.now(), said.append)
    assert said
    return kept


def environment(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}


def names(database: Database) -> list[str]:
    with database.reader() as session:
        return sorted(session.scalars(select(Asset.original_file_name)))


def test_a_backup_restores_to_what_was_there_then(server: InlineServer, tmp_path: Path) -> None:
    then = names(server.database)
    with server.database.session() as session:
        times = {"created_at": server.clock.now(), "updated_at": server.clock.now()}
        session.add(SignedIn(id="phone", token_sha256="", user_id=server.owner, **times))
    backup = back_up(server)
    server.add_asset("later.jpg", b"later")

    kept = restore(server, backup, tmp_path)

    assert names(server.database) == then
    assert len(then) == ASSETS
    with server.database.reader() as session:
        assert list(session.scalars(select(Job.name))) == []  # the job that wrote the backup was active in it
        # a phone may have been told of what came after the backup
        assert list(session.scalars(select(SignedIn.is_pending_sync_reset))) == [True]
    other = Database(f"sqlite:///{kept}" if server.database.is_sqlite else with_name(server, kept))
    assert "later.jpg" in names(other)
    other.close()
    server.drain()


def with_name(server: InlineServer, name: str) -> str:
    return postgres_copies.with_database(server.services.settings.database_url, name)


def test_a_backup_is_named_and_written_as_the_specification_says(server: InlineServer) -> None:
    made = back_up(server)

    engine = r"sqlite[\d.]+\.db" if server.database.is_sqlite else r"pg\d+\.\d+\.sql"
    assert re.fullmatch(rf"immich-db-backup-\d{{8}}T\d{{6}}-v[\w.]+-{engine}\.gz", made.name)
    content = gzip.decompress(made.read_bytes())
    if server.database.is_sqlite:
        assert content.startswith(b"SQLite format 3\0")
    else:
        assert b"DROP TABLE IF EXISTS public.asset" in content
        assert postgres_dump.CLOSING_WORDS in content[-1024:]
    assert {path.name for path in Path(server.media.parent).glob("*.backup.tmp*")} == set()


def test_a_backup_taken_while_others_write_shows_one_moment(
    server: InlineServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows are always changed together; a copy that shows different values has seen two moments."""
    with server.database.session() as session:
        session.execute(text("CREATE TABLE pair (id INTEGER PRIMARY KEY, value INTEGER, filler TEXT)"))
        for number in range(400):  # the two rows lie far apart
            row = {"id": number, "filler": "x" * 3000}
            session.execute(text("INSERT INTO pair VALUES (:id, 0, :filler)"), row)
    monkeypatch.setattr(sqlite_copies, "PAGES_AT_ONCE", 16)
    stop, waited_s = threading.Event(), [0.0]

    def write() -> None:
        value = 0
        while not stop.is_set():
            value += 1
            began = time.monotonic()
            with server.database.session() as session:
                session.execute(text("UPDATE pair SET value = :value WHERE id IN (0, 399)"), {"value": value})
            waited_s[0] = max(waited_s[0], time.monotonic() - began)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup = back_up(server)
    finally:
        stop.set()
        writer.join()
    restore(server, backup, tmp_path)

    with server.database.reader() as session:
        values = set(session.scalars(text("SELECT value FROM pair WHERE id IN (0, 399)")))
    assert len(values) == 1
    assert values != {0}
    assert waited_s[0] < 2.0, "a writer had to wait for the copy"


def test_the_newest_backups_stay_and_leftovers_go(server: InlineServer) -> None:
    server.configure(backup={"database": {"keepLastAmount": 2}})
    folder = server.services.layout.media_root / "backups"
    for name in ("my-own.sql.gz", "a.sql.gz" + WRITING):
        (folder / name).write_bytes(b"x")
    made = []
    for _ in range(4):
        made.append(back_up_by_name(server))
        server.clock.ahead += timedelta(days=1)

    assert {path.name for path in server.backups()} == {"my-own.sql.gz", *(path.name for path in made[-2:])}


def back_up_by_name(server: InlineServer) -> Path:
    server.enqueue(back_up_database())
    server.drain()
    return max(path for path in server.backups() if path.name.startswith("immich"))


def test_one_that_is_asked_for_while_another_runs_is_that_one(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = job.write_archive

    def ask_meanwhile(*arguments: Any) -> Any:
        server.enqueue(back_up_database())
        server.enqueue(back_up_database())
        return whole(*arguments)

    monkeypatch.setattr(job, "write_archive", ask_meanwhile)
    back_up(server)
    monkeypatch.undo()

    assert len(server.backups()) == 1
    server.clock.ahead += timedelta(seconds=2)
    back_up(server)
    assert len(server.backups()) == 2


def test_one_that_is_asked_for_afterwards_is_another_whatever_the_clock_says(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue counts by the database's clock, the job by that of its machine."""
    whole = job.write_archive

    def set_the_clock_meanwhile(*arguments: Any) -> Any:
        server.clock.ahead += timedelta(hours=1)
        return whole(*arguments)

    monkeypatch.setattr(job, "write_archive", set_the_clock_meanwhile)
    back_up(server)
    back_up(server)

    assert len(server.backups()) == 2


def test_a_backup_that_fails_keeps_the_old_ones_and_tells_the_admins(
    server: InlineServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure(backup={"database": {"keepLastAmount": 1}})
    good = back_up(server)
    server.clock.ahead += timedelta(days=1)
    fake = tmp_path / "gzip"
    fake.write_text("#!/bin/sh\nhead -c 1000 >/dev/null\necho 'No space left on device' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    server.enqueue(back_up_database())

    fail_for_good(server)

    assert server.backups() == [good]
    (failed,) = server.jobs(JobState.FAILED)
    assert "No space left on device" in failed.error
    (event,) = [data for kind, data in server.events() if kind == "notification"]
    with server.database.reader() as session:
        told = session.get_one(Notification, event["notification_id"])
    assert (told.user_id, told.type) == (server.owner, "JobFailed")
    assert "No space left on device" in (told.description or "")


def fail_for_good(server: InlineServer) -> None:
    """Attempt by attempt, without the pauses between them."""
    for _ in range(200):
        server.dispatcher.tick()
        server.settler.tick()
        with server.services.store.transaction() as tx:
            tx.execute(text("UPDATE job SET run_at = 0 WHERE state = 'delayed'"))
            server.services.store.promote_due(tx)
        if server.jobs(JobState.FAILED):
            return
    raise AssertionError(server.jobs())


def test_a_dump_that_is_cut_short_is_no_backup(
    postgres_database_url: str, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_dump says all is well, and yet the end is missing."""
    real = postgres_dump.find_program("pg_dump", server_major(postgres_database_url))
    for script, expected in (
        (f'"{real}" "$@" | head -c 2000', "closing words"),
        (f'"{real}" "$@" | head -c 2000; kill -9 $$', "ended with -9"),
        (f'"{real}" "$@"; echo "the disk is gone" >&2; exit 3', "the disk is gone"),
    ):
        fake = tmp_path / "pg_dump"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
        monkeypatch.setattr(postgres_dump, "find_program", lambda name, major, fake=fake: fake)
        with inline_server(postgres_database_url, media) as server:
            server.enqueue(back_up_database())
            fail_for_good(server)
            assert expected in server.jobs(JobState.FAILED)[0].error
            assert server.backups() == []
            with server.services.store.transaction() as tx:
                server.services.store.clear_failed(tx, server.jobs()[0].queue)


def server_major(url: str) -> int:
    return postgres_copies.server_facts(url).major


def test_the_password_is_never_among_the_arguments(
    postgres_database_url: str, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = postgres_dump.find_program("pg_dump", server_major(postgres_database_url))
    fake = tmp_path / "pg_dump"
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexec "{real}" "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(postgres_dump, "find_program", lambda name, major: fake)
    with inline_server(postgres_database_url, media) as server:
        back_up(server)

    words = connection_words(postgres_database_url)
    password = words.environment["PGPASSWORD"]
    assert len(password) >= 8
    assert password not in (tmp_path / "arguments").read_text()
    assert "dbname" in (tmp_path / "arguments").read_text()


def test_programs_of_another_version_are_not_taken(postgres_url: str) -> None:
    major = server_major(postgres_url)
    said = subprocess.run([postgres_dump.find_program("psql", major), "--version"], capture_output=True, text=True)
    assert f" {major}." in said.stdout
    with pytest.raises(ProgramMissing, match="postgresql-client-18"):
        postgres_dump.find_program("pg_dump", 18 if major != 18 else 17)


@pytest.mark.parametrize("damage", ["cut", "changed", "text", "foreign"])
def test_a_broken_backup_changes_nothing(server: InlineServer, tmp_path: Path, damage: str) -> None:
    backup = back_up(server)
    content = backup.read_bytes()
    broken = backup.with_name(f"broken-{backup.name}")
    if damage == "cut":
        broken.write_bytes(content[: len(content) * 3 // 4])
    elif damage == "changed":
        broken.write_bytes(content[:2000] + b"?" * 20 + content[2020:])
    elif damage == "text":
        broken.write_bytes(gzip.compress(b"SELECT no_such_function();\n"))
    else:
        broken.write_bytes(foreign(server, tmp_path))
    before, databases = names(server.database), all_databases(server)

    with pytest.raises((HeliostatError, OperationalError)) as raised:
        restore(server, broken, tmp_path)

    expected = {"cut": ArchiveBroken, "changed": ArchiveBroken, "foreign": UnknownSchema}.get(damage, HeliostatError)
    assert isinstance(raised.value, expected), raised.value
    assert names(server.database) == before
    assert all_databases(server) == databases
    restore(server, backup, tmp_path)  # nothing is in its way


def foreign(server: InlineServer, tmp_path: Path) -> bytes:
    """A sound database that is not ours."""
    if not server.database.is_sqlite:
        return gzip.compress(b"CREATE TABLE stranger (id int);\n--\n" + postgres_dump.CLOSING_WORDS + b"\n--\n")
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as connection:
        connection.execute("CREATE TABLE stranger (id)")
    return gzip.compress((tmp_path / "foreign.db").read_bytes())


def all_databases(server: InlineServer) -> set[str]:
    """Names of everything that a restore could leave behind."""
    url = server.services.settings.database_url
    if server.database.is_sqlite:
        file = Path(str(server.database.url.database))
        return {path.name for path in file.parent.glob(f"{file.name}*")} - {
            f"{file.name}{end}" for end in ("-wal", "-shm", ".lock")
        }
    words = connection_words(url)
    with psycopg.connect(words.conninfo, password=words.environment["PGPASSWORD"]) as connection:
        mine = database_name(url)
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database") if name.startswith(mine)}


def test_a_restore_refuses_while_the_server_runs(server: InlineServer, tmp_path: Path) -> None:
    backup = back_up(server)
    settings = server.services.settings
    stack = Stack(settings, environment(tmp_path))
    stack.lock()
    try:
        with pytest.raises(StackRunning, match="already"):
            restore(server, backup, tmp_path)
    finally:
        stack.unlock()


def test_a_restore_refuses_while_anyone_uses_the_database(server: InlineServer, tmp_path: Path) -> None:
    backup = back_up(server)
    with server.database.reader() as session:
        before = session.scalar(select(Asset.id).limit(1))
        with pytest.raises(HeliostatError, match="in use"):
            restore_backup(
                server.services.settings, environment(tmp_path), backup, server.clock.now(), lambda said: None
            )
        assert session.scalar(select(Asset.id).limit(1)) == before


def test_a_restore_waits_for_a_connection_that_ends(postgres_database_url: str, media: Path, tmp_path: Path) -> None:
    with inline_server(postgres_database_url, media) as server:
        backup = back_up(server)
        words = connection_words(postgres_database_url)
        late = psycopg.connect(words.conninfo, password=words.environment["PGPASSWORD"])
        closing = threading.Timer(1.0, late.close)
        closing.start()
        assert restore(server, backup, tmp_path)
        closing.join()


def test_a_backup_of_the_other_kind_or_of_nothing_is_refused(server: InlineServer, tmp_path: Path) -> None:
    wrong = tmp_path / ("a.sql.gz" if server.database.is_sqlite else "a.db.gz")
    wrong.write_bytes(b"")
    with pytest.raises(BadRequest, match="is no backup of"):
        restore(server, wrong, tmp_path)
    with pytest.raises(BadRequest, match="is no file"):
        restore(server, tmp_path / "nothing.gz", tmp_path)


def test_a_backup_is_found_by_its_name_alone(server: InlineServer, tmp_path: Path) -> None:
    backup = back_up(server)
    assert restore(server, Path(backup.name), tmp_path)


def test_a_cancelled_backup_leaves_nothing(server: InlineServer) -> None:
    tools = Tools(server.services.settings.database_url)
    given = job.BackupInput(server.services.layout.folder(Folder.BACKUPS), 3, server.clock.now())
    seen = []

    def cancel_midway(fraction: float) -> None:
        seen.append(fraction)
        tools.cancelled.set()

    tools.progress = cancel_midway
    outcome = job.work(given, tools)

    assert type(outcome).__name__ == "Snooze"
    assert seen
    assert server.backups() == []


def test_progress_rises_from_nothing_to_nearly_all(server: InlineServer) -> None:
    tools, seen = Tools(server.services.settings.database_url), list[float]()
    tools.progress = seen.append
    job.work(job.BackupInput(server.services.layout.folder(Folder.BACKUPS), 3, server.clock.now()), tools)

    assert seen == sorted(seen)
    assert 0 <= seen[0] < 1
    assert seen[-1] <= 1


def test_the_job_of_a_backup_is_one_however_often_it_is_asked_for(server: InlineServer) -> None:
    assert [server.enqueue(back_up_database()) for _ in range(10)] == [1] + [0] * 9
    assert [record.name for record in server.jobs()] == [JobName.DATABASE_BACKUP]
