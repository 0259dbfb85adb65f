"""Presses a queue's buttons on a running server and counts what ended, by job name, in the server's own statistics."""

import contextlib
import sqlite3
from collections.abc import Iterator

from tests.e2e.real_stack import RealStack, describe

DRAIN_S = 900
Force = bool | None
Ended = dict[str, int]


@contextlib.contextmanager
def tables(stack: RealStack) -> Iterator[sqlite3.Connection]:
    """The server's SQLite, each statement a transaction of its own."""
    connection = sqlite3.connect(stack.media / "heliostat.db", timeout=30, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    try:
        yield connection
    finally:
        connection.close()


def ended(stack: RealStack) -> Ended:
    """Job name → how many ended so far, done or skipped."""
    with tables(stack) as connection:
        return dict(connection.execute("SELECT name, sum(done + skipped) FROM job_statistic GROUP BY name"))


def press(stack: RealStack, queue: str, force: Force) -> Ended:
    """Start a queue; what ended until all is quiet again, by name."""
    before = ended(stack)
    stack.client.command(queue, "start", force)
    stack.wait_until_idle(DRAIN_S)
    assert stack.failed() == {}, describe(stack)
    return {name: more for name, count in ended(stack).items() if (more := count - before.get(name, 0))}
