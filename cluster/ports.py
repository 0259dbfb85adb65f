"""Can what is about to be started have its ports? Asked by listening on each for a moment, as its owner will: so what
waits after an end (TIME_WAIT) is in nobody's way, and a program that shares its port with others is.
"""

import errno
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from cluster.errors import SettingsInvalid
from cluster.launch import LOOPBACK
from cluster.settings import RAY_PORTS_PER_STACK, RayPort, Settings

IMMICH_PORT, IMMICH_HOST, RAY_PORT_BASE = "IMMICH_PORT", "IMMICH_HOST", "HELIOSTAT_RAY_PORT_BASE"
EVERY_IPV4 = "0.0.0.0"  # noqa: S104 - what HAProxy makes of both addresses that stand for all
PATIENCE_S = 1.0
"""A killed process may hold its ports for a moment longer."""
AGAIN_S = 0.05

OF_EVERY_NODE = (
    RayPort.DASHBOARD_AGENT,
    RayPort.DASHBOARD_AGENT_GRPC,
    RayPort.RUNTIME_ENV_AGENT,
    RayPort.NODE_MANAGER,
    RayPort.OBJECT_MANAGER,
    RayPort.METRICS,
)
OF_THE_HEAD = (
    RayPort.HEAD,
    *OF_EVERY_NODE,
    RayPort.HAPROXY_METRICS,
    RayPort.HAPROXY_STATS,
    RayPort.FALLBACK_PROXY,
)
"""Replicas look for a free one among theirs."""


@dataclass(frozen=True, slots=True)
class _Refused:
    host: str
    port: int
    error: OSError


def refuse_taken_ports_of_head(settings: Settings) -> None:
    """What the first machine serves on, and its Ray's. Raises SettingsInvalid with all that cannot be had."""
    ports = list(OF_THE_HEAD)
    ports += [RayPort.DASHBOARD] if settings.dashboard else []
    ports += [RayPort.AUTOSCALER_METRICS] if settings.autoscaling_config else []
    host = EVERY_IPV4 if settings.host == "::" else settings.host
    _refuse([*_serving(host, settings.port), *_of_ray(settings, settings.ray_host or LOOPBACK, ports)])


def refuse_taken_ports_of_node(settings: Settings, host: str, serves: bool) -> None:
    """Those of a further machine, whose own address is `host`. `serves`: an API is to be started here, too. Raises
    SettingsInvalid."""
    api = _serving(settings.host, settings.port) if serves else []
    _refuse([*api, *_of_ray(settings, host, OF_EVERY_NODE)])


def _refuse(issues: list[tuple[str, str]]) -> None:
    if issues:
        raise SettingsInvalid(issues)


def _serving(host: str, port: int) -> list[tuple[str, str]]:
    refused = _refused([(host, port)])
    if not refused:
        return []
    error = refused[0].error
    if isinstance(error, socket.gaierror):
        return [(IMMICH_HOST, f"{host} is not known: set it to an address of this machine, or leave it out")]
    match error.errno:
        case errno.EADDRINUSE:
            return [(IMMICH_PORT, f"port {port} on {host} is taken by {_owner(port)}: choose another port, or end it")]
        case errno.EADDRNOTAVAIL:
            return [(IMMICH_HOST, f"{host} is no address of this machine: set it to one, or leave it out")]
    return []  # who is to listen there knows better


def _of_ray(settings: Settings, host: str, ports: Iterable[RayPort]) -> list[tuple[str, str]]:
    """At the address for others, and on this machine's own, where some of Ray's parts listen in any case."""
    names = {settings.ray_port(port): port.name.lower().replace("_", " ") for port in ports}
    refused = _refused([(address, port) for port in sorted(names) for address in dict.fromkeys((host, LOOPBACK))])
    taken = [one for one in refused if one.error.errno == errno.EADDRINUSE]
    if not taken:
        return []
    first = taken[0]
    more = len({one.port for one in taken}) - 1
    message = (
        f"Ray's port {first.port} ({names[first.port]}) on {first.host} is taken by {_owner(first.port)}"
        f"{f', and so are {more} more' if more else ''}: set it to the first of {RAY_PORTS_PER_STACK} free ports in a "
        "row, or end what runs there"
    )
    return [(RAY_PORT_BASE, message)]


def _refused(wanted: Iterable[tuple[str, int]]) -> list[_Refused]:
    """Those that cannot be had, also after a moment."""
    left, until_s = list(wanted), time.monotonic() + PATIENCE_S
    while True:
        refused = [_Refused(host, port, error) for host, port in left if (error := _error(host, port))]
        if not any(one.error.errno == errno.EADDRINUSE for one in refused) or time.monotonic() > until_s:
            return refused
        left = [(one.host, one.port) for one in refused]
        time.sleep(AGAIN_S)


def _error(host: str, port: int) -> OSError | None:
    """Why nobody can listen there now."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            trial.bind(address)
            trial.listen(1)
    except OSError as error:
        return error
    return None


def _owner(port: int) -> str:
    """Who listens there, as far as this user may know."""
    with suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN and one.pid:
                return f"process {one.pid} ({psutil.Process(one.pid).name()})"
    return "another program"
