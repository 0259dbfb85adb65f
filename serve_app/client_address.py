"""Whose request it is, behind proxies: HAProxy on this machine always, others that `IMMICH_TRUSTED_PROXIES` names."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.requests import HTTPConnection

from cluster.settings import Network


def client_address(request: HTTPConnection, trusted: Iterable[Network]) -> str:
    """The nearest address that is no trusted proxy. Each proxy appends whom it heard to `X-Forwarded-For`, so what
    stands left of an address that we do not trust, or of no address at all, may be made up."""
    networks = tuple(trusted)
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    nearest = "unknown"
    for written in [request.client.host if request.client else "", *reversed(forwarded)]:
        address = _address(written.strip())
        if address is None:
            break
        nearest = str(address)
        if not any(address in network for network in networks):
            break
    return nearest


def _address(written: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(written)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
