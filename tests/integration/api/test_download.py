"""Downloads over HTTP: what goes into which archive, what is in it, and what it costs while it flows."""

import io
import threading
import time
import uuid
import zipfile
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.db.tables.asset import AssetFile
from tests.api_stack import ApiStack, AppClient, Person, served_apart
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add, add_album, add_asset

MIB = 1024 * 1024

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a say in."""


def add_file(stack: ApiStack, owner: Person, content: bytes, name: str = "a.jpg") -> str:
    """An asset with a file in the media folder."""
    path = stack.services.layout.media_root / "upload" / str(uuid.uuid4())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    columns = {"original_path": str(path), "original_file_name": name, "file_size_bytes": len(content)}
    return add_asset(stack, owner, **columns)


def unpacked(client: AppClient, who: Person, *ids: str, edited: bool = False) -> dict[str, bytes]:
    body = {"assetIds": list(ids), "edited": edited}
    answer = client.post("/download/archive", headers=who.headers, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_plan_of_assets_an_album_or_everything(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    a, b, c = (add_asset(stack, ann, file_size_bytes=size) for size in (4, 5, 6))
    add_asset(stack, ann, file_size_bytes=100, visibility="hidden")
    add_asset(stack, ann, file_size_bytes=100, visibility="locked")
    add_asset(stack, ann, file_size_bytes=100, deleted_at=NOON)
    plan = as_ann.post("/download/info", assetIds=[c, a])
    assert plan == {"totalSize": 10, "archives": [{"size": 10, "assetIds": [c, a]}]}
    assert as_ann.post("/download/info", albumId=add_album(stack, ann, b))["archives"][0]["assetIds"] == [b]
    everything = as_ann.post("/download/info", userId=ann.user_id, archiveSize=8)
    assert everything["totalSize"] == 15
    assert [len(archive["assetIds"]) for archive in everything["archives"]] == [2, 1]
    assert as_ann.post("/download/info", assetIds=[]) == {"totalSize": 0, "archives": []}


def test_the_moving_part_comes_along_unless_the_photo_still_has_it(
    stack: ApiStack, ann: Person, as_ann: CheckedClient
) -> None:
    root = stack.services.layout.media_root
    paths = (root / "upload" / "v.mov", root / "encoded-video" / "v-MP.mp4")
    beside, embedded = (
        add_asset(stack, ann, file_size_bytes=7, visibility="hidden", original_path=str(path)) for path in paths
    )
    live = add_asset(stack, ann, file_size_bytes=1, live_photo_video_id=beside)
    motion = add_asset(stack, ann, file_size_bytes=1, live_photo_video_id=embedded)
    plan = as_ann.post("/download/info", assetIds=[live, motion])
    assert plan == {"totalSize": 9, "archives": [{"size": 9, "assetIds": [live, beside, motion]}]}
    as_ann.put("/users/me/preferences", download={"includeEmbeddedVideos": True})
    assert as_ann.post("/download/info", assetIds=[live, motion])["totalSize"] == 16


def test_an_archive_has_the_originals_under_their_names(stack: ApiStack, client: AppClient, ann: Person) -> None:
    ids = [add_file(stack, ann, content, name) for content, name in ((b"1", "a.jpg"), (b"2", "a.jpg"), (b"3", "é.png"))]
    assert unpacked(client, ann, *ids) == {"a.jpg": b"1", "a+1.jpg": b"2", "é.png": b"3"}
    edit = stack.services.layout.media_root / "thumbs" / "edit.jpeg"
    edit.parent.mkdir(parents=True)
    edit.write_bytes(b"edited")
    row = {"asset_id": ids[0], "type": "fullsize", "path": str(edit), "is_edited": True}
    add(stack, AssetFile, **row, created_at=NOON, updated_at=NOON)
    assert unpacked(client, ann, ids[0], edited=True) == {"a.jpg": b"edited"}
    assert unpacked(client, ann, ids[0]) == {"a.jpg": b"1"}


def test_what_is_gone_or_lies_elsewhere_is_named(
    stack: ApiStack, client: AppClient, ann: Person, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"secret")
    outside = add_asset(stack, ann, original_path=str(secret), original_file_name="secret.jpg")
    gone = add_asset(stack, ann, original_path=str(stack.uploads / "gone"), original_file_name="gone.jpg")
    here = add_file(stack, ann, b"here")
    files = unpacked(client, ann, outside, gone, here)
    assert files.pop("missing-files.txt").decode().splitlines()[1:] == ["secret.jpg", "gone.jpg"]
    assert files == {"a.jpg": b"here"}


def test_only_what_one_may_see_is_downloaded(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    hers = add_file(stack, ann, b"hers")
    locked = add_asset(stack, ann, visibility="locked")
    for route in ("/download/info", "/download/archive"):
        for who, asset_id in ((as_ben, hers), (as_ann, locked), (as_ann, str(uuid.uuid4()))):
            refused = who.refused("POST", route, json={"assetIds": [asset_id]})
            assert refused == (400, "Not found or no asset.download access")
    album_id = add_album(stack, ann, hers)
    assert as_ben.refused("POST", "/download/info", json={"albumId": album_id})[0] == 400
    shared = add_album(stack, ann, hers, shared_with=ben)
    assert as_ben.post("/download/info", albumId=shared)["archives"][0]["assetIds"] == [hers]
    assert unpacked(client, ben, hers) == {"a.jpg": b"hers"}
    assert client.get(f"/assets/{hers}/original", headers=ben.headers).content == b"hers"
    assert as_ben.refused("POST", "/download/info", json={"userId": ann.user_id}) == (
        400,
        "Not found or no timeline.download access",
    )
    assert as_ann.refused("POST", "/download/info", json={}) == (400, "assetIds, albumId, or userId is required")
    assert as_ann.refused("POST", "/download/info", json={"archiveSize": 0, "assetIds": []})[0] == 400


@on_sqlite
def test_memory_stays_flat_while_an_archive_flows(stack: ApiStack, ann: Person) -> None:
    check_memory(stack, ann, files=10, file_bytes=20 * MIB, most_growth_bytes=50 * MIB)


@on_sqlite
@pytest.mark.long
@pytest.mark.timeout(600)
def test_memory_stays_flat_for_two_gigabytes(stack: ApiStack, ann: Person) -> None:
    check_memory(stack, ann, files=5, file_bytes=400 * MIB + 1, most_growth_bytes=100 * MIB)


def check_memory(stack: ApiStack, ann: Person, *, files: int, file_bytes: int, most_growth_bytes: int) -> None:
    """A client that takes its time: what it has not taken yet must lie nowhere."""
    ids = [add_asset(stack, ann, original_path=str(sparse_file(stack, file_bytes))) for _ in range(files)]
    with served_apart(stack) as (url, pid):
        process = psutil.Process(pid)
        unpack_some(url, ann, ids[:1], MIB)
        before = process.memory_info().rss
        peak, received = before, 0
        body = {"assetIds": ids}
        with httpx.stream("POST", f"{url}/api/download/archive", headers=ann.headers, json=body, timeout=60) as answer:
            for piece in answer.iter_raw(MIB):
                if received < 20 * MIB:
                    time.sleep(0.02)  # slower than the server reads
                received += len(piece)
                peak = max(peak, process.memory_info().rss)
    assert received > files * file_bytes
    assert peak - before < most_growth_bytes, f"grew by {(peak - before) / MIB:.0f} MiB"


def sparse_file(stack: ApiStack, size_bytes: int) -> Path:
    path = stack.services.layout.media_root / "upload" / str(uuid.uuid4())
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def unpack_some(url: str, who: Person, ids: list[str], size_bytes: int) -> None:
    """Take the beginning of an archive and hang up."""
    body = {"assetIds": ids}
    with httpx.stream("POST", f"{url}/api/download/archive", headers=who.headers, json=body, timeout=60) as answer:
        assert len(next(answer.iter_raw(size_bytes))) == size_bytes


@on_sqlite
def test_a_client_that_hangs_up_ends_the_work(stack: ApiStack, ann: Person) -> None:
    asset_id = add_asset(stack, ann, original_path=str(sparse_file(stack, 4096 * MIB)))
    with served_apart(stack) as (url, pid):
        unpack_some(url, ann, [asset_id], MIB)
        deadline = time.monotonic() + 10
        while open_uploads(pid, stack):
            assert time.monotonic() < deadline, "the file is still open"
            time.sleep(0.02)
        read = psutil.Process(pid).io_counters().read_chars
    assert read < 1024 * MIB


def open_uploads(pid: int, stack: ApiStack) -> list[str]:
    return [file.path for file in psutil.Process(pid).open_files() if file.path.startswith(str(stack.uploads))]


@on_sqlite
def test_other_requests_are_answered_while_archives_flow(stack: ApiStack, ann: Person) -> None:
    ids = [add_asset(stack, ann, original_path=str(sparse_file(stack, 100 * MIB)))]
    with served_apart(stack) as (url, _):
        threads = [threading.Thread(target=take_all, args=(url, ann, ids)) for _ in range(2)]
        for thread in threads:
            thread.start()
        slowest_s = 0.0
        while any(thread.is_alive() for thread in threads):
            began_s = time.monotonic()
            assert httpx.get(f"{url}/api/server/ping").status_code == 200
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        for thread in threads:
            thread.join()
    assert slowest_s < 2


def take_all(url: str, who: Person, ids: list[str]) -> None:
    body = {"assetIds": ids}
    with httpx.stream("POST", f"{url}/api/download/archive", headers=who.headers, json=body, timeout=60) as answer:
        assert sum(len(piece) for piece in answer.iter_raw()) > 100 * MIB
