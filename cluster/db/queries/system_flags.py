"""What the server remembers of itself between starts: which media folders it has marked, which minute was scheduled."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from cluster.db.tables.system import SystemMetadata

FLAGS, SCHEDULED = "system-flags", "scheduled-minute"


def known_mounts(session: Session) -> dict[str, bool]:
    """Media folders that have been given a marker, by name."""
    flags: dict[str, Any] = _value(session, FLAGS)
    return dict(flags.get("mountChecks") or {})


def remember_mounts(session: Session, created: Mapping[str, bool]) -> None:
    """From now on these folders must have their marker."""
    flags = _value(session, FLAGS)
    session.merge(SystemMetadata(key=FLAGS, value={**flags, "mountChecks": {**known_mounts(session), **created}}))


def mark_minute(session: Session, minute: datetime) -> bool:
    """True for the first controller of the cluster that asks for this minute (or a later one)."""
    row = session.get(SystemMetadata, SCHEDULED, with_for_update=True)
    wanted = minute.isoformat()
    if row is not None and str(row.value.get("minute", "")) >= wanted:
        return False
    session.merge(SystemMetadata(key=SCHEDULED, value={"minute": wanted}))
    return True


def _value(session: Session, key: str) -> dict[str, Any]:
    row = session.get(SystemMetadata, key)
    return dict(row.value) if row is not None else {}
