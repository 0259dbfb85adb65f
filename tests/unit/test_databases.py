"""The database fixtures: what the other tests stand on."""

import psycopg
import sqlalchemy

from cluster.db.engine import Database
from cluster.db.tables.asset import Asset
from cluster.errors import ProgramMissing
from tests.postgres_server import private_postgres
from tests.programs import skip_or_fail


def test_a_test_can_have_an_empty_database(empty_database_url: str) -> None:
    url = sqlalchemy.make_url(empty_database_url)
    engine = sqlalchemy.create_engine(
        url.set(drivername={"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[url.drivername])
    )
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE photo (id INTEGER)"))
    engine.dispose()


def test_each_test_gets_our_schema_and_no_row(database_url: str) -> None:
    database = Database(database_url)
    with database.session() as session:
        assert session.scalars(sqlalchemy.select(Asset.id)).all() == []
    database.close()


def test_what_is_measured_on_postgres_waits_for_the_disk() -> None:
    try:
        with private_postgres() as url, psycopg.connect(url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    except ProgramMissing as missing:
        skip_or_fail(str(missing))
