"""The processes that join Ray for the foreground command, and what they say to each other.

A process that has joined Ray dies with Ray's head, so the command itself never joins: it must bring everything back.
"""

import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from cluster.stack import StackBroken

PREPARED: Final = "prepared"
"""Database and media folders are as this version wants them."""
READY: Final = "ready"
"""The controller's loops run."""
STOP: Final = "stop"
"""What the controller's driver is told before the end: lease no more, let short calls end."""
TOLD: Final = 3
"""Exit code of a driver that said in words why it cannot start."""

_GO: Final = b"go\n"


class Driver:
    """`python -m <module>`. It waits for a word on its stdin, and ends when that is closed."""

    def __init__(self, module: str, environ: Mapping[str, str]) -> None:
        self._said = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def go(self) -> None:
        """Ray runs."""
        with suppress(BrokenPipeError):  # it ended already, and says why
            self._stdin.write(_GO)
            self._stdin.flush()

    def said(self, line: str) -> bool:
        """Whether it has said this line by now. Raises StackBroken when it failed."""
        self._listen()
        return line in self._lines()

    def ended(self) -> bool:
        """Whether it has done its work and gone. Raises StackBroken when it failed."""
        self._listen()
        return self._process.poll() == 0

    def stop(self) -> None:
        """Tell it that the end is near; it ends when it has done what is to be done before."""
        with suppress(BrokenPipeError):
            self._stdin.write(f"{STOP}\n".encode())
            self._stdin.flush()

    @property
    def is_ready(self) -> bool:
        """It has said so, and still runs."""
        return self._process.poll() is None and READY in self._lines()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _listen(self) -> None:
        while select.select([self._stdout], [], [], 0)[0] and (heard := os.read(self._stdout.fileno(), 65536)):
            self._said += heard
        if code := self._process.poll():
            words = "\n".join(self._lines()[-100:])
            raise StackBroken(words if code == TOLD else f"the server did not start:\n{words}")

    def _lines(self) -> list[str]:
        return self._said.decode(errors="replace").splitlines()
