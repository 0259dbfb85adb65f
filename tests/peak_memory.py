"""How much memory a process takes while something runs."""

import threading

import psutil


class PeakMemory:
    """The most that a process took while this ran, beyond what it had before, in MB."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self.grown_mb = 0.0

    def __enter__(self) -> "PeakMemory":
        self._before = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.grown_mb = max(self.grown_mb, (self._process.memory_info().rss - self._before) / 1e6)
