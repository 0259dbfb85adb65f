"""Insert or update, in the one form that SQLite and PostgreSQL share."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import Executable

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
    if rows:
        is_postgres = session.get_bind().dialect.name == "postgresql"
        statement = _statement(table, tuple(rows[0]), tuple(key), tuple(keep), is_postgres)
        session.execute(statement, [dict(row) for row in rows])


@lru_cache(maxsize=256)
def _statement(
    table: type[Base], columns: tuple[str, ...], key: tuple[str, ...], keep: tuple[str, ...], is_postgres: bool
) -> Executable:
    """Built once per shape: building costs more than SQLite takes to run it."""
    insert = postgresql.insert(table) if is_postgres else sqlite.insert(table)
    changes = {name: insert.excluded[name] for name in columns if name not in key and name not in keep}
    if not changes:
        return insert.on_conflict_do_nothing(index_elements=list(key))
    return insert.on_conflict_do_update(index_elements=list(key), set_=changes)
