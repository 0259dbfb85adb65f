"""Uploads over HTTP, on both databases: what is accepted is whole and once, what is not leaves nothing."""

import base64
import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError

from cluster.db.queries import assets
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.job import Job
from cluster.db.tables.user import User
from cluster.storage.incoming import cleanup_incoming
from serve_app.app import create_app
from tests.api_stack import WHEN, ApiStack, AppClient, Person, api_stack, in_process, served, served_apart
from tests.peak_memory import PeakMemory
from tests.shared_media import media_dir

TIMES = {"fileCreatedAt": WHEN, "fileModifiedAt": WHEN}
NOTHING: list[Path] = []

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what no database has a say in."""


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[ApiStack]:
    with api_stack(database_url, tmp_path / "media") as built:
        yield built


@pytest.fixture
def client(stack: ApiStack) -> Iterator[AppClient]:
    with in_process(stack.app) as client:
        yield client


@pytest.fixture
def ann(stack: ApiStack) -> Person:
    return stack.add_person()


def upload(
    client: AppClient,
    person: Person,
    content: bytes,
    name: str = "a.jpg",
    headers: dict[str, str] | None = None,
    **texts: str,
) -> httpx.Response:
    files = {"assetData": (name, content)}
    return client.post("/assets", headers=person.headers | (headers or {}), data=TIMES | texts, files=files)


def rows(stack: ApiStack) -> list[Asset]:
    with stack.services.database.reader() as session:
        return list(session.scalars(select(Asset).order_by(Asset.created_at)))


def jobs(stack: ApiStack) -> list[tuple[str, dict[str, Any]]]:
    with stack.services.database.reader() as session:
        return [(job.name, job.payload) for job in session.scalars(select(Job).order_by(Job.id))]


def quota_usage(stack: ApiStack, person: Person) -> int:
    with stack.services.database.reader() as session:
        return session.get_one(User, person.user_id).quota_usage_bytes


def test_an_accepted_photo_is_on_disk_in_rows_and_in_the_queue(stack: ApiStack, client: AppClient, ann: Person) -> None:
    answer = upload(
        client, ann, b"bytes of a photo", "Ferien 写真.JPG", isFavorite="true", visibility="archive", duration="1500"
    )

    assert answer.status_code == 201
    asset_id = answer.json()["id"]
    assert answer.json() == {"id": asset_id, "status": "created"}
    (asset,) = rows(stack)
    (path,) = stack.uploaded_files()
    assert asset.id == asset_id
    assert asset.original_path == str(path)
    assert path.read_bytes() == b"bytes of a photo"
    folder, first, second = path.relative_to(stack.uploads).parts[:3]
    assert (folder, first, second, path.suffix) == (ann.user_id, path.name[:2], path.name[2:4], ".jpg")
    assert uuid.UUID(path.stem) != uuid.UUID(asset_id)
    assert path.stat().st_mtime == pytest.approx(datetime.fromisoformat(WHEN).timestamp(), abs=1e-3)
    assert asset.checksum == hashlib.sha1(b"bytes of a photo").digest()
    assert asset.original_file_name == "Ferien 写真.JPG"
    assert (asset.type, asset.is_favorite, asset.visibility, asset.duration_ms) == ("IMAGE", True, "archive", 1500)
    assert asset.file_created_at == asset.local_date_time == datetime.fromisoformat(WHEN)
    assert jobs(stack) == [("AssetExtractMetadata", {"id": asset_id, "source": "upload"})]
    assert quota_usage(stack, ann) == len(b"bytes of a photo")
    shown = client.get(f"/assets/{asset_id}", headers=ann.headers).json()
    assert {name: value for name, value in shown["exifInfo"].items() if value} == {"fileSizeInByte": 16}


@on_sqlite
def test_texts_may_come_before_or_after_the_file(client: AppClient, ann: Person) -> None:
    for content, order in (
        (b"1", ("assetData", *TIMES)),
        (b"2", (*TIMES, "assetData")),
        (b"3", ("fileCreatedAt", "assetData", "fileModifiedAt")),
    ):
        parts = [(name, ("a.jpg", content) if name == "assetData" else (None, WHEN)) for name in order]
        assert client.post("/assets", headers=ann.headers, files=parts).status_code == 201


@on_sqlite
def test_old_clients_fields_are_ignored(client: AppClient, ann: Person) -> None:
    assert upload(client, ann, b"1", deviceAssetId="x", deviceId="CLI", fileSize="1").status_code == 201


@on_sqlite
@pytest.mark.parametrize("late", [True, False])
def test_the_filename_field_overrides_the_parts_name(
    stack: ApiStack, client: AppClient, ann: Person, late: bool
) -> None:
    parts = [("filename", (None, "real.heic")), ("assetData", ("blob.jpg", b"x"))]
    times = [(name, (None, WHEN)) for name in TIMES]
    assert client.post("/assets", headers=ann.headers, files=times + parts[:: -1 if late else 1]).status_code == 201
    (asset,) = rows(stack)
    assert asset.original_file_name == "real.heic"
    assert Path(asset.original_path).suffix == ".heic"
    assert stack.uploaded_files() == [Path(asset.original_path)]


@on_sqlite
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/a.jpg", "a.jpg"),
        (r"C:\photos\a.jpg", "a.jpg"),
        ("a\x1b[31m\x00.jpg", "a[31m.jpg"),
        ("x" * 300 + ".jpg", "x" * 251 + ".jpg"),
    ],
)
def test_file_names_are_made_harmless(stack: ApiStack, client: AppClient, ann: Person, name: str, kept: str) -> None:
    assert upload(client, ann, b"x", "a.jpg", filename=name).status_code == 201
    assert [asset.original_file_name for asset in rows(stack)] == [kept]
    assert all(path.is_relative_to(stack.uploads / ann.user_id) for path in stack.uploaded_files())


@on_sqlite
def test_a_sidecar_is_kept_beside_the_photo(stack: ApiStack, client: AppClient, ann: Person) -> None:
    files = {"assetData": ("a.jpg", b"photo"), "sidecarData": ("a.jpg.xmp", b"<xmp/>")}
    answer = client.post("/assets", headers=ann.headers, data=TIMES, files=files)
    assert answer.status_code == 201
    with stack.services.database.reader() as session:
        sidecar = session.scalars(select(AssetFile)).one()
    assert (sidecar.asset_id, sidecar.type) == (answer.json()["id"], "sidecar")
    assert Path(sidecar.path).suffix == ".xmp"
    assert Path(sidecar.path).read_bytes() == b"<xmp/>"
    assert Path(sidecar.path).stat().st_mtime == pytest.approx(datetime.fromisoformat(WHEN).timestamp(), abs=1e-3)
    assert len(stack.uploaded_files()) == 2
    assert quota_usage(stack, ann) == len(b"photo")


def test_what_a_client_wants_remembered_comes_back(client: AppClient, ann: Person) -> None:
    metadata = json.dumps([{"key": "mobile-app", "value": {"iCloudId": "abc"}}])
    asset_id = upload(client, ann, b"x", metadata=metadata).json()["id"]
    (item,) = client.get(f"/assets/{asset_id}/metadata", headers=ann.headers).json()
    assert (item["key"], item["value"]) == ("mobile-app", {"iCloudId": "abc"})
    assert item["updatedAt"].endswith("Z")


def test_a_duplicate_is_named_and_leaves_nothing_more(stack: ApiStack, client: AppClient, ann: Person) -> None:
    first = upload(client, ann, b"same")
    again = upload(client, ann, b"same", "other.png")
    assert (again.status_code, again.json()) == (200, {"id": first.json()["id"], "status": "duplicate"})
    assert len(rows(stack)) == len(stack.uploaded_files()) == len(jobs(stack)) == 1
    assert quota_usage(stack, ann) == 4


def test_somebody_elses_photo_is_no_duplicate(stack: ApiStack, client: AppClient, ann: Person) -> None:
    ben = stack.add_person("ben")
    assert [upload(client, person, b"same").status_code for person in (ann, ben)] == [201, 201]
    assert len(stack.uploaded_files()) == 2


def test_a_trashed_photo_is_a_duplicate(client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann, b"same").json()["id"]
    client.delete("/assets", headers=ann.headers, json={"ids": [asset_id]})
    assert upload(client, ann, b"same").json() == {"id": asset_id, "status": "duplicate"}


@pytest.mark.parametrize("by_header", [False, True])
def test_a_photo_that_waits_for_its_deletion_is_back_when_it_is_sent_again(
    stack: ApiStack, client: AppClient, ann: Person, by_header: bool
) -> None:
    asset_id = upload(client, ann, b"same").json()["id"]
    client.delete("/assets", headers=ann.headers, json={"ids": [asset_id], "force": True})
    checksum = hashlib.sha1(b"same").hexdigest()
    item = {"id": "a.jpg", "checksum": checksum}
    checked = client.post("/assets/bulk-upload-check", headers=ann.headers, json={"assets": [item]})
    assert checked.json()["results"] == [{"id": "a.jpg", "action": "accept"}]

    headers = {"x-immich-checksum": checksum} if by_header else {}
    again = upload(client, ann, b"same", headers=headers)

    assert (again.status_code, again.json()) == (200, {"id": asset_id, "status": "duplicate"})
    [row] = rows(stack)
    assert (row.status, row.deleted_at) == ("active", None)
    assert stack.uploaded_files() == [Path(row.original_path)]


@on_sqlite
@pytest.mark.parametrize("encode", [lambda sha1: sha1.hex(), lambda sha1: base64.b64encode(sha1).decode()])
def test_a_known_checksum_is_answered_before_the_body_is_read(
    stack: ApiStack, client: AppClient, ann: Person, encode: Callable[[bytes], str]
) -> None:
    asset_id = upload(client, ann, b"same").json()["id"]
    read = []

    async def body() -> Any:
        read.append(True)
        yield b"never"

    headers = ann.headers | {"x-immich-checksum": encode(hashlib.sha1(b"same").digest())}
    answer = client.post(
        "/assets", headers=headers | {"content-type": "multipart/form-data; boundary=x"}, content=body()
    )
    assert (answer.status_code, answer.json()) == (200, {"id": asset_id, "status": "duplicate"})
    assert read == []


@on_sqlite
@pytest.mark.parametrize("checksum", ["", "x", "ä" * 28, "f" * 41, "=" * 28])
def test_a_checksum_that_is_none_changes_nothing(client: AppClient, ann: Person, checksum: str) -> None:
    headers = {"x-immich-checksum": checksum.encode("latin-1", "replace").decode("latin-1")}
    assert upload(client, ann, b"x", headers={k: v for k, v in headers.items() if v.isascii()}).status_code == 201


def test_parallel_identical_uploads_make_one_photo(stack: ApiStack, ann: Person) -> None:
    content = os.urandom(200_000)

    def send(url: str) -> tuple[int, str]:
        files = {"assetData": ("a.jpg", content)}
        answer = httpx.post(f"{url}/api/assets", headers=ann.headers, data=TIMES, files=files, timeout=60)
        return answer.status_code, answer.json()["id"]

    with served(stack) as url, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, [url] * 16))

    assert sorted(status for status, _ in answers) == [200] * 15 + [201]
    assert len({asset_id for _, asset_id in answers}) == 1
    assert len(rows(stack)) == len(stack.uploaded_files()) == len(jobs(stack)) == 1
    assert quota_usage(stack, ann) == len(content)


def test_the_quota_holds_to_the_byte(stack: ApiStack, client: AppClient) -> None:
    ann = stack.add_person(quota_size_bytes=10)
    assert upload(client, ann, b"123456").status_code == 201
    refused = upload(client, ann, b"abcde")
    assert (refused.status_code, refused.json()) == (400, {"message": "Quota has been exceeded!"})
    assert upload(client, ann, b"abcd").status_code == 201
    assert quota_usage(stack, ann) == 10
    assert len(stack.uploaded_files()) == len(rows(stack)) == len(jobs(stack)) == 2


BAD_FORMS: list[tuple[dict[str, Any], Any]] = [
    ({"files": {}}, "Field(s) assetData should not be empty"),
    ({"files": {"assetData": ("a.jpg", b"")}}, "File is empty"),
    ({"files": {"assetData": ("a.txt", b"x")}}, "Unsupported file type a.txt"),
    ({"files": {"assetData": ("jpg", b"x")}}, "Unsupported file type jpg"),
    ({"files": {"assetData": ("a.xmp", b"x")}}, "Unsupported file type a.xmp"),
    ({"files": {"assetData": ("a.jpg", b"x"), "sidecarData": ("a.txt", b"x")}}, "Unsupported file type a.txt"),
    ({"files": [("assetData", ("a.jpg", b"x")), ("assetData", ("b.jpg", b"y"))]}, "Unexpected field"),
    ({"texts": {"filename": "a.exe"}}, "Unsupported file type a.exe"),
    ({"texts": {"fileCreatedAt": "yesterday"}}, ("fileCreatedAt", "Invalid ISO datetime")),
    ({"texts": {"fileModifiedAt": "2024-02-30T00:00:00Z"}}, ("fileModifiedAt", "Invalid ISO datetime")),
    ({"texts": {"fileModifiedAt": "1700000000"}}, ("fileModifiedAt", "Invalid ISO datetime")),
    ({"texts": {"fileCreatedAt": None}}, ("fileCreatedAt", "Invalid input: expected string, received undefined")),
    (
        {"texts": {"visibility": "public"}},
        ("visibility", 'Invalid option: expected one of "archive"|"timeline"|"hidden"|"locked"'),
    ),
    ({"texts": {"isFavorite": "yes"}}, ("isFavorite", 'Invalid option: expected one of "true"|"false"')),
    ({"texts": {"duration": "-1"}}, ("duration", "Too small: expected number to be >=0")),
    ({"texts": {"livePhotoVideoId": "x"}}, ("livePhotoVideoId", "Invalid UUID")),
    ({"texts": {"livePhotoVideoId": str(uuid.uuid1())}}, ("livePhotoVideoId", "Invalid UUID")),
    ({"texts": {"livePhotoVideoId": str(uuid.uuid4())}}, "Live photo video not found"),
    ({"texts": {"metadata": "{}"}}, ("metadata", "Invalid input: expected array, received object")),
    ({"texts": {"metadata": '[{"key": "x"}]'}}, ("metadata", None)),
    ({"texts": {"description": "x" * (1 << 20)}}, "Field value too long"),
]


@on_sqlite
@pytest.mark.parametrize(("change", "said"), BAD_FORMS, ids=range(len(BAD_FORMS)))
def test_bad_forms_are_refused_by_name_and_leave_nothing(
    stack: ApiStack, client: AppClient, ann: Person, change: dict[str, Any], said: Any
) -> None:
    texts = {name: value for name, value in (TIMES | change.get("texts", {})).items() if value is not None}
    files = change.get("files", {"assetData": ("a.jpg", b"x")}) or {"nothing": ("", b"")}
    answer = client.post("/assets", headers=ann.headers, data=texts, files=files)

    assert answer.status_code == 400
    if isinstance(said, str):
        assert answer.json() == {"message": said}
    else:
        assert answer.json()["message"] == "Validation failed"
        (issue,) = answer.json()["errors"]
        assert issue["path"][0] == said[0]
        assert said[1] in (None, issue["message"])
    assert stack.uploaded_files() == NOTHING
    assert rows(stack) == jobs(stack) == []
    assert quota_usage(stack, ann) == 0


@on_sqlite
def test_what_is_no_form_is_refused(client: AppClient, ann: Person) -> None:
    for kind, body in (
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\n"),
    ):
        answer = client.post("/assets", headers=ann.headers | {"content-type": kind}, content=body)
        assert answer.status_code == 400


@on_sqlite
def test_strangers_and_keys_without_the_permission_may_not_upload(stack: ApiStack, client: AppClient) -> None:
    reader = stack.add_person("reader", ("asset.read",))
    stranger = client.post("/assets", data=TIMES, files={"assetData": ("a.jpg", b"x")})
    assert (stranger.status_code, stranger.json()) == (401, {"message": "Authentication required"})
    refused = upload(client, reader, b"x")
    assert (refused.status_code, refused.json()) == (403, {"message": "Missing required permission: asset.upload"})
    assert stack.uploaded_files() == NOTHING


def test_a_live_photo_hides_its_video(stack: ApiStack, client: AppClient, ann: Person) -> None:
    video = upload(client, ann, b"moving", "a.mov").json()["id"]
    photo = upload(client, ann, b"still", livePhotoVideoId=video).json()["id"]
    shown = {asset.id: (asset.visibility, asset.live_photo_video_id) for asset in rows(stack)}
    assert shown == {video: ("hidden", None), photo: ("timeline", video)}


def test_a_live_photos_video_must_be_a_video_of_the_same_person(
    stack: ApiStack, client: AppClient, ann: Person
) -> None:
    ben = stack.add_person("ben")
    photo = upload(client, ann, b"photo").json()["id"]
    video = upload(client, ben, b"video", "b.mp4").json()["id"]
    answers = [upload(client, ann, b"still", livePhotoVideoId=asset_id).json() for asset_id in (photo, video)]
    assert answers == [
        {"message": "Live photo video must be a video"},
        {"message": "Live photo video does not belong to the user"},
    ]
    assert len(stack.uploaded_files()) == 2


@on_sqlite
def test_every_shared_photo_arrives_byte_for_byte(stack: ApiStack, client: AppClient, ann: Person) -> None:
    sent = {}
    for path in sorted(media_dir().rglob("*.jp*g"))[:10]:
        content = path.read_bytes()
        sent[upload(client, ann, content, path.name).json()["id"]] = hashlib.sha1(content).digest()
    kept = {asset.id: hashlib.sha1(Path(asset.original_path).read_bytes()).digest() for asset in rows(stack)}
    assert kept == sent


def break_commits(stack: ApiStack, *, after: bool, times: int) -> None:
    """The next commits of the durable engine end in a lost connection, before or after the database did them."""
    left = [times]

    @event.listens_for(stack.services.database.durable, "commit")
    def commit(connection: Any) -> None:
        if left[0]:
            left[0] -= 1
            if after:
                connection.connection.driver_connection.commit()
            raise OperationalError("COMMIT", None, Exception("the connection is lost"))


@pytest.mark.parametrize("after", [True, False])
def test_a_connection_lost_within_the_commit_costs_nothing(
    stack: ApiStack, client: AppClient, ann: Person, after: bool
) -> None:
    break_commits(stack, after=after, times=1)
    answer = upload(client, ann, b"photo")
    assert (answer.status_code, answer.json()["status"]) == (201, "created")
    (asset,) = rows(stack)
    assert asset.id == answer.json()["id"]
    assert stack.uploaded_files() == [Path(asset.original_path)]
    assert quota_usage(stack, ann) == 5


@pytest.mark.parametrize("after", [True, False])
def test_where_nobody_knows_the_clean_up_asks_the_database(
    stack: ApiStack, client: AppClient, ann: Person, after: bool
) -> None:
    break_commits(stack, after=after, times=2)
    upload(client, ann, b"photo")
    in_table = [Path(asset.original_path) for asset in rows(stack)]
    assert len(in_table) == after

    def in_use(path: Path) -> bool:
        with stack.services.database.reader() as session:
            return assets.path_in_use(session, str(path))

    cleanup_incoming(stack.services.layout, datetime.now(UTC) + timedelta(minutes=1), in_use)
    assert stack.uploaded_files() == in_table


# Real sockets from here on.


def raw_upload(url: str, person: Person, content: bytes, extra: str = "") -> tuple[socket.socket, bytes]:
    """A connection, and the whole request that an upload would be."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="assetData"; filename="a.jpg"\r\n\r\n'
        + content
        + b"\r\n"
        + b"".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
            for name, text in TIMES.items()
        )
        + b"--b--\r\n"
    )
    head = (
        f"POST /api/assets HTTP/1.1\r\nHost: x\r\nx-api-key: {person.key}\r\n{extra}"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    address = urlsplit(url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port)), head.encode() + body


