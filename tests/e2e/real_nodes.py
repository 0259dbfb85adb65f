"""Further machines of a real server, on this one: `heliostat node` in processes of its own, each with its own state
folder, HOME, ports and address on loopback; or in a network of its own (`private_network.py`).

    with real_stack(3451, folder, **FIRST_MACHINE) as stack, real_node(stack, "enc", IMMICH_WORKERS_INCLUDE="encoding"):
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.launch import head_address
from cluster.settings import RAY_PORTS_PER_STACK, Settings, read_settings
from tests.e2e.real_stack import Foreground, RealStack, kill, wait_until

JOIN_S = 120.0
FIRST_MACHINE = {"HELIOSTAT_RAY_HOST": "127.0.0.2", "HELIOSTAT_NODE_NAME": "first"}
"""What `up` needs so that nodes on this machine can join: not 127.0.0.1, at which Ray takes nobody else."""


@dataclass
class RealNode(Foreground):
    """One further machine. `command` is the foreground process, `folder` holds its home and log; the media folder is
    the stack's."""

    name: str
    head: str
    folder: Path
    state_dir: Path
    environ: Mapping[str, str]
    prefix: tuple[str, ...] = ()
    command: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        """Run the command; returns when it has joined."""
        joined_before = self.times_joined
        self.run("node", "--address", self.head)
        if wait:
            wait_until(lambda: self.times_joined > joined_before, JOIN_S, f"{self.name} to join", self.still_runs)

    @property
    def times_joined(self) -> int:
        """How often it has joined until now, the first time included."""
        return self.log.count(f" as {self.name} after ")

    def raylet(self) -> int:
        """The process id of its raylet."""
        return next(pid for pid, title in self.processes().items() if "raylet/raylet" in title.split(" ")[0])

    def kill_everything(self) -> None:
        """As if its power were cut: nothing of it gets to say goodbye."""
        if self.command is not None:
            self.command.kill()
            self.command.wait()
        for pid in self.processes():
            kill(pid)

    def freeze(self, number: signal.Signals = signal.SIGSTOP) -> None:
        """Stop all its processes where they are; SIGCONT lets them go on."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def prepared_node(
    stack: RealStack, name: str, prefix: tuple[str, ...] = (), head: str = "", **environ: str
) -> RealNode:
    """A node that does not run yet. It is told nothing of the stack's database."""
    folder = stack.folder / f"node-{name}"
    (folder / "home").mkdir(parents=True)
    state_dir = Path("/tmp") / f"hn-{secrets.token_hex(4)}"
    told = ("PATH", "LANG", "TZ", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "IMMICH_MEDIA_LOCATION")
    inherited = {variable: stack.environ[variable] for variable in told if variable in stack.environ}
    own = {
        "HOME": str(folder / "home"),
        "HELIOSTAT_NODE_NAME": name,
        "HELIOSTAT_STATE_DIR": str(state_dir),
        "HELIOSTAT_RAY_PORT_BASE": str(free_port_base()),
        "HELIOSTAT_TOKEN_FILE": str(settings_of(stack).token_file),
        "HELIOSTAT_NUM_CPUS": "1",
        "IMMICH_WORKERS_EXCLUDE": "api",
    }
    if "IMMICH_WORKERS_INCLUDE" in environ:
        del own["IMMICH_WORKERS_EXCLUDE"]
    return RealNode(name, head or head_of(stack), folder, state_dir, inherited | own | environ, prefix)


@contextlib.contextmanager
def real_node(
    stack: RealStack, name: str, prefix: tuple[str, ...] = (), head: str = "", **environ: str
) -> Iterator[RealNode]:
    """A node that has joined. At the end it is stopped, and the stop is judged: exit code 0, nothing left."""
    node = prepared_node(stack, name, prefix, head, **environ)
    try:
        node.start()
        yield node
        if node.command is not None and node.command.poll() is None:
            code, _ = node.stop()
            assert code == 0, node.log[-3000:]
        assert node.processes() == {}
    except BaseException:
        print(f"--- {name}\n{node.log[-4000:]}")
        raise
    finally:
        discard_node(node)


def discard_node(node: RealNode) -> None:
    """Whatever happened, leave nothing behind."""
    node.freeze(signal.SIGCONT)
    node.kill_everything()
    shutil.rmtree(node.state_dir, ignore_errors=True)


def settings_of(stack: RealStack) -> Settings:
    return read_settings(stack.environ)


def head_of(stack: RealStack) -> str:
    """Where its nodes join."""
    return head_address(settings_of(stack))


def free_port_base() -> int:
    """The first of as many free ports in a row as a node takes, where no test has its server."""
    while True:
        base = 10_000 + RAY_PORTS_PER_STACK * secrets.randbelow(700)
        try:
            for port in range(base, base + RAY_PORTS_PER_STACK):
                with socket.socket() as listener:
                    listener.bind(("", port))
        except OSError:
            continue
        return base
