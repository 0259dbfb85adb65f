"""What the commands send: which files, which sidecar, which checksum, and what they do when the server says no."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve_app import client as client_module
from serve_app.client import TRIES, ApiClient, ApiRefused, ServerUnreachable, media_files, sha1_hex, sidecar_of

PHOTOS = frozenset({".jpg", ".heic"})
Answer = Callable[[httpx.Request], httpx.Response]


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], ApiClient]]:
    """A client whose requests a function answers; waiting takes no time."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    opened: list[ApiClient] = []

    def make(answer: Answer) -> ApiClient:
        made = ApiClient("http://server:2283/api/")
        made._http.close()
        made._http = httpx.Client(base_url=f"{made.url}/api", transport=httpx.MockTransport(answer))
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.__exit__(None, None, None)


def test_media_files_are_found_below_a_folder_in_order(tmp_path: Path) -> None:
    wanted = [put(tmp_path / name) for name in ("IMG_2.JPG", "a/IMG_1.jpg", "b/c/IMG_3.heic")]
    for other in ("notes.txt", "IMG_2.JPG.xmp", ".hidden.jpg", ".trash/IMG_4.jpg", "a/.thumbs/IMG_5.jpg", "jpg"):
        put(tmp_path / other)
    assert list(media_files(tmp_path, PHOTOS)) == wanted


def test_a_file_is_itself_whatever_it_is_called(tmp_path: Path) -> None:
    file = put(tmp_path / "odd.name")
    assert list(media_files(file, PHOTOS)) == [file]


def test_a_folder_without_media_has_none(tmp_path: Path) -> None:
    put(tmp_path / "notes.txt")
    assert list(media_files(tmp_path, PHOTOS)) == []


@pytest.mark.parametrize("name", ["photo.jpg.xmp", "photo.xmp"])
def test_both_spellings_of_a_sidecar_are_found(tmp_path: Path, name: str) -> None:
    sidecar = put(tmp_path / name)
    assert sidecar_of(put(tmp_path / "photo.jpg")) == sidecar


def test_the_sidecar_that_names_the_whole_file_wins(tmp_path: Path) -> None:
    put(tmp_path / "photo.xmp")
    whole = put(tmp_path / "photo.jpg.xmp")
    assert sidecar_of(tmp_path / "photo.jpg") == whole


def test_a_photo_without_a_sidecar_has_none(tmp_path: Path) -> None:
    put(tmp_path / "other.jpg.xmp")
    assert sidecar_of(tmp_path / "photo.jpg") is None


@pytest.mark.parametrize("size", [0, 3, client_module.CHUNK_BYTES, client_module.CHUNK_BYTES + 1])
def test_the_checksum_is_the_files_sha1_however_long_it_is(tmp_path: Path, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    assert sha1_hex(put(tmp_path / "file", content)) == hashlib.sha1(content, usedforsecurity=False).hexdigest()


def test_known_files_are_asked_for_in_pages(
    client: Callable[[Answer], ApiClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CHECK_AT_ONCE", 2)
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assets = json.loads(request.content)["assets"]
        asked.append(len(assets))
        known = [one for one in assets if one["checksum"] in {"sum1", "sum4"}]
        accepted = [{"id": one["id"], "action": "accept"} for one in assets if one not in known]
        rejected = [{"id": one["id"], "action": "reject", "assetId": f"of {one['checksum']}"} for one in known]
        return httpx.Response(200, json={"results": accepted + rejected})

    files = [(tmp_path / f"{number}.jpg", f"sum{number}") for number in range(5)]
    assert client(answer).known_files(files) == {files[1][0]: "of sum1", files[4][0]: "of sum4"}
    assert asked == [2, 2, 1]


def test_an_upload_sends_file_sidecar_and_checksum(client: Callable[[Answer], ApiClient], tmp_path: Path) -> None:
    bodies: list[tuple[str, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append((request.headers["x-immich-checksum"], request.read()))
        return httpx.Response(201, json={"status": "created", "id": "a0"})

    photo = put(tmp_path / "photo.jpg", b"the picture")
    put(tmp_path / "photo.jpg.xmp", b"the sidecar")
    assert client(answer).upload(photo, "checksum") == ("created", "a0")
    ((checksum, body),) = bodies
    assert checksum == "checksum"
    assert all(part in body for part in (b"the picture", b"the sidecar", b'name="sidecarData"', b"photo.jpg.xmp"))


def test_a_server_in_trouble_is_tried_again_with_the_whole_file(
    client: Callable[[Answer], ApiClient], tmp_path: Path
) -> None:
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        if len(bodies) < TRIES:
            return httpx.Response(503, json={"message": "starting"})
        return httpx.Response(200, json={"status": "duplicate", "id": "a0"})

    assert client(answer).upload(put(tmp_path / "photo.jpg", b"the picture"), "checksum") == ("duplicate", "a0")
    assert len(bodies) == TRIES
    assert all(b"the picture" in body for body in bodies)


def test_what_the_server_refuses_is_not_tried_again(client: Callable[[Answer], ApiClient], tmp_path: Path) -> None:
    asked: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        errors = [{"path": ["fileCreatedAt"], "message": "Invalid date"}]
        return httpx.Response(400, json={"message": "Validation failed", "errors": errors})

    with pytest.raises(ApiRefused, match="answered 400: Validation failed fileCreatedAt: Invalid date"):
        client(answer).upload(put(tmp_path / "photo.jpg"), "checksum")
    assert len(asked) == 1


def test_no_server_is_said_with_what_to_do(client: Callable[[Answer], ApiClient]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ServerUnreachable, match=r"http://server:2283 .*IMMICH_INSTANCE_URL"):
        client(answer).queues()


def test_a_paused_queue_counts_what_it_holds_back_as_waiting(client: Callable[[Answer], ApiClient]) -> None:
    statistics = {"active": 1, "waiting": 2, "paused": 3, "delayed": 4, "failed": 5, "completed": 9}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"name": "ocr", "isPaused": True, "statistics": statistics}])

    (queue,) = client(answer).queues()
    assert (queue.name, queue.paused, queue.waiting, queue.to_do) == ("ocr", True, 5, 10)
