"""Insert or update, in the one form that SQLite and PostgreSQL share."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from cluster.db.tables.base import Base


def upsert(
    session: Session,
    table: type[Base],
    rows: Sequence[Mapping[str, Any]],
    *,
    key: Sequence[str],
    keep: Sequence[str] = (),
) -> None:
    """Insert `rows` (all with the same columns); where `key` exists already, update every column but `key` and `keep`.

    `key`: the columns of a primary key or unique constraint.
    """
    if not rows:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    changes = {name: statement.excluded[name] for name in rows[0] if name not in key and name not in keep}
    settled = (
        statement.on_conflict_do_update(index_elements=list(key), set_=changes)
        if changes
        else statement.on_conflict_do_nothing(index_elements=list(key))
    )
    session.execute(settled, [dict(row) for row in rows])
