"""The fixtures that every test may use: a private PostgreSQL, a fresh empty database of each kind, and a place for
figures, which are printed at the end.
"""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

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


@pytest.fixture
def postgres_database_url(postgres_url: str) -> Iterator[str]:
    """URL of a fresh, empty PostgreSQL database, dropped after the test."""
    name = f"test_{secrets.token_hex(8)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sqlite_database_url(tmp_path: Path) -> str:
    """URL of an SQLite database in the test's own folder; the file does not exist yet."""
    return f"sqlite:///{tmp_path / 'heliostat.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a fresh, empty database. Every test that takes it runs once on SQLite and once on PostgreSQL."""
    fixture = {"sqlite": "sqlite_database_url", "postgresql": "postgres_database_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def report() -> Callable[[str], None]:
    """Takes a measured figure in words."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    for line in FIGURES:
        terminalreporter.write_line(f"measured: {line}")
