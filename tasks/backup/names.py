"""What backups are called, and which of them go (pure). Source: spec/pipeline.md §9.

A routine backup is `immich-db-backup-<local time>-v<version>-<database>.gz`. Files of any other name are a person's own
and are never deleted.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from importlib.metadata import version

WRITING = ".tmp"
"""The end of the name of a file that is being written."""

_STAMP = "%Y%m%dT%H%M%S"
_ROUTINE = re.compile(r"immich-db-backup-(\d{8}T\d{6})-v[^/]+-(?:pg[^/]*\.sql|sqlite[^/]*\.db)\.gz")
_OLD_ROUTINE = re.compile(r"immich-db-backup-(\d{13})\.sql\.gz")


class DatabaseKind(Enum):
    """What a backup holds: SQL text for psql, or an SQLite file."""

    POSTGRES = "postgresql"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class Engine:
    """The database program: `version` as it says, such as 15.14."""

    kind: DatabaseKind
    version: str


def backup_name(taken_at: datetime, engine: Engine) -> str:
    """The file's name. `taken_at`: aware; its name shows the server's own zone, as a person reads it."""
    stamp = taken_at.astimezone().strftime(_STAMP)
    tail = f"pg{engine.version}.sql" if engine.kind is DatabaseKind.POSTGRES else f"sqlite{engine.version}.db"
    return f"immich-db-backup-{stamp}-v{version('heliostat')}-{tail}.gz"


def kind_of(name: str) -> DatabaseKind | None:
    """What a file of this name holds; None when the name does not tell."""
    if name.endswith((".sql.gz", ".sql")):
        return DatabaseKind.POSTGRES
    return DatabaseKind.SQLITE if name.endswith((".db.gz", ".db")) else None


def superfluous(names: Iterable[str], keep: int) -> list[str]:
    """Routine backups beyond the newest `keep`, oldest last."""
    dated = sorted(((taken, name) for name in names if (taken := _taken_at(name)) is not None), reverse=True)
    return [name for _, name in dated[keep:]]


def _taken_at(name: str) -> datetime | None:
    """The server's local time in the name; None for a name that is not routine."""
    if found := _ROUTINE.fullmatch(name):
        try:
            return datetime.strptime(found[1], _STAMP)
        except ValueError:
            return None
    if found := _OLD_ROUTINE.fullmatch(name):
        return datetime.fromtimestamp(int(found[1]) / 1000)
    return None
