"""Whose request it is, with proxies in between that may lie."""

import pytest
from starlette.requests import Request

from cluster.settings import read_settings
from serve_app.client_address import client_address

TRUSTED = read_settings({}).trusted_proxies
STRANGER, OTHER = "203.0.113.9", "198.51.100.7"


def request(peer: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": (peer, 5000) if peer else None})


@pytest.mark.parametrize(
    ("peer", "forwarded", "whose"),
    [
        (STRANGER, (), STRANGER),
        ("127.0.0.1", (STRANGER,), STRANGER),
        ("127.0.0.1", (f"{STRANGER}, 192.168.1.5",), STRANGER),
        ("127.0.0.1", (STRANGER, "10.0.0.3"), STRANGER),  # a header of its own for each proxy
        ("::ffff:127.0.0.1", (STRANGER,), STRANGER),
        ("::1", ("2001:db8::7",), "2001:db8::7"),
        (STRANGER, ("127.0.0.1",), STRANGER),  # nobody that we trust says so
        ("127.0.0.1", (f"127.0.0.1, {OTHER}, {STRANGER}",), STRANGER),
        ("127.0.0.1", (f"{OTHER}, rubbish, 10.0.0.3",), "10.0.0.3"),
        ("127.0.0.1", ("192.168.1.5",), "192.168.1.5"),
        ("127.0.0.1", (), "127.0.0.1"),
        (None, (STRANGER,), "unknown"),
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxy(peer: str | None, forwarded: tuple[str, ...], whose: str) -> None:
    assert client_address(request(peer, *forwarded), TRUSTED) == whose


def test_trusted_proxies_can_be_named() -> None:
    settings = read_settings({"IMMICH_TRUSTED_PROXIES": f"{OTHER}/32"})
    assert client_address(request(OTHER, STRANGER), settings.trusted_proxies) == STRANGER
    assert client_address(request("10.0.0.3", STRANGER), settings.trusted_proxies) == "10.0.0.3"
