"""The database fixtures: what the other tests stand on."""

import psycopg
import sqlalchemy


def test_each_test_gets_an_empty_database(database_url: str) -> None:
    url = sqlalchemy.make_url(database_url)
    engine = sqlalchemy.create_engine(
        url.set(drivername={"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[url.drivername])
    )
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE photo (id INTEGER)"))
    engine.dispose()


def test_postgres_syncs_what_it_acknowledges(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
