"""SQLite files as wholes, for backup and restore: a copy while others write, a check, an exchange without a gap."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from cluster.errors import HeliostatError
from cluster.storage.files import fsync_file, fsync_folder

PAGES_AT_ONCE = 1024
BUSY_TIMEOUT_S = 10.0
SIDE_FILES = ("-wal", "-shm", "-journal")


class DatabaseDamaged(HeliostatError):
    """The file is no sound SQLite database."""

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"{self.path} is damaged: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)


class DatabaseBusy(HeliostatError):
    """Another process has the database open for writing."""


def sqlite_version() -> str:
    """Of the library."""
    return sqlite3.sqlite_version


def copy_database(source: Path, target: Path, tell: Callable[[float], None]) -> None:
    """Copy the database as it is at this moment into `target`, a new file, alone and closed. Writers go on meanwhile.

    `tell(fraction)` is called between pieces; what it raises ends the copy. Raises DatabaseDamaged when the copy is.
    """
    with (
        closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as reading,
        closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT_S)) as writing,
    ):
        reading.isolation_level = None
        # One snapshot for the whole copy. Without it a copy starts over whenever somebody writes, and may never end.
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(
            writing, pages=PAGES_AT_ONCE, progress=lambda _, left, pages: tell(1 - left / pages if pages else 1.0)
        )
        reading.execute("ROLLBACK")
        writing.execute("PRAGMA journal_mode = DELETE").fetchone()
    check_database(target, quick=True)


def check_database(path: Path, *, quick: bool = False) -> None:
    """Raises DatabaseDamaged. `quick`: leave out whether indexes agree with their tables."""
    try:
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as connection:
            found = connection.execute(f"PRAGMA {'quick' if quick else 'integrity'}_check(1)").fetchone()[0]
            broken = None if quick else connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.DatabaseError as error:
        raise DatabaseDamaged(path, str(error)) from error
    if found != "ok":
        raise DatabaseDamaged(path, str(found))
    if broken:
        raise DatabaseDamaged(path, f"row {broken[1]} of {broken[0]} refers to {broken[2]}, which is not there")


def make_single(path: Path) -> None:
    """Let one file hold everything: nothing is left in a log beside it. Raises DatabaseBusy while others use it."""
    with closing(sqlite3.connect(path, timeout=1.0)) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.OperationalError as error:
            raise DatabaseBusy(f"{path} is in use: {error}") from error
    if mode != "delete":
        raise DatabaseBusy(f"{path} is in use")
    fsync_file(path)


def exchange(database: Path, new: Path, keep_as: Path) -> None:
    """`new` becomes the database in one step, and what was there stays as `keep_as`. Both lie in one folder, and nobody
    has either open. At every moment there is a whole database. Raises DatabaseBusy."""
    if database.exists():
        make_single(database)
        try:
            os.link(database, keep_as)
        except OSError:  # no hard links here
            shutil.copy2(database, keep_as)
            fsync_file(keep_as)
        for end in SIDE_FILES:
            with suppress(FileNotFoundError):
                database.with_name(database.name + end).unlink()
    fsync_file(new)
    new.rename(database)
    fsync_folder(database.parent)


def delete_database(path: Path) -> None:
    """The file and what may lie beside it."""
    for end in ("", *SIDE_FILES):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).unlink()


def _quoted(path: Path) -> str:
    return path.absolute().as_uri().removeprefix("file://")
