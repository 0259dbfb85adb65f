"""The whole server as a person starts it: `heliostat up` in a process of its own, real Ray, real files, real ports.

A stack ends by a signal to its command; afterwards nothing that carries its mark may run.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from cluster.db.engine import Database
from cluster.settings import read_settings
from serve_app.client import ApiClient, ApiRefused, Queue, ServerUnreachable
from tests.shared_media import REPOSITORY

EMAIL, PASSWORD, NAME = "ann@example.org", "a long password", "Ann"
READY_S, STOP_S = 150.0, 40.0


class Foreground:
    """A command of ours in the foreground, in a session of its own: Ctrl-C at the terminal is for the tests, which then
    stop it. `folder` has its log; what it starts carries the mark of `state_dir`."""

    folder: Path
    state_dir: Path
    environ: Mapping[str, str]
    prefix: tuple[str, ...]
    command: subprocess.Popen[bytes] | None

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def run(self, *arguments: str) -> None:
        """Start `heliostat` with these arguments."""
        with (self.folder / "log").open("ab") as log:
            self.command = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "serve_app.cli", *arguments],
                cwd=REPOSITORY,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def still_runs(self) -> None:
        assert self.command is not None
        assert self.command.poll() is None, f"it ended with {self.command.returncode}:\n{self.log[-3000:]}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """End the command by a signal; (its exit code, seconds)."""
        assert self.command is not None
        started_s = time.monotonic()
        self.command.send_signal(number)
        return self.command.wait(STOP_S), time.monotonic() - started_s

    def processes(self) -> dict[int, str]:
        """Living processes of its Ray: id → what `ps` shows. The command itself is not among them."""
        return marked_processes(self.state_dir)


@dataclass
class RealStack(Foreground):
    """One server on this machine. `command` is the foreground process, `folder` holds its media, home and log."""

    port: int
    folder: Path
    state_dir: Path
    environ: Mapping[str, str]
    prefix: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    command: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    client: ApiClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = ApiClient(self.url)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def media(self) -> Path:
        return self.folder / "media"

    def start(self) -> None:
        """Run the command; returns when the first ping is answered."""
        started_s = time.monotonic()
        self.run("up")
        wait_until(self.is_up, READY_S, "the first ping", self.still_runs)
        self.started_s = time.monotonic() - started_s

    def is_up(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/api/server/ping", timeout=2).status_code == 200
        return False

    def sign_in(self) -> ApiClient:
        """The first person of this server, made on the first call."""
        with contextlib.suppress(ApiRefused):
            self.client.sign_up_admin(EMAIL, PASSWORD, NAME)
        self.client.login(EMAIL, PASSWORD)
        return self.client

    def queues(self) -> dict[str, Queue]:
        return {queue.name: queue for queue in self.client.queues()}

    def failed(self) -> dict[str, int]:
        return {name: queue.failed for name, queue in self.queues().items() if queue.failed}

    def failed_jobs(self, queue: str) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = self.client.call("GET", f"/queues/{queue}/jobs", params={"status": "failed"})
        return jobs

    def is_idle(self) -> bool:
        """Nothing waits, runs or is put off. False while the API cannot be asked."""
        with contextlib.suppress(ApiRefused, ServerUnreachable):
            return all(queue.to_do == 0 for queue in self.client.queues())
        return False

    def wait_until_idle(self, timeout_s: float) -> None:
        wait_until(self.is_idle, timeout_s, "queues to be empty", self.still_runs)

    def asset(self, asset_id: str) -> dict[str, Any]:
        asset: dict[str, Any] = self.client.call("GET", f"/assets/{asset_id}")
        return asset

    def count(self) -> int:
        """Photos that the signed-in person has."""
        return int(self.client.call("GET", "/assets/statistics")["images"])


@contextlib.contextmanager
def real_stack(
    port: int,
    folder: Path,
    prefix: tuple[str, ...] = (),
    stop_by: signal.Signals = signal.SIGTERM,
    host: str = "127.0.0.1",
    **environ: str,
) -> Iterator[RealStack]:
    """A running server. At the end it is stopped, and the stop is judged: exit code 0, nothing left."""
    stack = prepared_stack(port, folder, prefix, host, **environ)
    try:
        stack.start()
        yield stack
        assert stack.command is not None
        if stack.command.poll() is None:
            code, _ = stack.stop(stop_by)
            assert code == 0, stack.log[-3000:]
        assert stack.processes() == {}
    except BaseException:
        print(stack.log[-6000:])
        raise
    finally:
        discard(stack)


def prepared_stack(
    port: int, folder: Path, prefix: tuple[str, ...] = (), host: str = "127.0.0.1", **environ: str
) -> RealStack:
    """A server that does not run yet; `host` is where this process reaches it. Nothing of this process' own settings
    reaches it. Machine learning is off unless `environ` says otherwise: it takes more time than all else."""
    state_dir = Path("/tmp") / f"he-{secrets.token_hex(4)}"
    for name in ("media", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    own = {
        "HOME": str(folder / "home"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "IMMICH_PORT": str(port),
        "IMMICH_HOST": "127.0.0.1",
        "IMMICH_MEDIA_LOCATION": str(folder / "media"),
        "HELIOSTAT_STATE_DIR": str(state_dir),
        "HELIOSTAT_DASHBOARD": "false",
        "IMMICH_MACHINE_LEARNING_ENABLED": "false",
    }
    return RealStack(port, folder, state_dir, inherited | own | environ, prefix, host)


def discard(stack: RealStack) -> None:
    """Whatever happened, leave nothing behind."""
    stack.client.__exit__(None, None, None)
    if stack.command is not None and stack.command.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            stack.stop()
        stack.command.kill()
        stack.command.wait()
    for pid in stack.processes():
        kill(pid)
    shutil.rmtree(stack.state_dir, ignore_errors=True)


def marked_processes(state_dir: Path) -> dict[int, str]:
    """Living processes with the mark of the stack that keeps its state here: id → title."""
    mark = f"HELIOSTAT_STACK={state_dir}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if mark not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                continue
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            found[int(folder.name)] = title
    return found


def rows(stack: RealStack, query: str, **parameters: object) -> list[tuple[Any, ...]]:
    """What the server's database says, whichever it is."""
    database = Database(read_settings(stack.environ).database_url)
    try:
        with database.reader() as session:
            return [tuple(row) for row in session.execute(text(query), parameters)]
    finally:
        database.close()


def kill(pid: int) -> None:
    """SIGKILL; one that is gone already is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until(
    true: Callable[[], bool],
    timeout_s: float,
    what: str,
    check: Callable[[], None] = lambda: None,
    every_s: float = 0.1,
) -> float:
    """Seconds until `true()`. `check` is called in between and may give up by raising."""
    started_s = time.monotonic()
    while not true():
        check()
        assert time.monotonic() - started_s < timeout_s, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(every_s)
    return time.monotonic() - started_s


def describe(stack: RealStack) -> str:
    """For a failed assertion: where every queue stands, and why jobs failed."""
    with contextlib.suppress(ApiRefused, ServerUnreachable):
        failed = {name: stack.failed_jobs(name) for name in stack.failed()}
        busy = {name: queue for name, queue in stack.queues().items() if queue.to_do}
        return f"busy: {busy}\nfailed: {json.dumps(failed, indent=1)}"
    return f"the API does not answer:\n{stack.log[-3000:]}"
