"""Puts a backup in the place of the database, while nothing runs.

It grows beside the running one and is checked and brought to this version's schema there; only then the two change
places, in one step. A broken backup therefore changes nothing, and what was there is kept under another name.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, make_url

from cluster.db import postgres_copies as postgres
from cluster.db import sqlite_copies as sqlite
from cluster.db.engine import Database
from cluster.db.migrations import check_origin, migrate
from cluster.db.queries.sync_changes import begin_again
from cluster.db.tables.job import Job
from cluster.errors import BadRequest
from cluster.names import JobName
from cluster.settings import Settings
from cluster.stack import Stack, StackRunning
from cluster.storage.layout import Folder, StorageLayout
from tasks.backup import postgres_dump
from tasks.backup.archive import read_archive
from tasks.backup.names import DatabaseKind, kind_of

NAME_BYTES = 63
"""PostgreSQL's limit of a name."""
GONE_S = 5.0
"""As long as PostgreSQL itself waits for others before it renames a database."""
Tell = Callable[[str], None]


def restore_backup(settings: Settings, environ: Mapping[str, str], backup: Path, now: datetime, tell: Tell) -> str:
    """Restore the file `backup` (a path, or a name in the folder of backups); returns what the database before is
    called now, empty if there was none. Blocks, for minutes where the database is large.

    Raises BadRequest for a file that does not fit, StackRunning, ArchiveBroken, DatabaseDamaged, UnknownSchema,
    CannotCopy, and what psql says; after each of them the database is what it was.
    """
    found = _find(settings, backup)
    url = settings.database_url
    is_postgres = make_url(url).get_backend_name() == "postgresql"
    kind = DatabaseKind.POSTGRES if is_postgres else DatabaseKind.SQLITE
    if kind_of(found.name) is not kind:
        raise BadRequest(f"{found.name} is no backup of {kind.value}, which the settings (DB_URL) say is in use")
    with _nothing_runs(settings, environ):
        stamp = now.astimezone().strftime("%Y%m%dT%H%M%S")
        if is_postgres:
            return _restore_postgres(url, found, stamp, tell)
        return _restore_sqlite(url, found, stamp, tell)


def _find(settings: Settings, backup: Path) -> Path:
    folder = StorageLayout(settings.media_root).folder(Folder.BACKUPS)
    for candidate in (backup, folder / backup.name):
        if candidate.is_file():
            return candidate
    raise BadRequest(f"{backup} is no file, nor is there one of that name in {folder}")


@contextmanager
def _nothing_runs(settings: Settings, environ: Mapping[str, str]) -> Iterator[None]:
    """While this is open the server cannot start on this machine. Raises StackRunning."""
    stack = Stack(settings, environ)
    stack.lock()
    try:
        if left := stack.processes():
            raise StackRunning(f"{len(left)} processes of the server still run: start it once more and stop it")
        yield
    finally:
        stack.unlock()


def _restore_postgres(url: str, backup: Path, stamp: str, tell: Tell) -> str:
    if others := _those_who_stay(url):
        raise StackRunning(f"the database is in use, stop what uses it: {', '.join(sorted(set(others)))}")
    server = postgres.server_facts(url)
    postgres_dump.refuse_server(server.major)
    name = postgres.database_name(url)
    new, kept = (_cut(name, end) for end in ("_restoring", f"_before_{stamp}"))
    postgres.drop_database(url, new)
    postgres.create_database(url, new)
    try:
        tell(f"reading {backup.name} into {new}")
        new_url = postgres.with_database(url, new)
        postgres_dump.restore(new_url, server.major, read_archive(backup))
        _bring_up_to_date(new_url, tell)
        postgres.swap_databases(url, new, kept)
    except BaseException:
        postgres.drop_database(url, new)
        raise
    return kept


def _those_who_stay(url: str) -> list[str]:
    """Who else is connected. PostgreSQL notices a moment later that a program has ended, so they are given that."""
    until_s = time.monotonic() + GONE_S
    while (others := postgres.other_connections(url)) and time.monotonic() < until_s:
        time.sleep(0.1)
    return others


def _cut(name: str, end: str) -> str:
    return name.encode()[: NAME_BYTES - len(end)].decode(errors="ignore") + end


def _restore_sqlite(url: str, backup: Path, stamp: str, tell: Tell) -> str:
    database = Path(str(make_url(url).database)).absolute()
    new, kept = (database.with_name(f"{database.name}.{end}") for end in ("restoring", f"before-{stamp}"))
    sqlite.delete_database(new)
    try:
        tell(f"reading {backup.name} into {new}")
        new.parent.mkdir(parents=True, exist_ok=True)
        with new.open("xb") as file:
            for piece in read_archive(backup):
                file.write(piece)
        sqlite.check_database(new)
        _bring_up_to_date(f"sqlite:///{new}", tell)
        sqlite.make_single(new)
        sqlite.exchange(database, new, kept)
    except BaseException:
        sqlite.delete_database(new)
        raise
    return str(kept) if kept.exists() else ""


def _bring_up_to_date(url: str, tell: Tell) -> None:
    """The schema is this version's, the job that wrote the backup, which was running, does not run again, and clients
    that were told of what came after the backup begin anew."""
    database = Database(url)
    try:
        check_origin(database.durable)
        tell("bringing it to this version")
        migrate(database.durable)
        with database.session(durable=True) as session:
            session.execute(delete(Job).where(Job.name == JobName.DATABASE_BACKUP))
            begin_again(session.connection())
    finally:
        database.close()
