"""What the official Socket.IO client hears."""

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.integration.clients.working_server import working_server
from tests.official_clients import run_script

ADMIN = {"email": "ada@example.org", "password": "correct horse", "name": "Ada"}


def test_the_official_socket_client_hears_what_happens(
    database_url: str, tmp_path: Path, photos: Path, report: Callable[[str], None]
) -> None:
    with working_server(database_url, tmp_path / "media") as url:
        assert httpx.post(f"{url}/api/auth/admin-sign-up", json=ADMIN).status_code == 201
        ran = run_script("live.mjs", tmp_path, SERVER=url, PHOTOS=str(photos))
    assert ran.code == 0, ran.output
    for line in ran.output.splitlines():
        report(f"socket.io-client: {line}")
