"""Ports that are taken are told before anything is started; the sockets are real."""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from cluster import ports
from cluster.errors import SettingsInvalid
from cluster.ports import _error, refuse_taken_ports_of_head, refuse_taken_ports_of_node
from cluster.settings import RAY_PORTS_PER_STACK, RayPort, Settings, read_settings


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PATIENCE_S", 0.1)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def settings_of(port: int, base: int = 0, **environ: str) -> Settings:
    own = {"IMMICH_PORT": str(port), "HELIOSTAT_RAY_PORT_BASE": str(base or free_base())}
    return read_settings({"IMMICH_MEDIA_LOCATION": "/m", **own, **environ})


def free_base() -> int:
    """Below the ports that connections take for themselves."""
    while True:
        base = random.randrange(10_000, 32_000)
        if not any(_error("0.0.0.0", base + distance) for distance in range(RAY_PORTS_PER_STACK)):
            return base


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "127.0.0.1", "localhost"])
def test_a_port_of_the_api_that_is_taken_is_named_with_who_has_it(listener: socket.socket, host: str) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(SettingsInvalid) as refused:
        refuse_taken_ports_of_head(settings_of(port, IMMICH_HOST=host))
    ((variable, message),) = refused.value.issues
    assert variable == "IMMICH_PORT"
    assert f"port {port} on " in message
    assert f"is taken by process {os.getpid()} (" in message
    assert "choose another port" in message


def test_one_that_shares_its_port_with_others_has_it() -> None:
    """HAProxy shares its own, too: then each would get some of the requests."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as made, pytest.raises(SettingsInvalid):
        refuse_taken_ports_of_head(settings_of(made.getsockname()[1]))


@pytest.mark.parametrize("role", [RayPort.HEAD, RayPort.NODE_MANAGER, RayPort.DASHBOARD, RayPort.HAPROXY_STATS])
def test_a_port_of_ray_that_is_taken_is_named_with_what_to_set(role: RayPort) -> None:
    base = free_base()
    with socket.create_server(("127.0.0.1", base + role)), pytest.raises(SettingsInvalid) as refused:
        refuse_taken_ports_of_head(settings_of(free_port(), base))
    ((variable, message),) = refused.value.issues
    assert variable == "HELIOSTAT_RAY_PORT_BASE"
    assert message.startswith(f"Ray's port {base + role} ({role.name.lower().replace('_', ' ')}) on 127.0.0.1 is taken")
    assert "set it to the first of 32 free ports" in message


def test_of_a_node_only_its_own_ports_count(listener: socket.socket) -> None:
    port, base = listener.getsockname()[1], free_base()
    with socket.create_server(("127.0.0.1", base + RayPort.HEAD)):
        refuse_taken_ports_of_node(settings_of(free_port(), base), "127.0.0.1", serves=True)
    refuse_taken_ports_of_node(settings_of(port), "127.0.0.1", serves=False)
    with pytest.raises(SettingsInvalid, match="IMMICH_PORT"):
        refuse_taken_ports_of_node(settings_of(port), "127.0.0.1", serves=True)
    with (
        socket.create_server(("127.0.0.1", base + RayPort.OBJECT_MANAGER)),
        pytest.raises(SettingsInvalid, match="HELIOSTAT_RAY_PORT_BASE"),
    ):
        refuse_taken_ports_of_node(settings_of(free_port(), base), "127.0.0.2", serves=False)


def test_ports_are_free_right_after_a_server_ended_although_its_connections_wait(listener: socket.socket) -> None:
    address = listener.getsockname()
    with closing(socket.create_connection(address)) as client:
        accepted, _ = listener.accept()
        accepted.close()  # who closes first is left with TIME_WAIT
        client.recv(1)
    listener.close()
    refuse_taken_ports_of_head(settings_of(address[1]))


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(SettingsInvalid, match=r"IMMICH_HOST.*203\.0\.113\.9 is no address of this machine"):
        refuse_taken_ports_of_head(settings_of(free_port(), IMMICH_HOST="203.0.113.9"))
