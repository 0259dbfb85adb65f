"""Small values that tasks remember of their last run, by key. Several may want to change one at the same time."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cluster.db.tables.system import SystemMetadata


def read(session: Session, key: str) -> dict[str, Any] | None:
    """What is remembered, None for nothing."""
    row = session.get(SystemMetadata, key)
    return dict(row.value) if row is not None else None


QUIET_HOURS = "quiet-hours"
"""Key: queue → `HH:MM-HH:MM`, the hours of the day in which nothing of it is started."""

DRAINED = "drained-nodes"
"""Key: node's name → why it gets nothing new (`draining.drain_to_json`)."""


def read_locked(session: Session, key: str) -> dict[str, Any]:
    """What is remembered, empty for nothing; nobody else changes it before this transaction has ended."""
    _add(session, key, {})
    row = session.get_one(SystemMetadata, key, with_for_update=True, populate_existing=True)
    return dict(row.value)


def write(session: Session, key: str, value: Mapping[str, Any]) -> None:
    """Remember `value`, whatever was there before."""
    session.merge(SystemMetadata(key=key, value=dict(value)))


def replace(session: Session, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Remember `after` if the value is still `before`; returns whether it was. Of several who ask, one gets True."""
    if before is None:
        return _add(session, key, after)
    row = session.get(SystemMetadata, key, with_for_update=True, populate_existing=True)
    if row is None or row.value != before:
        return False
    row.value = dict(after)
    return True


def _add(session: Session, key: str, value: Mapping[str, Any]) -> bool:
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(SystemMetadata).values(key=key, value=dict(value)).on_conflict_do_nothing(index_elements=["key"])
    return session.execute(new.returning(SystemMetadata.key)).first() is not None
