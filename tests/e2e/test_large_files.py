"""Large files through the whole server: no process holds what the client has not taken yet, or sent too early."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import insert

from cluster.db.engine import Database
from cluster.db.tables.asset import Asset, AssetExif
from tests.e2e.real_stack import RealStack
from tests.library_rows import NOON, asset_values

MIB = 1024 * 1024
MOST_GROWTH_BYTES = 100 * MIB
LOOK_EVERY_S = 0.05


def test_200_megabytes_grow_no_process(stack: RealStack) -> None:
    check_growth(stack, [40 * MIB] * 5)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_2_gigabytes_grow_no_process(stack: RealStack) -> None:
    check_growth(stack, [400 * MIB] * 5)


def test_an_upload_grows_no_process(stack: RealStack) -> None:
    key = stack.client.call("POST", "/api-keys", json={"name": "upload", "permissions": ["asset.upload"]})["secret"]
    headers = {"x-api-key": key, "content-type": "multipart/form-data; boundary=edge"}
    with Growth(stack) as growth:
        answer = httpx.post(f"{stack.url}/api/assets", content=cut_off_form(400), headers=headers, timeout=300)
    assert answer.status_code == 400, answer.text  # it breaks off, so that nothing stays in the library
    name, grown = growth.most()
    print(f"the most grown process: {name}, by {grown / MIB:.0f} MiB, for an upload of 400 MiB")
    assert grown < MOST_GROWTH_BYTES, f"{name} grew by {grown / MIB:.0f} MiB"


def cut_off_form(size_mib: int) -> Iterator[bytes]:
    part = '--edge\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    for name in ("fileCreatedAt", "fileModifiedAt"):
        yield (part.format(name, "") + "2024-01-01T00:00:00.000Z\r\n").encode()
    yield part.format("assetData", '; filename="large.mp4"').encode()
    for _ in range(size_mib):
        yield bytes(MIB)


def check_growth(stack: RealStack, sizes: list[int]) -> None:
    key = stack.client.call("POST", "/api-keys", json={"name": "download", "permissions": ["asset.download"]})["secret"]
    headers = {"x-api-key": key}
    body = {"assetIds": add_assets(stack, sizes)}
    download(stack, headers, {"assetIds": body["assetIds"][:1]}, pause_s=0)  # what is loaded once is not growth
    with Growth(stack) as growth:
        received = download(stack, headers, body, pause_s=3)
    assert received > sum(sizes)
    name, grown = growth.most()
    print(f"the most grown process: {name}, by {grown / MIB:.0f} MiB, for {received / MIB:.0f} MiB")
    assert grown < MOST_GROWTH_BYTES, f"{name} grew by {grown / MIB:.0f} MiB"


def add_assets(stack: RealStack, sizes: list[int]) -> list[str]:
    """As an upload would leave them, but for the jobs: nobody could read these."""
    owner = stack.client.call("GET", "/users/me")["id"]
    rows = [asset_values(owner, original_path=str(file_of(stack, number, size))) for number, size in enumerate(sizes)]
    database = Database(f"sqlite:///{stack.media / 'heliostat.db'}")
    with database.session() as session:
        session.execute(insert(Asset), rows)
        session.execute(insert(AssetExif), [{"asset_id": row["id"], "updated_at": NOON} for row in rows])
    database.close()
    return [row["id"] for row in rows]


def file_of(stack: RealStack, number: int, size_bytes: int) -> Path:
    path = stack.media / "upload" / f"large-{number}-{size_bytes}.mp4"
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def download(stack: RealStack, headers: dict[str, str], body: dict[str, list[str]], pause_s: float) -> int:
    """How much came. The client rests for a while after its first piece."""
    received = 0
    with httpx.stream("POST", f"{stack.url}/api/download/archive", headers=headers, json=body, timeout=60) as answer:
        assert answer.status_code == 200
        for piece in answer.iter_raw(MIB):
            if not received:
                time.sleep(pause_s)
            received += len(piece)
    return received


class Growth:
    """Watches the memory of every process of the stack while it is entered."""

    def __init__(self, stack: RealStack) -> None:
        self._processes = [psutil.Process(pid) for pid in stack.processes()]
        self._names = {process.pid: " ".join(process.cmdline())[:60] for process in self._processes}
        self._before = {process.pid: resident(process) for process in self._processes}
        self._peak = dict(self._before)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Growth":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def most(self) -> tuple[str, int]:
        grown = {pid: self._peak[pid] - before for pid, before in self._before.items()}
        pid = max(grown, key=grown.__getitem__)
        return self._names[pid], grown[pid]

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            for process in self._processes:
                self._peak[process.pid] = max(self._peak[process.pid], resident(process))


def resident(process: psutil.Process) -> int:
    try:
        rss: int = process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    return rss
