"""What every table stands on: one metadata with named constraints, and column types that mean the same everywhere."""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Index, Integer, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

# Named by rule, so that a migration can drop a constraint on SQLite and PostgreSQL alike.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

RisingId = BigInteger().with_variant(Integer, "sqlite")
"""The type of ids that the database counts up; SQLite does that for INTEGER alone."""

FilePath = String().with_variant(String(collation="C"), "postgresql")
"""The type of paths: ordered by code point everywhere, as Python sorts a folder, whatever the server's locale."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime: `timestamptz` on PostgreSQL, UTC without a zone on SQLite. Refuses a naive one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class EpochMs(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as milliseconds since 1970: small and fast, for the tables of the queue."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_ms(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_ms(value)


class JsonText(TypeDecorator[Any]):
    """JSON as text, for values that SQL never looks into."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """All tables. `Base.metadata` is complete once `cluster.db.tables` is imported."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows that fulfil `where`; the others cost it nothing.

    SQLite uses it for a query that repeats the condition word for word, or compares the column that is not to be null.
    """
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


def to_ms(time: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return int(time.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
