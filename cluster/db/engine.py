"""URL → engines, and transactions on them. Two engines, since durability cannot change inside a transaction: what a
person was told is on disk first (`durable`), what can be derived again may lose its last moments in a power cut.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from cluster.db.dialects import SQLITE_FUNCTION, plain_text
from cluster.db.text_search import SIMILARITY_FUNCTION, word_similarity
from cluster.errors import SettingsInvalid

BUSY_TIMEOUT_MS = 10_000
CACHE_KIB = 16_384
OLDEST_POSTGRES = 14
SILENT_WRITER_MS = 60_000
"""PostgreSQL rolls back who says nothing for so long in the middle of writing: a process that froze, or a machine that
was cut off, would keep its locks for hours. Nobody computes for that long there."""
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "gfs2", "ocfs2"}
    | {"fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs"}
    | {"fuse.goofys", "fuse.mount-s3", "fuse.blobfuse2", "davfs", "fuse.davfs2"}
)
READ_ONLY = "heliostat_read_only"


def normalise_url(url: str) -> URL:
    """`sqlite:///file`, `postgres://…` or `postgresql://…` → the URL with our driver. Raises SettingsInvalid."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsInvalid([("DB_URL", "expected postgresql://user:password@host:port/database")]) from None
    kind = parsed.drivername.partition("+")[0]
    if kind in {"postgres", "postgresql"}:
        # Node's driver knows this flag, libpq refuses it; its meaning is libpq's default.
        return parsed.set(drivername="postgresql+psycopg").difference_update_query(["uselibpqcompat"])
    if kind == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return parsed.set(drivername="sqlite+pysqlite")
    raise SettingsInvalid([("DB_URL", f"expected postgresql://… or sqlite:///file, received {kind}://")])


def make_engine(url: str, *, durable: bool) -> Engine:
    """An engine whose commits are on disk when they return (`durable`), or soon after.

    Raises SettingsInvalid for an unusable URL, an SQLite file on a network, and, on connecting, an old PostgreSQL.
    """
    parsed = normalise_url(url)
    return (
        _sqlite_engine(parsed, durable) if parsed.drivername.startswith("sqlite") else _postgres_engine(parsed, durable)
    )


class Database:
    """One database as a process sees it. Threads share it; a forked child makes its own."""

    def __init__(self, url: str) -> None:
        self.url = normalise_url(url)
        self.durable = make_engine(url, durable=True)
        self.fast = make_engine(url, durable=False)
        self._reading = self.fast.execution_options(**{READ_ONLY: True})
        self._writers = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        return self.fast.dialect.name == "sqlite"

    @property
    def answers_at_once(self) -> bool:
        """Whether a short read waits for nobody: there is no network, and an open connection that nobody else has."""
        pool = self.fast.pool
        return self.is_sqlite and isinstance(pool, QueuePool) and pool.checkedin() > 0

    @contextmanager
    def session(self, *, durable: bool = False) -> Iterator[Session]:
        """One write transaction: committed at the end, rolled back by an exception. SQLite takes its lock at once."""
        with (
            self._turn_to_write(),
            Session(self.durable if durable else self.fast, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        """SQLite has one writer, and whoever waits for it sleeps up to 100 ms between two looks. Threads of one process
        wait here instead, as long as SQLite itself would, and go on the moment it is free."""
        mine = self.is_sqlite and self._writers.acquire(timeout=BUSY_TIMEOUT_MS / 1000)
        try:
            yield
        finally:
            if mine:
                self._writers.release()

    @contextmanager
    def reader(self) -> Iterator[Session]:
        """One transaction that only reads; on SQLite it neither waits for a writer nor blocks one."""
        with Session(self._reading, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.durable.dispose()
        self.fast.dispose()


def _sqlite_engine(url: URL, durable: bool) -> Engine:
    path = Path(str(url.database)).absolute()
    refuse_network_file_system(path, Path("/proc/self/mounts"))
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, pool_size=4, max_overflow=12, pool_use_lifo=True, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            f"synchronous = {'FULL' if durable else 'NORMAL'}",
            "foreign_keys = ON",
            f"cache_size = -{CACHE_KIB}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.create_function(SQLITE_FUNCTION, 1, plain_text, deterministic=True)
        connection.create_function(SIMILARITY_FUNCTION, 2, word_similarity, deterministic=True)
        _switch_to_wal(connection)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get(READ_ONLY, False):
            # it waits for nobody, so there is no error for SQLAlchemy to translate, and each request does this
            connection.connection.driver_connection.execute("BEGIN DEFERRED").close()  # type: ignore[union-attr]
        else:  # a deferred transaction that reads and then writes fails at once when another wrote in between
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """The mode stays with the file. Its first switch does not honour the busy timeout, so processes that open a new
    file together have to try again. Raises sqlite3.OperationalError when the file stays locked."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def _postgres_engine(url: URL, durable: bool) -> Engine:
    options = f"-c synchronous_commit={'on' if durable else 'off'} -c timezone=UTC -c jit=off"
    engine = create_engine(
        url,
        pool_size=3,  # a stack of six processes with two engines each stays below PostgreSQL's default of 100
        max_overflow=5,
        pool_use_lifo=True,
        pool_pre_ping=True,  # a restarted server costs nobody a request
        hide_parameters=True,
        # A statement planned once and kept is planned for an empty job table, and walks over the full one.
        connect_args={"options": options, "application_name": "heliostat", "prepare_threshold": None},
    )

    @event.listens_for(engine, "connect")
    def check(connection: psycopg.Connection[Any], _record: Any) -> None:
        refuse_old_postgres(connection.info.server_version)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(READ_ONLY, False):
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {SILENT_WRITER_MS}")

    return engine


def flush_earlier_commits(session: Session) -> None:
    """What was committed before is on disk, for good, when this transaction has committed: asked for before a file is
    deleted that those commits let go of."""
    engine = session.get_bind().engine
    if engine.dialect.name == "postgresql":
        session.execute(text("SET LOCAL synchronous_commit = on"))
        return
    with suppress(FileNotFoundError):
        handle = os.open(f"{engine.url.database}-wal", os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def refuse_old_postgres(server_version: int) -> None:
    """`server_version` as libpq gives it: 140005 is 14.5. Raises SettingsInvalid."""
    found = server_version // 10_000
    if found < OLDEST_POSTGRES:
        raise SettingsInvalid([("DB_URL", f"found PostgreSQL {found}, required is {OLDEST_POSTGRES} or newer")])


def refuse_network_file_system(path: Path, mounts: Path) -> None:
    """SQLite's locks do not work across machines. `mounts`: the kernel's table. Raises SettingsInvalid."""
    if not mounts.exists():
        return
    kind = file_system_of(path.resolve(), mounts.read_text())
    if kind in NETWORK_FILE_SYSTEMS:
        reason = (
            f"{path} lies on a network file system ({kind}), where SQLite is not safe: use PostgreSQL or a local disk"
        )
        raise SettingsInvalid([("DB_URL", reason)])


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that `path` (absolute, resolved) lies on, `""` when the table does not say.

    Source: proc(5), which writes a space in a mount point as \\040.
    """
    found, depth = "", -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        mount_point = Path(fields[1].replace("\\040", " ").replace("\\134", "\\"))
        # A later mount hides an earlier one on the same point.
        if path.is_relative_to(mount_point) and len(mount_point.parts) >= depth:
            found, depth = fields[2], len(mount_point.parts)
    return found