def wait_until(true: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@on_sqlite
@pytest.mark.parametrize("percent", [1, 50, 99])
def test_a_cut_off_upload_leaves_nothing_and_is_welcome_again(stack: ApiStack, ann: Person, percent: int) -> None:
    content = os.urandom(1_000_000) * 60  # of which 1 % is more than the server holds back before it writes
    with served(stack) as url:
        connection, request = raw_upload(url, ann, content)
        with connection:
            connection.sendall(request[: len(request) * percent // 100])
            wait_until(lambda: stack.uploaded_files() != NOTHING)
        wait_until(lambda: stack.uploaded_files() == NOTHING)
        assert rows(stack) == []
        assert quota_usage(stack, ann) == 0
        connection, request = raw_upload(url, ann, content)
        with connection:
            connection.sendall(request)
            assert b"201 Created" in answer_of(connection)
    (asset,) = rows(stack)
    assert stack.uploaded_files() == [Path(asset.original_path)]
    assert asset.checksum == hashlib.sha1(content).digest()


@on_sqlite
def test_slow_senders_hold_nobody_up(stack: ApiStack, ann: Person) -> None:
    with served(stack) as url, ExitStack() as open_ones:
        slow = [raw_upload(url, ann, os.urandom(700_000)) for _ in range(60)]  # more than there are threads
        for connection, request in slow:
            open_ones.enter_context(connection)
            connection.sendall(request[:650_000])
        wait_until(lambda: len(stack.uploaded_files()) == 60)
        began = time.monotonic()
        files = {"assetData": ("a.jpg", b"quick")}
        assert httpx.post(f"{url}/api/assets", headers=ann.headers, data=TIMES, files=files).status_code == 201
        assert time.monotonic() - began < 2
        for dribbled in range(650_000, 650_020):
            for connection, request in slow:
                connection.sendall(request[dribbled : dribbled + 1])
        for connection, request in slow:
            connection.sendall(request[650_020:])
        assert all(b"201 Created" in answer_of(connection) for connection, _ in slow)
    assert len(rows(stack)) == len(stack.uploaded_files()) == 61


def test_many_files_at_once_all_arrive(stack: ApiStack, ann: Person) -> None:
    contents = [os.urandom(300_000) for _ in range(16)]

    def send(content: bytes) -> int:
        files = {"assetData": ("a.jpg", content)}
        return httpx.post(f"{url}/api/assets", headers=ann.headers, data=TIMES, files=files, timeout=60).status_code

    with served(stack) as url, ThreadPoolExecutor(16) as threads:
        assert list(threads.map(send, contents)) == [201] * 16
    kept = {asset.checksum: Path(asset.original_path).read_bytes() for asset in rows(stack)}
    assert kept == {hashlib.sha1(content).digest(): content for content in contents}
    assert quota_usage(stack, ann) == sum(map(len, contents))


def limited(stack: ApiStack, limit_mb: int) -> ApiStack:
    services = replace(stack.services, settings=replace(stack.services.settings, upload_limit_mb=limit_mb))
    return ApiStack(services, create_app(services))


def test_what_is_over_the_limit_is_refused_and_leaves_nothing(stack: ApiStack, ann: Person) -> None:
    said = {"message": "The upload is larger than this server takes: 1 MB"}
    with in_process(limited(stack, 1).app) as client:
        assert upload(client, ann, os.urandom(1_000_000)).status_code == 201
        for content in (os.urandom(1_000_001), os.urandom(5_000_000)):
            answer = upload(client, ann, content)
            assert (answer.status_code, answer.json()) == (413, said)
        # a sidecar counts too
        files = {"assetData": ("a.jpg", b"x"), "sidecarData": ("a.xmp", os.urandom(1_000_000))}
        answer = client.post("/assets", headers=ann.headers, data=TIMES, files=files)
        assert (answer.status_code, answer.json()) == (413, said)
    assert len(stack.uploaded_files()) == len(rows(stack)) == 1


@on_sqlite
def test_what_announces_too_much_is_refused_before_it_is_read(stack: ApiStack, ann: Person) -> None:
    with served(limited(stack, 1)) as url:
        connection, request = raw_upload(url, ann, os.urandom(5_000_000))
        with connection:
            connection.sendall(request[:1000])
            assert b"413 " in answer_of(connection)
    assert stack.uploaded_files() == NOTHING


@on_sqlite
def test_a_killed_server_leaves_what_the_clean_up_finds(stack: ApiStack, ann: Person) -> None:
    with served_apart(stack) as (url, pid):
        connection, request = raw_upload(url, ann, os.urandom(3_000_000))
        with connection:
            connection.sendall(request[:2_000_000])
            wait_until(lambda: stack.uploaded_files() != NOTHING)
            psutil.Process(pid).kill()
    assert len(stack.uploaded_files()) == 1
    assert cleanup_incoming(stack.services.layout, datetime.now(UTC) - timedelta(hours=1), lambda path: False) == 0
    assert cleanup_incoming(stack.services.layout, datetime.now(UTC) + timedelta(hours=1), lambda path: False) == 1
    assert stack.uploaded_files() == NOTHING


def answer_of(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    return connection.recv(65536)


@on_sqlite
@pytest.mark.parametrize("keep_sending", [True, False])
def test_a_refusal_in_the_middle_reaches_the_client_and_the_connection_lives_on(
    stack: ApiStack, ann: Person, keep_sending: bool
) -> None:
    content = b"same" * 500_000
    with served(stack) as url:
        connection, request = raw_upload(url, ann, content)
        with connection:
            connection.sendall(request)
            assert b"201 Created" in answer_of(connection)
        checksum = hashlib.sha1(content).hexdigest()
        connection, request = raw_upload(url, ann, content, f"x-immich-checksum: {checksum}\r\n")
        with connection:
            connection.sendall(request if keep_sending else request[:2000])
            answer = answer_of(connection)
            assert b"200 OK" in answer
            assert b"duplicate" in answer
            if not keep_sending:
                connection.sendall(request[2000:])
            connection.sendall(b"GET /api/server/ping HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"pong" in answer_of(connection)


def send_large(stack: ApiStack, ann: Person, size_mb: int) -> float:
    """Upload as much; returns by how much the server grew."""
    block = os.urandom(1_000_000)
    boundary = "b"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="assetData"; filename="a.mp4"\r\n\r\n'.encode()
    tail = (
        "".join(
            f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}'
            for name, text in TIMES.items()
        ).encode()
        + f"\r\n--{boundary}--\r\n".encode()
    )

    def body() -> Iterator[bytes]:
        yield head
        for number in range(size_mb):
            yield number.to_bytes(4, "big") + block[4:]
        yield tail

    headers = ann.headers | {"content-type": f"multipart/form-data; boundary={boundary}"}
    with served_apart(stack) as (url, pid), PeakMemory(pid) as memory:
        answer = httpx.post(f"{url}/api/assets", headers=headers, content=body(), timeout=300)
        assert answer.status_code == 201
    (asset,) = rows(stack)
    digest = hashlib.sha1()
    for number in range(size_mb):
        digest.update(number.to_bytes(4, "big") + block[4:])
    assert asset.checksum == digest.digest()
    assert Path(asset.original_path).stat().st_size == size_mb * 1_000_000
    return memory.grown_mb


def test_a_large_upload_takes_little_memory(sqlite_database_url: str, tmp_path: Path) -> None:
    with api_stack(sqlite_database_url, tmp_path / "media") as stack:
        assert send_large(stack, stack.add_person(), 200) < 60


@pytest.mark.long
def test_a_gigabyte_takes_little_memory(sqlite_database_url: str, tmp_path: Path) -> None:
    with api_stack(sqlite_database_url, tmp_path / "media") as stack:
        assert send_large(stack, stack.add_person(), 1000) < 100
