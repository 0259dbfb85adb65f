"""One look at the queues for everybody who watches, as server-sent events: what changed, about once a second.

While nobody watches, nothing looks. A look never takes more than one part in `SHARE` of a core: the costlier it is, the
rarer it comes. Who connects anew gets everything first, so a lost connection loses nothing.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from pydantic_core import to_json

log = logging.getLogger(__name__)

LEAST_S = 1.0
SHARE = 300
"""A look that took a millisecond is followed by 0.3 s without one. Telling everybody costs about as much again, what is
read anew now and then (`queue_activity.PRICED_FOR_S`) half of it, and all together less than a hundredth of a core."""
WARM = 3
"""The cheapest of so many looks is what a look costs."""
QUIET_S = 15.0
"""After so long without a change, a line says that the connection lives."""

Snapshot = Mapping[str, Any]
"""Name of a part → the part, as JSON has it."""


class Live:
    """`look` gives everything as it is now; it is called in a thread of its own, and blocks."""

    def __init__(self, look: Callable[[], Snapshot]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._watchers: set[Watcher] = set()
        self._last: Snapshot = {}
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = False

    def close(self) -> None:
        """Every stream ends, and the thread with them."""
        with self._lock:
            self._closed = True
            for watcher in self._watchers:
                watcher.put(None)
        self._wake.set()

    def _enter(self, watcher: "Watcher") -> None:
        with self._lock:
            self._watchers.add(watcher)
            if self._closed:
                watcher.put(None)
            elif self._last:
                watcher.put(self._last)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live-queues", daemon=True)
                self._thread.start()

    def _leave(self, watcher: "Watcher") -> None:
        with self._lock:
            self._watchers.discard(watcher)
        self._wake.set()

    def _run(self) -> None:
        costs_s: deque[float] = deque(maxlen=WARM)
        while True:
            with self._lock:
                if self._closed or not self._watchers:
                    self._thread, self._last = None, {}
                    return
            began_s = time.thread_time()
            try:
                self._publish(self._look())
            except Exception:
                log.warning("cannot look at the queues, trying again", exc_info=True)
            costs_s.append(time.thread_time() - began_s)
            # the first ones pay for what is kept afterwards, and say nothing of those that follow
            pause_s = max(LEAST_S, SHARE * min(costs_s)) if len(costs_s) == WARM else LEAST_S
            if self._wake.wait(pause_s):
                self._wake.clear()

    def _publish(self, seen: Snapshot) -> None:
        with self._lock:
            changed = {name: part for name, part in seen.items() if self._last.get(name) != part}
            self._last = seen
            if changed:
                for watcher in self._watchers:
                    watcher.put(changed)

    async def stream(self, still_allowed: Callable[[], bool]) -> AsyncIterator[bytes]:
        """The body of an answer: every part, then those that change. Ends when its reader may watch no longer, which
        is asked (in a thread) in every quiet moment."""
        watcher = Watcher(asyncio.get_running_loop())
        self._enter(watcher)
        checked_s = time.monotonic()
        try:
            yield b"retry: 2000\n\n"
            while True:
                changed: Snapshot | None = {}
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_S):
                        changed = await watcher.queue.get()
                if changed is None:
                    return
                if time.monotonic() - checked_s >= QUIET_S:
                    checked_s = time.monotonic()
                    if not await asyncio.to_thread(still_allowed):
                        return
                yield b"data: " + to_json(list(changed.values())) + b"\n\n" if changed else b": still here\n\n"
        finally:
            self._leave(watcher)


class Watcher:
    """One open stream."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.queue: asyncio.Queue[Snapshot | None] = asyncio.Queue()

    def put(self, changed: Snapshot | None) -> None:
        """From any thread."""
        with contextlib.suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self.queue.put_nowait, changed)
