"""PostgreSQL databases as wholes, for backup and restore: what the server is, a database beside, a swap of names.

Each function opens a connection of its own and closes it. URLs are as SQLAlchemy takes them, password and all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import make_url

from cluster.errors import HeliostatError

MAINTENANCE_DATABASES = ("postgres", "template1")
"""Where one stands to create and rename other databases."""


class CannotCopy(HeliostatError):
    """The server does not let us do what a restore needs. The message says what to change."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`version`: as the server says, such as 15.14; `major`: 15; `size_bytes`: of the database."""

    version: str
    major: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ConnectionWords:
    """How libpq's programs reach a database: `conninfo` may be seen by everybody, `environment` holds the password."""

    conninfo: str
    environment: dict[str, str]


def connection_words(url: str, database: str | None = None) -> ConnectionWords:
    """`database`: another one of the same server."""
    parts = _parts(url, database)
    secrets = {"PGPASSWORD": str(parts.pop("password"))} if parts.get("password") else {}
    return ConnectionWords(make_conninfo("", **parts), secrets)


def database_name(url: str) -> str:
    return str(_parts(url)["dbname"])


def with_database(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def server_facts(url: str) -> ServerFacts:
    """What the server and its database are."""
    with _connected(url) as connection:
        version = str(_one(connection, "SHOW server_version")).split()[0]
        size_bytes = int(_one(connection, "SELECT pg_database_size(current_database())"))
        return ServerFacts(version, connection.info.server_version // 10_000, size_bytes)


def other_connections(url: str) -> list[str]:
    """Who else is connected to the database: program and address."""
    with _connected(url) as connection:
        rows = connection.execute(
            "SELECT application_name, host(client_addr) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
    return [f"{name or 'unnamed'} from {address or 'this machine'}" for name, address in rows]


def create_database(url: str, name: str) -> None:
    """An empty database beside the one of `url`, with its encoding and order of texts. Raises CannotCopy."""
    with _connected(url) as connection:
        encoding, collate, ctype = connection.execute(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database"
            " WHERE datname = current_database()"
        ).fetchall()[0]
    statement = sql.SQL(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
    ).format(sql.Identifier(name), sql.Literal(encoding), sql.Literal(collate), sql.Literal(ctype))
    with _outside(url) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            user = connection.info.user
            raise CannotCopy(f'{user} may not create databases: ALTER ROLE "{user}" CREATEDB') from error


def drop_database(url: str, name: str) -> None:
    """Delete a database of the same server, whoever is connected to it."""
    with _outside(url) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def swap_databases(url: str, new: str, old_becomes: str) -> None:
    """In one transaction the database of `url` is called `old_becomes`, and `new` takes its name. Raises CannotCopy."""
    name = database_name(url)
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with _outside(url) as connection:
        try:
            with connection.transaction():
                connection.execute(rename.format(sql.Identifier(name), sql.Identifier(old_becomes)))
                connection.execute(rename.format(sql.Identifier(new), sql.Identifier(name)))
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse) as error:
            raise CannotCopy(f"{name} could not be exchanged: {str(error).strip()}") from error


@contextmanager
def _connected(url: str, database: str | None = None) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(make_conninfo("", **_parts(url, database)), autocommit=True) as connection:
        yield connection


@contextmanager
def _outside(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to another database of the server: one cannot rename where one stands."""
    name = database_name(url)
    candidates = [one for one in MAINTENANCE_DATABASES if one != name]
    for candidate in candidates[:-1]:
        try:
            connection = psycopg.connect(make_conninfo("", **_parts(url, candidate)), autocommit=True)
        except psycopg.OperationalError:
            continue
        with connection:
            yield connection
        return
    with _connected(url, candidates[-1]) as connection:
        yield connection


def _parts(url: str, database: str | None = None) -> dict[str, Any]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    parts = conninfo_to_dict(plain)
    parts.setdefault("dbname", parts.get("user") or "postgres")
    if database is not None:
        parts["dbname"] = database
    return parts


def _one(connection: psycopg.Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
