"""Tells when another process changed rows, cheaply: PostgreSQL says so (`LISTEN`), SQLite is asked for its data
version, a number in shared memory that every foreign commit raises.
"""

import time

import psycopg
from sqlalchemy import Connection

from cluster.db.engine import Database
from cluster.db.queue_sql import CHANNEL

LOOK_EVERY_S = 0.04
LISTEN_S = 1.0


class Changes:
    """For one thread. `wait` returns within a second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._version = -1

    def wait(self) -> bool:
        """True as soon as rows changed, False when nothing did for a while. A lost connection is made anew."""
        try:
            if self._connection is None:
                self._connect()
                return True
            return self._look() if self._database.is_sqlite else self._listen()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        connection = self._database.fast.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not self._database.is_sqlite:
            connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        self._connection = connection
        if self._database.is_sqlite:
            self._version = self._data_version()

    def _look(self) -> bool:
        time.sleep(LOOK_EVERY_S)
        before, self._version = self._version, self._data_version()
        return self._version != before

    def _data_version(self) -> int:
        assert self._connection is not None
        raw = self._connection.connection.driver_connection
        assert raw is not None
        return int(raw.execute("PRAGMA data_version").fetchone()[0])

    def _listen(self) -> bool:
        assert self._connection is not None
        raw = self._connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        return any(True for _ in raw.notifies(timeout=LISTEN_S, stop_after=1))
