"""What the server remembers of itself between starts: which media folders it has marked."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from cluster.db.tables.system import SystemMetadata

FLAGS = "system-flags"


def known_mounts(session: Session) -> dict[str, bool]:
    """Media folders that have been given a marker, by name."""
    flags: dict[str, Any] = _value(session, FLAGS)
    return dict(flags.get("mountChecks") or {})


def remember_mounts(session: Session, created: Mapping[str, bool]) -> None:
    """From now on these folders must have their marker."""
    flags = _value(session, FLAGS)
    session.merge(SystemMetadata(key=FLAGS, value={**flags, "mountChecks": {**known_mounts(session), **created}}))


def _value(session: Session, key: str) -> dict[str, Any]:
    row = session.get(SystemMetadata, key)
    return dict(row.value) if row is not None else {}
