"""The API on a further api machine, outside of Ray, so that it goes on while the first machine's Ray is away.

It has database and media folder, which is all that uploads, albums and the timeline need. What only Ray's processes
know it cannot tell: a search by words answers 503, similar pictures are found in the rows, which takes longer, and
no machines are seen. So it is who is asked where the first machine does not answer.

`python -m serve_app.stand_in` is that process. It ends when its stdin is closed.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from cluster.errors import Unavailable
from cluster.launch import STACK_MARK
from cluster.settings import read_settings
from cluster.telemetry import configure_logging

if TYPE_CHECKING:
    import uvicorn

    from serve_app.text_points import Point, Text

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""Between two starts: one whose port is taken ends at once."""
ANSWERS_END_S, ENDS_S = 5, 8.0


class StandIn:
    """The process, as `heliostat node` keeps it. It does not carry the stack's mark, since it outlives the Ray of its
    machine. `wanted`: whether this machine is an api node."""

    def __init__(self, environ: Mapping[str, str], wanted: bool) -> None:
        self._environ = {name: value for name, value in environ.items() if name != STACK_MARK}
        self._wanted = wanted
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = float("-inf")

    @property
    def was_started(self) -> bool:
        """And was not ended since."""
        return self._process is not None

    def keep(self) -> None:
        """Start it, if it does not run."""
        runs = self._process is not None and self._process.poll() is None
        if not self._wanted or runs or time.monotonic() < self._started_s + AGAIN_S:
            return
        if self._process is not None:
            log.error("the API of this machine ended with %s, and is started again", self._process.returncode)
            self.end()
        self._started_s = time.monotonic()
        command = [sys.executable, "-m", "serve_app.stand_in"]
        # in a session of its own: Ctrl-C at this machine's terminal is for the node, which drains first
        self._process = subprocess.Popen(command, env=self._environ, stdin=subprocess.PIPE, start_new_session=True)

    def keep_running(self) -> None:
        """Start it again where it has died, not where it was ended."""
        if self._process is not None:
            self.keep()

    def end(self) -> None:
        """What it has begun to answer has a moment to end."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class NoTexts:
    """The model for texts is one of Ray's processes."""

    def point(self, text: "Text") -> "Point":
        raise Unavailable("this machine cannot search by words while the first one is away")


def server() -> "uvicorn.Server":
    """The API of this machine, not started."""
    import uvicorn

    from serve_app.app import create_app
    from serve_app.bootstrap import build_services

    settings = read_settings(os.environ)
    configure_logging(settings, "Api")
    app = create_app(replace(build_services(settings), texts=NoTexts()))
    # who is heard through whom is for the app to judge, as behind HAProxy
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=ANSWERS_END_S,
    )
    return uvicorn.Server(config)


def end_with_stdin(running: "uvicorn.Server") -> None:
    """Whoever started this has said so, or has died."""
    sys.stdin.read()
    running.should_exit = True


if __name__ == "__main__":
    serving = server()
    threading.Thread(target=end_with_stdin, args=(serving,), daemon=True).start()
    serving.run()
