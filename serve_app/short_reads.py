"""Short reads of SQLite on the event loop itself: a thread would cost more than the read.

SQLite lets go of Python's lock at every step of a statement; with other threads after that lock, each step may become a
change of threads. At 16 connections the queues' counts took 3.7 ms of CPU in threads and 0.8 to 1.0 on the loop
(`python -m bench.api`: `api.jobs.uvicorn.cpu_ms`, before and after).

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

QUICK_CPU_S, QUICK_S = 0.02, 0.05
"""Of CPU, and on the loop also by the clock, where a slow disk shows, or a machine that does much else."""
BARRED = 100
"""One that was slower goes through threads for so many times what it took: slow answers of a route hold the loop up
for no more than a hundredth of the time, and a hiccup bars it for a few seconds."""

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
        ended_s, cpu_s = self._now_s(), time.thread_time() - began_cpu_s
        waited_s = 0.0 if may_wait else ended_s - began_s
        if waited_s > QUICK_S or cpu_s > QUICK_CPU_S:
            self._barred_until[route] = ended_s + BARRED * max(waited_s, cpu_s)
            self._quick.discard(route)
        elif ended_s >= self._barred_until.get(route, 0.0):
            self._quick.add(route)
        return answer
