"""The API of a further api machine, a process of its own that needs no Ray; on both databases."""

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.joining import JoinRefused
from cluster.launch import STACK_MARK
from cluster.settings import read_settings
from cluster.storage.mounts import check_folders
from serve_app import stand_in
from serve_app.client import ApiClient, sha1_hex
from serve_app.node import NodeSupervisor
from serve_app.stand_in import StandIn
from tests.e2e.photos import make_photos
from tests.e2e.real_stack import wait_until
from tests.shared_media import REPOSITORY

START_S = 60.0


def machine(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of one whose database and media folder are as the first machine left them."""
    database = Database(database_url)
    migrate(database.durable)
    database.close()
    check_folders(tmp_path, {}, False, datetime.now(UTC))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(REPOSITORY),
        "DB_URL": database_url,
        "IMMICH_MEDIA_LOCATION": str(tmp_path),
        "IMMICH_HOST": "127.0.0.1",
        "IMMICH_PORT": str(port),
        STACK_MARK: "/tmp/of-its-machine",
    }


@contextlib.contextmanager
def kept(environ: Mapping[str, str]) -> Iterator[tuple[StandIn, str]]:
    """A running one, and where it answers."""
    url, kept = f"http://127.0.0.1:{environ['IMMICH_PORT']}", StandIn(environ, wanted=True)
    kept.keep()
    try:
        wait_until(lambda: answers(url), START_S, "it to answer")
        yield kept, url
    finally:
        kept.end()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/server/ping", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_takes_uploads_and_says_what_it_cannot(database_url: str, tmp_path: Path) -> None:
    (photo,) = make_photos(tmp_path / "photos", 1, 630, (320, 240))
    with kept(machine(database_url, tmp_path)) as (_, url), ApiClient(url) as client:
        client.sign_up_admin("ann@example.org", "a long password", "Ann")
        client.login("ann@example.org", "a long password")
        _, asset_id = client.upload(photo, sha1_hex(photo))
        assert client.bytes_of(f"/assets/{asset_id}/original") == photo.read_bytes()
        assert {queue.name: queue.to_do for queue in client.queues()}["metadataExtraction"] == 1
        answer = client._http.post("/search/smart", json={"query": "a boat"})
        assert answer.status_code == 503
        assert "while the first one is away" in answer.json()["message"]


def test_it_is_started_again_and_ends_when_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "AGAIN_S", 0.0)
    with kept(machine(f"sqlite:///{tmp_path / 'heliostat.db'}", tmp_path)) as (running, url):
        first = running._process
        assert first is not None
        # it must not end with the Ray of its machine
        assert f"{STACK_MARK}=".encode() not in Path(f"/proc/{first.pid}/environ").read_bytes()
        first.kill()
        first.wait()
        running.keep()
        second = running._process
        wait_until(lambda: answers(url), START_S, "it to answer again")
        running.end()
        assert second is not None
        assert second.returncode == 0
        assert not answers(url)


def test_a_machine_that_is_no_api_node_has_none() -> None:
    none = StandIn({}, wanted=False)
    none.keep()
    assert none._process is None
    none.end()


def test_it_is_brought_back_where_it_has_died_and_not_where_it_was_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "AGAIN_S", 0.0)
    with kept(machine(f"sqlite:///{tmp_path / 'heliostat.db'}", tmp_path)) as (running, url):
        first = running._process
        assert first is not None
        assert os.getsid(first.pid) == first.pid != os.getsid(0), "Ctrl-C is for the node"
        first.kill()
        first.wait()
        running.keep_running()
        wait_until(lambda: answers(url), START_S, "it to answer again")
        running.end()
        running.keep_running()
        assert running._process is None


@pytest.mark.parametrize(("workers", "of_its_api"), [("", True), ("api", False)])
def test_an_api_machine_that_finds_no_head_says_that_it_serves_nothing_yet(
    tmp_path: Path, workers: str, of_its_api: bool
) -> None:
    environ = {**machine(f"sqlite:///{tmp_path / 'heliostat.db'}", tmp_path), "IMMICH_WORKERS_EXCLUDE": workers}
    node = NodeSupervisor(read_settings(environ), environ, "127.0.0.1:9")
    with pytest.raises(JoinRefused, match=r"nothing answers at 127\.0\.0\.1:9") as refused:
        node._reach()
    assert ("this machine's API starts when it has joined once" in str(refused.value)) is of_its_api
