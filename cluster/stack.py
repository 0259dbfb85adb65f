"""The processes of one stack on one machine: started, watched, and ended by what they are, never by `ray stop`, which
would end every Ray on the machine. A process belongs to the stack when its environment carries the stack's mark.
"""

import fcntl
import logging
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from cluster.errors import HeliostatError
from cluster.launch import (
    STACK_MARK,
    head_command,
    proxy_command,
    proxy_folder,
    ray_environment,
    ray_temp_dir,
)
from cluster.settings import Settings

log = logging.getLogger(__name__)

START_TIMEOUT_S = 90.0
TOKEN_LENGTH = 32
GENTLE_S = 2.0
GONE_S = 15.0
"""A killed process is gone at once, unless the machine is busy giving back its memory."""
VITAL_OF_HEAD, VITAL_OF_NODE = ("gcs_server", "raylet"), ("raylet",)
"""Without these there is no Ray on the first machine, and on a further one."""
TITLE_OF_RAY = "ray::"
"""How the name begins that its agents and workers give themselves."""
REASON_LENGTH = 300
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MONITOR = "autoscaler/v2/monitor.py"
"""How the command line of Ray's autoscaler names its program."""
MONITOR_AGAIN_S = 30.0
"""From one start of it to the next, at least: one that cannot run would else take a core."""


@dataclass(slots=True)
class _Monitor:
    """Ray's autoscaler as `ray start` started it, with its environment, and the process that runs now."""

    command: list[str]
    environ: dict[str, str]
    process: psutil.Process
    started_s: float


class StackRunning(HeliostatError):
    """Another command runs this stack already."""


class StackBroken(HeliostatError):
    """Ray did not start; the message carries what it said."""


class RayNotStarted(StackBroken):
    """On a further machine; another try may go well, since the head may have started anew meanwhile."""


