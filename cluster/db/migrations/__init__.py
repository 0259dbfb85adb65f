"""The schema's history, set up from code: `versions/` holds one numbered file per change, each with its way back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from cluster.db.queries.sync_changes import begin_again_where_time_ran_back
from cluster.db.tables.sync_triggers import fill, install_triggers, remove_triggers, triggers_are_current
from cluster.errors import HeliostatError

MIGRATION_LOCK = 0x68656C696F
"""PostgreSQL's advisory lock: of several processes that start at once, one migrates and the others wait for it."""


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`, all or nothing. Does nothing when it is there already."""
    _run(engine, lambda connection, config: _upgrade(connection, config, revision))


class UnknownSchema(HeliostatError):
    """A database is not ours, or of a newer version than this program."""


def check_origin(engine: Engine) -> None:
    """Whether `migrate` can bring this database up to date. Raises UnknownSchema."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        raise UnknownSchema("this is no database of Heliostat: it says nothing of its schema's version")
    known = {script.revision for script in ScriptDirectory(str(Path(__file__).parent)).walk_revisions()}
    if found not in known:
        raise UnknownSchema(f"its schema has version {found}, which this program does not know: use a newer one")


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Take the schema back to `revision`; what the undone changes held is lost."""
    _run(engine, lambda connection, config: _downgrade(connection, config, revision))


def _run(engine: Engine, step: Callable[[Connection, Config], None]) -> None:
    with engine.connect() as connection, _exclusively(connection):
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.attributes["connection"] = connection
        step(connection, config)


def _upgrade(connection: Connection, config: Config, revision: str) -> None:
    """Triggers are off while tables change: SQLite makes a table anew, and trips over those that name the old one."""
    if not (_is_newest(connection, config) and triggers_are_current(connection)):
        remove_triggers(connection)
        command.upgrade(config, revision)
        if not _is_newest(connection, config):
            return
        install_triggers(connection)
        fill(connection)
    begin_again_where_time_ran_back(connection)


def _downgrade(connection: Connection, config: Config, revision: str) -> None:
    remove_triggers(connection)
    command.downgrade(config, revision)


def _is_newest(connection: Connection, config: Config) -> bool:
    found = MigrationContext.configure(connection).get_current_revision()
    return found == ScriptDirectory.from_config(config).get_current_head()


@contextmanager
def _exclusively(connection: Connection) -> Iterator[None]:
    """One transaction under a lock that other migrations wait for."""
    if connection.dialect.name != "sqlite":
        with connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            yield
        return
    # SQLite changes a table by copying it and dropping the old one, which must not cascade into other tables.
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys = OFF").close()
    try:
        with connection.begin():  # takes the write lock at once
            yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON").close()
