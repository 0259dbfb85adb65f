"""A network of its own on this machine: a bridge, and for each machine a network namespace with an address of its own,
which can be cut off and healed. Needs root and `ip`; without them the calling test is skipped with the reason.

    with private_network() as network:
        head, worker = network.machine("head"), network.machine("worker")
        subprocess.run([*head.prefix, "program"])      # runs there; this process reaches it at head.address
        worker.cut()                                   # packets vanish both ways, no connection hears of it
        worker.heal()
"""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.programs import program, skip_or_fail

NETWORK = "10.213.{}.{}"
HERE = 254


@dataclass(frozen=True)
class Machine:
    """One namespace. `prefix` before a command runs it there; `address` is its own."""

    namespace: str
    address: str
    bridge: str
    link: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return "ip", "netns", "exec", self.namespace

    def cut(self) -> None:
        """Packets from and to it vanish. Its own programs still reach each other."""
        _ip("link", "set", self.link, "nomaster")

    def heal(self) -> None:
        _ip("link", "set", self.link, "master", self.bridge)


@dataclass
class PrivateNetwork:
    """`address` is that of this process, on the bridge."""

    mark: str
    number: int
    machines: list[Machine] = field(default_factory=list)

    @property
    def bridge(self) -> str:
        return f"hb{self.mark}"

    @property
    def address(self) -> str:
        return NETWORK.format(self.number, HERE)

    def machine(self, name: str) -> Machine:
        """A further machine; `name` is for people."""
        position = len(self.machines) + 1
        machine = Machine(
            f"h{self.mark}-{name}", NETWORK.format(self.number, position), self.bridge, f"hv{self.mark}{position}"
        )
        self.machines.append(machine)
        _ip("netns", "add", machine.namespace)
        _ip("link", "add", machine.link, "type", "veth", "peer", "name", "eth0", "netns", machine.namespace)
        _ip("link", "set", machine.link, "master", self.bridge, "up")
        inside = ("-n", machine.namespace)
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        _ip(*inside, "link", "set", "eth0", "up")
        return machine

    def close(self) -> None:
        for machine in self.machines:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", machine.namespace)  # and with it both ends of its link
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "del", self.bridge)


@contextlib.contextmanager
def private_network() -> Iterator[PrivateNetwork]:
    """A bridge without machines; gone at the end with all that was made."""
    program("ip")
    if os.geteuid() != 0:
        skip_or_fail("network namespaces need root")
    network = PrivateNetwork(secrets.token_hex(3), secrets.randbelow(250))
    try:
        try:
            _ip("link", "add", network.bridge, "type", "bridge")
            _ip("link", "set", network.bridge, "up")
            _ip("addr", "add", f"{network.address}/24", "dev", network.bridge)
            network.machine("probe")
        except subprocess.CalledProcessError as refused:
            skip_or_fail(f"this system gives no network namespaces: {refused.stderr.strip()}")
        yield network
    finally:
        network.close()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
