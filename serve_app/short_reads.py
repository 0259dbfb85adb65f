"""Short reads of SQLite on the event loop itself: a thread would cost more than the read.

SQLite lets go of Python's lock at every step of a statement; with other threads after that lock, each step may become a
change of threads. At 16 connections a request took 3.6 ms of CPU in threads and 0.8 on the loop.

So only routes that were quick come here, nothing that writes, and nothing that would have to wait for a connection. A
route that was not goes through threads for a while; after that it may hold the loop up once more. PostgreSQL is asked
in threads, since its answers come over a network.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anyio import to_thread

from cluster.db.engine import Database

QUICK_CPU_S, QUICK_S = 0.01, 0.05
"""Of CPU, and on the loop also by the clock, where a slow disk shows, or a machine that does much else."""
BARRED_S = 60.0
"""How long one that was slower goes through threads."""

Answer = TypeVar("Answer")


class HasToWait(Exception):
    """Not on the event loop: there is something to write."""


class ShortReads:
    """Where each route is answered. One serves an app."""

    def __init__(self, database: Database, now_s: Callable[[], float] = time.monotonic) -> None:
        self._database, self._now_s = database, now_s
        self._quick: set[str] = set()
        self._barred_until: dict[str, float] = {}

    async def run(self, route: str, read: Callable[[bool], Answer]) -> Answer:
        """What `read` answers. It is told whether it may wait; where it may not, it raises HasToWait, and is called
        again in a thread."""
        if route in self._quick and self._database.answers_at_once:
            with suppress(HasToWait):
                return self._judged(route, read, may_wait=False)
        return await to_thread.run_sync(self._judged, route, read, True)

    def _judged(self, route: str, read: Callable[[bool], Answer], may_wait: bool) -> Answer:
        began_s, began_cpu_s = self._now_s(), time.thread_time()
        answer = read(may_wait)  # an error comes early, and says nothing of how long an answer takes
        ended_s = self._now_s()
        waited = not may_wait and ended_s - began_s > QUICK_S
        if waited or time.thread_time() - began_cpu_s > QUICK_CPU_S:
            self._barred_until[route] = ended_s + BARRED_S
            self._quick.discard(route)
        elif ended_s >= self._barred_until.get(route, 0.0):
            self._quick.add(route)
        return answer
