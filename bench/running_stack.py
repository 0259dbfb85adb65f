"""A whole stack for a measurement: started as a person would, with folders of its own, and ended again."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from serve_app.client import ApiClient, ApiRefused, ServerUnreachable

PROJECT = Path(__file__).resolve().parent.parent
EMAIL, PASSWORD = "bench@example.com", secrets.token_hex(12)
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 60.0
FIRST_PORT = int(os.environ.get("BENCH_PORT", "3421"))


class BenchFailed(Exception):
    """A part cannot be measured; the message says why."""


@dataclass(slots=True)
class RunningStack:
    """One that answers. `start_s`: from the command to the first answered ping."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int
    start_s: float
    stop_s: float = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state_dir(self) -> Path:
        return self.folder / "s"

    def sign_up(self) -> ApiClient:
        """The first account, signed in."""
        client = ApiClient(self.url)
        with suppress(ApiRefused):
            client.sign_up_admin(EMAIL, PASSWORD, "Bench")
        client.login(EMAIL, PASSWORD)
        return client

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        started_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_TIMEOUT_S)
        self.stop_s = time.monotonic() - started_s


@contextmanager
def running_stack(extra: Mapping[str, str] | None = None, port: int = FIRST_PORT) -> Iterator[RunningStack]:
    """A new library on `port`. Raises BenchFailed with what the server said when it does not start."""
    folder = Path(tempfile.mkdtemp(prefix="hb", dir="/tmp"))  # sockets need a short path
    environ = os.environ | {
        "IMMICH_MACHINE_LEARNING_ENABLED": "false",  # measured apart, and without weights its jobs would wait for ever
        "IMMICH_MEDIA_LOCATION": str(folder / "m"),
        "HELIOSTAT_STATE_DIR": str(folder / "s"),
        "IMMICH_PORT": str(port),
        **(extra or {}),
    }
    log = folder / "log"
    try:
        with log.open("wb") as output:
            started_s = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "serve_app.cli", "up"],
                env=environ,
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        stack = RunningStack(process, folder, port, 0.0)
        try:
            _wait_for_ping(stack, started_s, log)
            stack.start_s = time.monotonic() - started_s
            _wait_until_deployed(log)
            yield stack
        finally:
            stack.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_ping(stack: RunningStack, started_s: float, log: Path) -> None:
    while time.monotonic() - started_s < START_TIMEOUT_S:
        if stack.process.poll() is not None:
            raise BenchFailed(f"the server ended while it started:\n{log.read_text()[-2000:]}")
        with suppress(httpx.HTTPError):
            if httpx.get(f"{stack.url}/api/server/ping", timeout=2).status_code == 200:
                return
        time.sleep(0.05)
    raise BenchFailed(f"no ping was answered within {START_TIMEOUT_S:.0f} s:\n{log.read_text()[-2000:]}")


def _wait_until_deployed(log: Path) -> None:
    """The API answers before the controller does."""
    for _ in range(600):
        if b"ready after" in log.read_bytes():
            return
        time.sleep(0.1)
    raise BenchFailed(f"the controller did not answer:\n{log.read_text()[-2000:]}")


def wait_until_idle(client: ApiClient, every_s: float = 0.5) -> None:
    """Until no queue holds anything. A follow-up goes in with what it follows going out, so one look is enough."""
    while True:
        with suppress(ServerUnreachable):
            if not any(queue.to_do for queue in client.queues()):
                return
        time.sleep(every_s)
