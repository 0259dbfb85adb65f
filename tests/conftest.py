"""The fixtures that every test may use: a private PostgreSQL, a fresh database of each kind, and a place for figures,
which are printed at the end.
"""

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.errors import ProgramMissing
from tests.figures import FIGURES
from tests.postgres_server import private_postgres
from tests.programs import skip_or_fail


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of this run's own PostgreSQL server: superuser, database `postgres`. Make databases of your own in it.

    It outlives nothing, so it waits for no disk: dropping a database means a checkpoint, hundreds of times in a run.
    """
    try:
        with private_postgres("fsync=off", "full_page_writes=off") as url:
            yield url
    except ProgramMissing as missing:
        skip_or_fail(str(missing))


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> str:
    """Name of a database that has our schema and no row. It is copied in 21 ms; migrating another takes 157."""
    name = "migrated"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    _migrate(_with_name(postgres_url, name))
    return name


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has our schema and no row."""
    path = tmp_path_factory.mktemp("migrated") / "heliostat.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgres_database_url(postgres_url: str, migrated_postgres: str) -> Iterator[str]:
    """URL of a fresh PostgreSQL database with our schema, dropped after the test."""
    with _postgres_database(postgres_url, migrated_postgres) as url:
        yield url


@pytest.fixture
def sqlite_database_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    """URL of an SQLite database with our schema, in the test's own folder."""
    path = tmp_path / "heliostat.db"
    shutil.copyfile(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh database with our schema. Every test that takes it runs once on SQLite and once on PostgreSQL."""
    fixture = {"sqlite": "sqlite_database_url", "postgresql": "postgres_database_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without any table, once of each kind; SQLite's file does not exist yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'heliostat.db'}"
        return
    with _postgres_database(request.getfixturevalue("postgres_url"), "template1") as url:
        yield url


@contextlib.contextmanager
def _postgres_database(server: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _with_name(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _with_name(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def _migrate(url: str) -> None:
    database = Database(url)
    migrate(database.durable)
    database.close()


@pytest.fixture
def report() -> Callable[[str], None]:
    """Takes a measured figure in words."""
    return FIGURES.append


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.has_plugin("xdist"):
        from tests.processes import SeveralProcesses

        config.pluginmanager.register(SeveralProcesses())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    for line in FIGURES:
        terminalreporter.write_line(f"measured: {line}")
