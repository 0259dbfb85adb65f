"""Start, tick, stop: once for every loop. A tick that raises is logged and tried again; a loop never ends by itself."""

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0


class Loop:
    """Calls `tick` in a thread of its own. `tick` returns how many seconds to sleep; `wake` cuts that short.

    `ticks` and `failures` count since the start, `cpu_s` is what the thread has used.
    """

    def __init__(self, name: str, tick: Callable[[], float]) -> None:
        self.name = name
        self.ticks, self.failures, self.cpu_s = 0, 0, 0.0
        self._tick = tick
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Tick at once."""
        self._wake.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End after the current tick."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                sleep_s = self._tick()
                pause_s = FIRST_PAUSE_S
            except Exception:
                log.exception("%s failed, next try in %.1f s", self.name, pause_s)
                self.failures += 1
                sleep_s, pause_s = pause_s, min(pause_s * 2, LONGEST_PAUSE_S)
                self._stopping.wait(sleep_s)
                continue
            finally:
                self.ticks += 1
                self.cpu_s = time.thread_time()
            if sleep_s > 0:
                self._wake.wait(sleep_s)
            self._wake.clear()
