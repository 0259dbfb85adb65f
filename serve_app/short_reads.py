"""Short reads of SQLite on the event loop itself: a thread would cost more than the read.

SQLite lets go of Python's lock at every step of a statement; with other threads after that lock, each step may become a
change of threads. At 16 connections a request took 3.6 ms of CPU in threads and 0.8 on the loop.

The loop must never wait, so only routes whose last answer was quick come here, nothing that writes, and nothing while
all connections are taken. PostgreSQL is asked in threads, since its answers come over a network.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anyio import to_thread

from cluster.db.engine import Database

QUICK_S = 0.01
"""A route whose answer took longer goes through a thread until one takes less there."""

Answer = TypeVar("Answer")


class HasToWait(Exception):
    """Not on the event loop: there is something to write."""


class ShortReads:
    """Where each route is answered. One serves an app."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._quick: set[str] = set()

    async def run(self, route: str, read: Callable[[bool], Answer]) -> Answer:
        """What `read` answers. It is told whether it may wait; where it may not, it raises HasToWait, and is called
        again in a thread."""
        if route in self._quick and self._database.answers_at_once:
            with suppress(HasToWait):
                return self._timed(route, read, False, time.monotonic)
        # what others did with the CPU meanwhile says nothing of this one
        return await to_thread.run_sync(self._timed, route, read, True, time.thread_time)

    def _timed(self, route: str, read: Callable[[bool], Answer], may_wait: bool, clock: Callable[[], float]) -> Answer:
        began_s = clock()
        try:
            return read(may_wait)
        finally:
            if clock() - began_s < QUICK_S:
                self._quick.add(route)
            else:
                self._quick.discard(route)
