"""What makes the supervisor start everything anew, and what does not. The server that it asks is real, but not ours."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster import ports
from cluster.errors import SettingsInvalid
from cluster.settings import read_settings
from serve_app import up
from serve_app.up import Supervisor

SILENT_S, SOON_S = 0.3, 5.0
WELL = {"/api/server/ping": (200, {"res": "pong"}), "/api/health": (200, {"controller": True})}
WITHOUT_CONTROLLER = WELL | {"/api/health": (200, {"controller": False})}
WITHOUT_DATABASE = WELL | {"/api/health": (503, {"message": "The database does not answer"})}
WITHOUT_REPLICA = dict.fromkeys(WELL, (503, {}))


class Server:
    """Answers as `answers` says at the moment: path → status and body."""

    def __init__(self) -> None:
        self.answers = WELL
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = outer.answers[self.path]
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *said: object) -> None:
                """Quiet."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return self.http.server_port


class Watched(Supervisor):
    """Notes when it would start everything anew; that start heals the server."""

    server: Server

    def _bring_back(self) -> None:
        self.brought_back += 1
        self.server.answers = WELL

    brought_back = 0


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


@pytest.fixture
def supervisor(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """One that watches `server`."""
    monkeypatch.setattr(up, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(up, "SILENT_S", SILENT_S)
    environ = {"IMMICH_HOST": "127.0.0.1", "IMMICH_PORT": str(server.port), "IMMICH_MEDIA_LOCATION": str(tmp_path)}
    watched = Watched(read_settings(environ), environ)
    watched.server = server
    monkeypatch.setattr(watched._stack, "dead_parts", lambda: [])
    thread = threading.Thread(target=watched._watch)
    thread.start()
    yield watched
    watched._stopping.set()
    thread.join()


def wait_until_brought_back(supervisor: Watched) -> float:
    """Seconds until it starts everything anew."""
    started_s = time.monotonic()
    while not supervisor.brought_back:
        assert time.monotonic() - started_s < SOON_S
        time.sleep(0.005)
    return time.monotonic() - started_s


@pytest.mark.parametrize("answers", [WITHOUT_REPLICA, WITHOUT_CONTROLLER], ids=["replica", "controller"])
def test_a_part_that_stays_silent_is_brought_back_once(server: Server, supervisor: Watched, answers: dict) -> None:
    server.answers = answers

    assert wait_until_brought_back(supervisor) >= SILENT_S * 0.9

    time.sleep(2 * SILENT_S)
    assert supervisor.brought_back == 1


@pytest.mark.parametrize("answers", [WELL, WITHOUT_DATABASE], ids=["well", "no database"])
def test_a_controller_that_nobody_can_ask_about_is_not_suspected(
    server: Server, supervisor: Watched, answers: dict
) -> None:
    server.answers = answers
    time.sleep(3 * SILENT_S)
    assert supervisor.brought_back == 0


def test_a_short_silence_is_forgotten(server: Server, supervisor: Watched) -> None:
    for _ in range(4):
        server.answers = WITHOUT_CONTROLLER
        time.sleep(SILENT_S / 3)
        server.answers = WELL
        time.sleep(SILENT_S / 3)
    assert supervisor.brought_back == 0


def test_ray_s_autoscaler_is_kept_and_nothing_else_starts_anew(
    supervisor: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = threading.Event()
    monkeypatch.setattr(supervisor._stack, "keep_monitor", kept.set)
    assert kept.wait(SOON_S)
    assert supervisor.brought_back == 0


def test_a_part_of_ray_that_died_is_brought_back_at_once(supervisor: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor._stack, "dead_parts", lambda: [] if supervisor.brought_back else ["raylet"])
    assert wait_until_brought_back(supervisor) < SOON_S


def test_a_port_that_is_taken_is_told_before_ray_is_started_and_once_leftovers_are_gone(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "PATIENCE_S", 0.1)
    environ = {"IMMICH_HOST": "127.0.0.1", "IMMICH_PORT": str(server.port), "IMMICH_MEDIA_LOCATION": str(tmp_path)}
    supervisor, done = Supervisor(read_settings(environ), environ), list[str]()
    monkeypatch.setattr(supervisor._stack, "prepare", lambda: done.append("prepared"))
    monkeypatch.setattr(supervisor._stack, "launch", lambda: done.append("launched"))
    with pytest.raises(SettingsInvalid, match=rf"IMMICH_PORT.*port {server.port} on 127\.0\.0\.1 is taken"):
        supervisor._start()
    assert done == ["prepared"]
    assert supervisor._drivers == []


def test_a_file_in_place_of_the_media_folder_is_told_before_anything_is_taken_or_started(tmp_path: Path) -> None:
    environ = {"IMMICH_MEDIA_LOCATION": str(tmp_path / "file"), "HELIOSTAT_STATE_DIR": "/tmp/hu-unused"}
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsInvalid, match=r"IMMICH_MEDIA_LOCATION.*/file is a file, not a folder"):
        Supervisor(read_settings(environ), environ).run()
    assert not Path("/tmp/hu-unused").exists()