class Stack:
    """Ray on this machine for one media root and port. Use one per state folder: `lock` sees to it. `head`: this
    is the cluster's first machine."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], head: bool = True) -> None:
        self.settings = settings
        self._head, self._vital_names = head, VITAL_OF_HEAD if head else VITAL_OF_NODE
        self.environment = ray_environment(settings, environ)
        self._mark = f"{STACK_MARK}={settings.state_dir}".encode()
        self._logs = f"{os.path.realpath(ray_temp_dir(settings))}/"
        self._locks: list[IO[str]] = []
        self._vital: list[psutil.Process] = []
        self._monitor: _Monitor | None = None

    def lock(self) -> None:
        """Take the state folder, and on the first machine the database where it is a file. Raises StackRunning when
        another process has either."""
        settings, folder = self.settings, self.settings.state_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise StackBroken(f"{folder} belongs to somebody else: set HELIOSTAT_STATE_DIR to a short path of your own")
        folder.chmod(0o700)
        self._take(folder / "lock", self._of_first_machine if self._head else self._of_further_machine)
        url = settings.database_url if self._head else ""
        database = Path(url.removeprefix("sqlite:///"))
        if url.startswith("sqlite:") and database.parent.is_dir():
            self._take(
                database.with_name(f"{database.name}.lock"),
                f"serves {database} already, on another port or with another state folder: stop it, or choose another "
                "IMMICH_MEDIA_LOCATION",
            )

    @property
    def _of_first_machine(self) -> str:
        return (
            f"runs on port {self.settings.port} with {self.settings.media_root} already: stop it, or choose another "
            "IMMICH_PORT and IMMICH_MEDIA_LOCATION"
        )

    @property
    def _of_further_machine(self) -> str:
        """Mostly the first machine's own command: it works already, without a node beside it."""
        return (
            f"runs a stack of {self.settings.state_dir} on this machine already, and no node is needed beside it: run "
            "this on another machine, or give it its own HELIOSTAT_STATE_DIR, HELIOSTAT_RAY_PORT_BASE, "
            "HELIOSTAT_NODE_NAME and IMMICH_WORKERS_INCLUDE=microservices"
        )

    def _take(self, path: Path, doing: str) -> None:
        handle = path.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            owner = handle.read().strip()
            handle.close()
            self.unlock()
            raise StackRunning(f"process {owner} {doing}") from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        self._locks.append(handle)

    def unlock(self) -> None:
        """Let another process have them."""
        while self._locks:
            self._locks.pop().close()

    def start_ray(self) -> None:
        """End what an earlier run left, then start the head. Raises StackBroken with Ray's own words."""
        self.prepare()
        self.launch()

    def prepare(self) -> None:
        """End what an earlier run left, and make what Ray needs to find. Raises StackBroken."""
        self.end_everything()
        self._write_proxy_command()
        self._make_token()
        self._forget_old_sessions()

    def prepare_node(self) -> None:
        """The same for a machine that joins a head, whose secret must be here. Raises StackBroken."""
        self.end_everything()
        self._write_proxy_command()
        if not self.settings.token_file.exists():
            raise StackBroken(
                f"no token in {self.settings.token_file}: copy the file that `heliostat up` shows on the first machine "
                "there, readable by its owner alone, or name another place in HELIOSTAT_TOKEN_FILE"
            )
        self._check_token("copy the file that `heliostat up` shows on the first machine to here again")
        self._forget_old_sessions()

    def launch(self, command: Sequence[str] = ()) -> None:
        """Start the head, or run another `ray start`. Raises StackBroken with Ray's own words."""
        try:
            done = subprocess.run(
                command or head_command(self.settings),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=START_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            self.end_everything()
            raise self._not_started(f" within {START_TIMEOUT_S:.0f} s") from None
        if done.returncode != 0:
            self.end_everything()
            words = done.stdout + done.stderr
            raise self._not_started(f":\n{words[-2000:]}" if self._head else f": {_reason(words)}")
        started = self.processes()
        self._vital = [process for process in started if _program(process) in self._vital_names]
        self._monitor = next(filter(None, map(_monitor_in, started)), None)

    def _not_started(self, why: str) -> StackBroken:
        if self._head:
            return StackBroken(f"Ray did not start{why}")
        return RayNotStarted(f"Ray did not start here{why} (its logs are in {ray_temp_dir(self.settings)})")

    def processes(self) -> list[psutil.Process]:
        """Every living process with this stack's mark, and what descends from one: Ray's agents write their title over
        their environment. This process and its own parents are left out."""
        mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        everyone = {process.pid: process for process in psutil.process_iter() if process.pid not in mine}
        marked = {pid for pid in everyone if self._is_ours(pid)}
        children: dict[int, list[int]] = {}
        for pid, process in everyone.items():
            with suppress(psutil.Error):
                children.setdefault(process.ppid(), []).append(pid)
        found, to_follow = set(marked), list(marked)
        while to_follow:
            born = [pid for pid in children.get(to_follow.pop(), []) if pid not in found]
            found.update(born)
            to_follow.extend(born)
        return [everyone[pid] for pid in sorted(found) if _lives(everyone[pid])]

    def dead_parts(self) -> list[str]:
        """Vital programs of Ray that do not run any more."""
        living = {_program(process) for process in self._vital if process.is_running()}
        return [name for name in self._vital_names if name not in living]

    def keep_monitor(self) -> None:
        """Start Ray's autoscaler again where it has died: nobody in Ray does, and no other part needs to start anew."""
        one = self._monitor
        if one is None or _lives(one.process) or time.monotonic() < one.started_s + MONITOR_AGAIN_S:
            return
        log.error("Ray's autoscaler died: starting it again; monitor.log in Ray's logs may say why")
        one.started_s = time.monotonic()
        script = ["sh", "-c", '"$@" >/dev/null 2>&1 & echo $!', "sh", *one.command]
        try:
            done = subprocess.run(script, env=one.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
            one.process = psutil.Process(int(done.stdout))
        except (
            OSError,
            subprocess.SubprocessError,
            ValueError,
        ) as error:  # a machine without memory left starts nothing
            log.error("Ray's autoscaler could not be started: %s", error)
        except psutil.NoSuchProcess:
            pass  # dead already: the next look is not the last

    def end_everything(self) -> int:
        """End all processes of the stack, gently first; returns how many there were."""
        ours = self.processes()
        _signal(ours, signal.SIGTERM)
        left = {*self._wait_for(ours, GENTLE_S), *self.processes()}
        until_s = time.monotonic() + GONE_S
        while left and time.monotonic() < until_s:
            _signal(left, signal.SIGKILL)
            time.sleep(0.05)
            left = {*filter(_lives, left), *self.processes()}  # a dying raylet may have started one more
        return len(ours)

    def _wait_for(self, processes: Sequence[psutil.Process], timeout_s: float) -> list[psutil.Process]:
        """Those that still run after this time. psutil would wait for zombies too."""
        until_s = time.monotonic() + timeout_s
        while (left := [one for one in processes if _lives(one)]) and time.monotonic() < until_s:
            time.sleep(0.02)
        return left

    def _is_ours(self, pid: int) -> bool:
        """By the mark; one that lost it, and whose raylet is dead, by the logs of this stack that it writes: for some
        seconds Ray's agents stay so, and have their ports."""
        process = Path(f"/proc/{pid}")
        try:
            words = (process / "environ").read_bytes().split(b"\0")
            if self._mark in words:
                return True
            if any(word.startswith(f"{STACK_MARK}=".encode()) for word in words):
                return False
            if not (process / "comm").read_text().startswith(TITLE_OF_RAY):
                return False
            return any(_target(file).startswith(self._logs) for file in (process / "fd").iterdir())
        except OSError:
            return False

    def _write_proxy_command(self) -> None:
        folder = proxy_folder(self.settings)
        folder.mkdir(exist_ok=True)
        command = folder / "haproxy"
        command.write_text(proxy_command())
        command.chmod(0o700)

    def _make_token(self) -> None:
        """The cluster's secret, readable by its owner alone. It stays the same, since other machines have it too."""
        path = self.settings.token_file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            self._check_token("delete it, start this anew, and copy it to the cluster's other machines again")
        except OSError as error:
            raise StackBroken(f"the cluster's secret cannot be written: {error}. See HELIOSTAT_TOKEN_FILE") from None
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))

    def _check_token(self, advice: str) -> None:
        """`advice`: what to do where there is no secret in it."""
        path = self.settings.token_file
        try:
            text, mode = path.read_text().strip(), path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise StackBroken(f"the token in {path} cannot be read: {error}") from None
        if mode & 0o077:
            raise StackBroken(f"the token in {path} can be read by others than its owner: chmod 600 {path}")
        if len(text) < TOKEN_LENGTH:
            raise StackBroken(
                f"what is in {path} is no token as the first machine writes it, which has at least {TOKEN_LENGTH} "
                f"characters: {advice}"
            )

    def _forget_old_sessions(self) -> None:
        """Ray keeps the logs of every start; the last three are enough."""
        temp = ray_temp_dir(self.settings)
        if not temp.exists():
            return
        sessions = sorted(path for path in temp.glob("session_*") if not path.is_symlink())
        for old in sessions[:-2]:
            subprocess.run(["rm", "-rf", "--", str(old)], check=False)
        # where a node on this machine still looks for the head that died, Ray takes that for the head itself
        (temp / "ray_current_cluster").unlink(missing_ok=True)


def _lives(process: psutil.Process) -> bool:
    """A zombie does not: where nobody reaps (a container without an init) it stays for ever."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _target(link: Path) -> str:
    """Where it leads; nowhere once it is closed."""
    with suppress(OSError):
        return str(link.readlink())
    return ""


def _reason(words: str) -> str:
    """What Ray said last, which is the reason where it is a traceback."""
    lines = [line for line in map(str.strip, COLOUR.sub("", words).splitlines()) if line]
    return lines[-1][-REASON_LENGTH:] if lines else "it did not say why"


def _program(process: psutil.Process) -> str:
    try:
        return process.name() if _lives(process) else ""
    except psutil.Error:
        return ""


def _monitor_in(process: psutil.Process) -> _Monitor | None:
    """Where this process is Ray's autoscaler."""
    try:
        command = process.cmdline()
        if not any(word.endswith(MONITOR) for word in command):
            return None
        return _Monitor(command, process.environ(), process, time.monotonic())
    except psutil.Error:
        return None


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
