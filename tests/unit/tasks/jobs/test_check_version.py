"""The version check asks the address it is given, here a server of our own, and nobody else."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cluster.queue.job import Failed
from tasks.jobs.check_version import VersionInput, newer_in, version_on_wire, work
from tasks.tools import Tools
from tests.api_stack import free_port


class ReleaseServer(HTTPServer):
    """Says `answer` with `status`."""

    status = 200
    answer = b""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ReleaseServer)
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ReleaseServer]:
    with ReleaseServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: ReleaseServer, answer: object, status: int = 200) -> str | Failed:
    server.answer, server.status = answer if isinstance(answer, bytes) else json.dumps(answer).encode(), status
    return work(VersionInput(f"http://127.0.0.1:{server.server_port}/latest"), Tools())


def test_the_release_is_what_the_server_says(server: ReleaseServer) -> None:
    assert ask(server, {"version": "v1.2.3"}) == "v1.2.3"
    assert ask(server, {"tag_name": "1.2.3-rc.1", "draft": False}) == "1.2.3-rc.1"


@pytest.mark.parametrize("answer", [b"<html>", b"\xff", [], {"version": 3}, {"version": "newest"}, {}, "1.2.3"])
def test_another_answer_is_a_failure_that_says_so(server: ReleaseServer, answer: object) -> None:
    failed = ask(server, answer)
    assert isinstance(failed, Failed)
    assert "/latest" in failed.reason


def test_an_error_or_nobody_there_is_a_failure(server: ReleaseServer) -> None:
    assert isinstance(ask(server, {"version": "1.2.3"}, 500), Failed)
    assert isinstance(work(VersionInput(f"http://127.0.0.1:{free_port()}/"), Tools()), Failed)


@pytest.mark.parametrize(
    ("release", "own", "candidates", "part"),
    [
        ("v2.0.0", "1.9.9", False, "major"),
        ("1.2.0", "1.1.5", False, "minor"),
        ("1.1.6", "1.1.5", False, "patch"),
        ("1.1.5", "1.1.5", False, None),
        ("1.1.4", "1.1.5", False, None),
        ("0.9.9", "1.1.5", False, None),
        ("1.2.0-rc.1", "1.1.5", False, None),
        ("1.2.0-rc.1", "1.1.5", True, "minor"),
        ("1.10.0", "1.9.0", False, "minor"),
        ("1.1.5", "unknown", False, None),
    ],
)
def test_newer_is_what_the_numbers_say(release: str, own: str, candidates: bool, part: str | None) -> None:
    assert newer_in(release, own, candidates=candidates) == part


def test_clients_get_numbers() -> None:
    assert version_on_wire("v1.20.3-rc.1") == {"major": 1, "minor": 20, "patch": 3}
