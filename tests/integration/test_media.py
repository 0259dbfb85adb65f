"""What is served of an asset, and what may be done to it, on both databases."""

import base64
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update

from cluster.db.tables.asset import Asset, AssetExif, AssetFile, Library
from cluster.db.tables.job import Event, Job
from tests.api_stack import WHEN, ApiStack, AppClient, Person, api_stack, in_process, served, served_apart
from tests.peak_memory import PeakMemory

LARGE = os.urandom(3_000_000)

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
    return stack.add_person("ann")


@pytest.fixture
def ben(stack: ApiStack) -> Person:
    return stack.add_person("ben")


def upload(client: AppClient, person: Person, content: bytes = b"photo", name: str = "a.jpg", **texts: str) -> str:
    data = {"fileCreatedAt": WHEN, "fileModifiedAt": WHEN} | texts
    answer = client.post("/assets", headers=person.headers, data=data, files={"assetData": (name, content)})
    assert answer.status_code == 201, answer.text
    asset_id: str = answer.json()["id"]
    return asset_id


def add_file(stack: ApiStack, asset_id: str, kind: str, content: bytes, path: Path | None = None) -> Path:
    """As a job would leave it."""
    suffix = {"thumbnail": ".webp", "encoded_video": ".mp4"}.get(kind, ".jpeg")
    path = path or stack.services.layout.media_root / "thumbs" / f"{asset_id}_{kind}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    now = stack.services.clock.now()
    row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "type": kind, "path": str(path)}
    with stack.services.database.session() as session:
        session.execute(insert(AssetFile).values(**row, created_at=now, updated_at=now))
    return path


def change(stack: ApiStack, asset_id: str, **columns: Any) -> None:
    with stack.services.database.session() as session:
        session.execute(update(Asset).where(Asset.id == asset_id).values(**columns))


def asset_row(stack: ApiStack, asset_id: str) -> Asset:
    with stack.services.database.reader() as session:
        return session.get_one(Asset, asset_id)


def exif_row(stack: ApiStack, asset_id: str) -> AssetExif:
    with stack.services.database.reader() as session:
        return session.get_one(AssetExif, asset_id)


def new_jobs(stack: ApiStack) -> list[tuple[str, dict[str, Any]]]:
    """Jobs beyond the first that every upload causes."""
    with stack.services.database.reader() as session:
        jobs = [(job.name, job.payload) for job in session.scalars(select(Job).order_by(Job.id))]
    return [job for job in jobs if job[1].get("source") != "upload"]


def events(stack: ApiStack) -> list[tuple[str, str | None, dict[str, Any]]]:
    with stack.services.database.reader() as session:
        return [(event.type, event.user_id, event.data) for event in session.scalars(select(Event).order_by(Event.id))]


# The original


@on_sqlite
def test_the_original_comes_back_whole_with_its_name(client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann, LARGE, "Ferien 写真.jpg")
    answer = client.get(f"/assets/{asset_id}/original", headers=ann.headers)
    assert answer.status_code == 200
    assert answer.content == LARGE
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''Ferien%20%E5%86%99%E7%9C%9F.jpg"
    assert answer.headers["cache-control"].startswith("private, max-age=86400, no-transform")
    assert answer.headers["last-modified"] == "Tue, 02 Jan 2024 03:04:05 GMT"
    assert answer.headers["accept-ranges"] == "bytes"


@on_sqlite
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=2999990-", 2999990, 3000000),
        ("bytes=-5", 2999995, 3000000),
        ("bytes=-9999999", 0, 3000000),
        ("bytes=100-99999999", 100, 3000000),
    ],
)
def test_a_range_is_honoured(client: AppClient, ann: Person, asked: str, start: int, end: int) -> None:
    asset_id = upload(client, ann, LARGE)
    answer = client.get(f"/assets/{asset_id}/original", headers=ann.headers | {"range": asked})
    assert answer.status_code == 206
    assert answer.content == LARGE[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(LARGE)}"
    assert answer.headers["content-length"] == str(end - start)


@on_sqlite
@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-5", "lines=1-2", "bytes=", "bytes=-", "bytes=a-b"])
def test_what_is_no_single_range_gets_the_whole_file(client: AppClient, ann: Person, asked: str) -> None:
    asset_id = upload(client, ann)
    answer = client.get(f"/assets/{asset_id}/original", headers=ann.headers | {"range": asked})
    assert (answer.status_code, answer.content) == (200, b"photo")


@on_sqlite
@pytest.mark.parametrize("asked", ["bytes=5-", "bytes=99-100", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_had(client: AppClient, ann: Person, asked: str) -> None:
    asset_id = upload(client, ann)
    answer = client.get(f"/assets/{asset_id}/original", headers=ann.headers | {"range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */5")


@on_sqlite
def test_a_known_copy_is_not_sent_again(client: AppClient, ann: Person) -> None:
    path = f"/assets/{upload(client, ann)}/original"
    first = client.get(path, headers=ann.headers)
    etag = first.headers["etag"]
    assert not etag.startswith("W/")
    for headers in ({"if-none-match": etag}, {"if-none-match": f'"x", W/{etag}'}, {"if-none-match": "*"}):
        again = client.get(path, headers=ann.headers | headers)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    since = {"if-modified-since": first.headers["last-modified"]}
    assert client.get(path, headers=ann.headers | since).status_code == 304
    assert client.get(path, headers=ann.headers | since | {"if-none-match": '"other"'}).status_code == 200


@on_sqlite
def test_a_range_of_another_version_gets_the_whole_file(client: AppClient, ann: Person) -> None:
    path = f"/assets/{upload(client, ann)}/original"
    etag = client.get(path, headers=ann.headers).headers["etag"]
    asked = ann.headers | {"range": "bytes=0-0"}
    assert client.get(path, headers=asked | {"if-range": etag}).status_code == 206
    assert client.get(path, headers=asked | {"if-range": '"other"'}).status_code == 200


@on_sqlite
def test_an_original_that_is_gone_from_the_disk_is_not_found(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann)
    Path(asset_row(stack, asset_id).original_path).unlink()
    answer = client.get(f"/assets/{asset_id}/original", headers=ann.headers)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})


@on_sqlite
@pytest.mark.parametrize("path", ["/etc/passwd", "{media}/../secret.jpg", "{media}", "{media}/upload"])
def test_a_row_that_points_elsewhere_is_not_followed(
    stack: ApiStack, client: AppClient, ann: Person, path: str
) -> None:
    media = stack.services.layout.media_root
    (media.parent / "secret.jpg").write_bytes(b"secret")
    asset_id = upload(client, ann)
    change(stack, asset_id, original_path=path.format(media=media))
    assert client.get(f"/assets/{asset_id}/original", headers=ann.headers).status_code == 404


def test_an_external_library_is_served_from_its_own_roots_alone(
    stack: ApiStack, client: AppClient, ann: Person, tmp_path: Path
) -> None:
    inside, outside = tmp_path / "nas" / "a.jpg", tmp_path / "other" / "a.jpg"
    for path in (inside, outside):
        path.parent.mkdir()
        path.write_bytes(b"external")
    now = datetime.now(UTC)
    library = {"id": str(uuid.uuid4()), "owner_id": ann.user_id, "name": "nas", "import_paths": [str(inside.parent)]}
    with stack.services.database.session() as session:
        session.execute(insert(Library).values(**library, exclusion_patterns=[], created_at=now, updated_at=now))
    asset_id = upload(client, ann)
    change(stack, asset_id, library_id=library["id"], original_path=str(inside))
    assert client.get(f"/assets/{asset_id}/original", headers=ann.headers).content == b"external"
    change(stack, asset_id, original_path=str(outside))
    assert client.get(f"/assets/{asset_id}/original", headers=ann.headers).status_code == 404


@on_sqlite
def test_a_head_request_tells_the_size_without_the_bytes(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann, LARGE)
    with served(stack) as url:
        whole = httpx.head(f"{url}/api/assets/{asset_id}/original", headers=ann.headers)
        part = httpx.head(f"{url}/api/assets/{asset_id}/original", headers=ann.headers | {"range": "bytes=0-9"})
    for answer in (whole, part):  # a range is of a GET alone
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", str(len(LARGE)))
        assert answer.headers["accept-ranges"] == "bytes"


@on_sqlite
def test_a_range_holds_while_the_date_does(client: AppClient, ann: Person) -> None:
    path = f"/assets/{upload(client, ann)}/original"
    date = client.get(path, headers=ann.headers).headers["last-modified"]
    asked = ann.headers | {"range": "bytes=0-0"}
    assert client.get(path, headers=asked | {"if-range": date}).status_code == 206
    assert client.get(path, headers=asked | {"if-range": "Mon, 01 Jan 2024 00:00:00 GMT"}).status_code == 200
    # the copy is good: nothing is sent, whatever part is asked for
    assert client.get(path, headers=asked | {"if-modified-since": date}).status_code == 304


@on_sqlite
def test_a_film_flows_to_many_who_take_their_time(
    stack: ApiStack, client: AppClient, ann: Person, report: Callable[[str], None]
) -> None:
    asset_id, size_bytes = upload(client, ann, b"film", "a.mp4"), 300_000_000
    os.truncate(asset_row(stack, asset_id).original_path, size_bytes)
    with served_apart(stack) as (url, pid), ExitStack() as watching:
        address = f"{url}/api/assets/{asset_id}/video/playback"
        httpx.get(address, headers=ann.headers | {"range": "bytes=0-2000000"})
        with PeakMemory(pid) as memory:
            for viewer in range(16):
                asked = ann.headers | {"range": f"bytes={viewer * 10_000_000}-"}
                answer = watching.enter_context(httpx.stream("GET", address, headers=asked))
                assert answer.status_code == 206
            received = sum(len(piece) for piece in answer.iter_bytes())  # the last one wants all; the others wait
    assert received == size_bytes - 150_000_000
    assert memory.grown_mb < 80
    report(f"one film of 300 MB to 16 viewers, one takes all and 15 pause: the API grew by {memory.grown_mb:.0f} MB")


# Thumbnails and playback


def test_a_thumbnail_is_not_found_until_it_is_made(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann, name="Katze.jpg")
    answer = client.get(f"/assets/{asset_id}/thumbnail", headers=ann.headers)
    assert (answer.status_code, answer.json()) == (404, {"message": "Asset media not found"})
    add_file(stack, asset_id, "thumbnail", b"small")
    answer = client.get(f"/assets/{asset_id}/thumbnail", headers=ann.headers)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"small", "image/webp")
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''Katze_thumbnail.webp"
    assert (
        client.get(
            f"/assets/{asset_id}/thumbnail", headers=ann.headers | {"if-none-match": answer.headers["etag"]}
        ).status_code
        == 304
    )


@on_sqlite
def test_each_size_has_its_file_or_its_substitute(stack: ApiStack, client: AppClient, ann: Person) -> None:
    web, raw = upload(client, ann, b"1", "a.jpg"), upload(client, ann, b"2", "b.dng")
    for asset_id in (web, raw):
        add_file(stack, asset_id, "preview", b"preview")

    def ask(asset_id: str, size: str) -> tuple[int, str]:
        answer = client.get(f"/assets/{asset_id}/thumbnail?size={size}&c=x%20y", headers=ann.headers)
        return answer.status_code, answer.headers.get("location", answer.content.decode())

    assert ask(web, "preview") == (200, "preview")
    assert ask(web, "original") == (302, "original?size=original&c=x+y")
    assert ask(web, "fullsize") == (302, "original?size=original&c=x+y")
    assert ask(raw, "fullsize") == (302, "thumbnail?size=preview&c=x+y")
    add_file(stack, raw, "fullsize", b"fullsize")
    assert ask(raw, "fullsize") == (200, "fullsize")
    assert ask(raw, "huge")[0] == 400


@on_sqlite
def test_redirects_lead_to_the_picture(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann)
    for size in ("original", "fullsize"):
        answer = client.get(f"/assets/{asset_id}/thumbnail?size={size}", headers=ann.headers, follow_redirects=True)
        assert answer.content == b"photo"


def test_a_video_plays_encoded_or_as_it_came(stack: ApiStack, client: AppClient, ann: Person) -> None:
    photo, video = upload(client, ann), upload(client, ann, b"original", "v.mov")
    path = f"/assets/{video}/video/playback"
    answer = client.get(path, headers=ann.headers)
    assert (answer.content, answer.headers["content-type"]) == (b"original", "video/quicktime")
    add_file(stack, video, "encoded_video", b"encoded")
    answer = client.get(path, headers=ann.headers | {"range": "bytes=0-3"})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (206, b"enco", "video/mp4")
    assert client.get(f"/assets/{photo}/video/playback", headers=ann.headers).status_code == 404


# Who may


@on_sqlite
@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("", "asset.read"),
        ("/metadata", "asset.read"),
        ("/ocr", "asset.read"),
        ("/thumbnail", "asset.view"),
        ("/video/playback", "asset.view"),
        ("/original", "asset.download"),
        ("/edits", "asset.edit.get"),
    ],
)
def test_what_is_somebody_elses_reads_as_if_it_were_not_there(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person, path: str, permission: str
) -> None:
    mine, nobodys = upload(client, ann), str(uuid.uuid4())
    for asset_id in (mine, nobodys):
        answer = client.get(f"/assets/{asset_id}{path}", headers=ben.headers)
        assert (answer.status_code, answer.json()) == (400, {"message": f"Not found or no {permission} access"})
    assert client.get(f"/assets/{mine}{path}").json() == {"message": "Authentication required"}
    none = stack.add_person("none", ("user.read",))
    answer = client.get(f"/assets/{mine}{path}", headers=none.headers)
    assert (answer.status_code, answer.json()["message"]) == (403, f"Missing required permission: {permission}")


@on_sqlite
@pytest.mark.parametrize("asset_id", ["x", "00000000-0000-1000-8000-000000000000"])
def test_an_id_that_is_no_uuid_of_version_4_is_invalid(client: AppClient, ann: Person, asset_id: str) -> None:
    answer = client.get(f"/assets/{asset_id}", headers=ann.headers)
    assert answer.status_code == 400
    assert [issue["message"] for issue in answer.json()["errors"]] == ["Invalid UUID"]


@on_sqlite
def test_empty_lists_where_nothing_is_known(client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann)
    assert client.get(f"/assets/{asset_id}/metadata", headers=ann.headers).json() == []
    assert client.get(f"/assets/{asset_id}/ocr", headers=ann.headers).json() == []
    assert client.get(f"/assets/{asset_id}/edits", headers=ann.headers).json() == {"assetId": asset_id, "edits": []}


# Changing


def test_an_update_changes_what_it_names_and_nothing_else(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann)
    answer = client.put(f"/assets/{asset_id}", headers=ann.headers, json={"isFavorite": True, "visibility": "archive"})
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["isFavorite"], shown["isArchived"], shown["visibility"]) == (True, True, "archive")
    assert new_jobs(stack) == []
    assert exif_row(stack, asset_id).locked_properties == []
    assert client.request("PATCH", f"/assets/{asset_id}", headers=ann.headers, json={}).json()["isFavorite"] is True


def test_what_also_stands_in_the_file_is_locked_and_written_to_the_sidecar(
    stack: ApiStack, client: AppClient, ann: Person
) -> None:
    asset_id = upload(client, ann)
    body = {
        "description": "at the lake",
        "rating": -1,
        "latitude": 47.5,
        "longitude": 8,
        "dateTimeOriginal": "2020-06-01T12:00:00.000+05:30",
    }
    answer = client.put(f"/assets/{asset_id}", headers=ann.headers, json=body)
    shown = answer.json()["exifInfo"]
    assert (shown["description"], shown["rating"], shown["latitude"], shown["longitude"]) == (
        "at the lake",
        -1,
        47.5,
        8,
    )
    assert (shown["dateTimeOriginal"], shown["timeZone"]) == ("2020-06-01T06:30:00.000Z", "UTC+5:30")
    locked = ["date_time_original", "description", "latitude", "longitude", "rating", "time_zone"]
    assert exif_row(stack, asset_id).locked_properties == locked
    assert new_jobs(stack) == [("SidecarWrite", {"id": asset_id})]
    client.put(f"/assets/{asset_id}", headers=ann.headers, json={"rating": None, "lensModel": "50mm"})
    assert exif_row(stack, asset_id).rating is None
    assert exif_row(stack, asset_id).locked_properties == sorted([*locked, "lens_model"])


@on_sqlite
@pytest.mark.parametrize(
    "body",
    [
        {"rating": 0},
        {"rating": 6},
        {"rating": 1.5},
        {"latitude": 1},
        {"latitude": 91, "longitude": 0},
        {"isFavorite": "true"},
        {"isFavorite": None},
        {"visibility": "public"},
        {"dateTimeOriginal": "soon"},
        {"description": None},
        {"livePhotoVideoId": "x"},
    ],
)
def test_a_wrong_update_changes_nothing(stack: ApiStack, client: AppClient, ann: Person, body: dict[str, Any]) -> None:
    asset_id = upload(client, ann)
    before = client.get(f"/assets/{asset_id}", headers=ann.headers).json()
    answer = client.put(f"/assets/{asset_id}", headers=ann.headers, json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
    assert client.get(f"/assets/{asset_id}", headers=ann.headers).json() == before
    assert new_jobs(stack) == []


def test_many_are_updated_or_none(stack: ApiStack, client: AppClient, ann: Person, ben: Person) -> None:
    mine = [upload(client, ann, content) for content in (b"1", b"2")]
    his = upload(client, ben)
    refused = client.put("/assets", headers=ann.headers, json={"ids": [*mine, his], "isFavorite": True})
    assert (refused.status_code, refused.json()["message"]) == (400, "Not found or no asset.update access")
    assert not any(asset_row(stack, asset_id).is_favorite for asset_id in mine)
    done = client.put("/assets", headers=ann.headers, json={"ids": mine, "isFavorite": True, "duplicateId": None})
    assert (done.status_code, done.content) == (204, b"")
    assert all(asset_row(stack, asset_id).is_favorite for asset_id in mine)
    assert sorted(job["id"] for name, job in new_jobs(stack) if name == "SidecarWrite") == sorted(mine)


def test_dates_move_together(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = upload(client, ann)
    one = {"ids": [asset_id]}
    client.put("/assets", headers=ann.headers, json=one | {"dateTimeOriginal": "2020-01-01T00:00:00Z"})
    client.put("/assets", headers=ann.headers, json=one | {"dateTimeRelative": -90, "timeZone": "Europe/Zurich"})
    exif = exif_row(stack, asset_id)
    assert exif.date_time_original == datetime(2019, 12, 31, 22, 30, tzinfo=UTC)
    assert exif.time_zone == "Europe/Zurich"
    client.put("/assets", headers=ann.headers, json=one | {"dateTimeOriginal": "9990-01-01T00:00:00Z"})
    for wrong in (
        {"dateTimeRelative": 1, "dateTimeOriginal": "2020-01-01"},
        {"timeZone": "Mars/Olympus"},
        {"dateTimeRelative": 10**7},
    ):
        assert client.put("/assets", headers=ann.headers, json=one | wrong).status_code == 400


def test_a_live_photo_is_linked_and_unlinked(stack: ApiStack, client: AppClient, ann: Person) -> None:
    photo, video = upload(client, ann), upload(client, ann, b"v", "v.mov")
    answer = client.put(f"/assets/{photo}", headers=ann.headers, json={"livePhotoVideoId": video})
    assert answer.json()["livePhotoVideoId"] == video
    assert asset_row(stack, video).visibility == "hidden"
    assert events(stack) == [("asset_hidden", ann.user_id, {"asset_id": video})]
    answer = client.put(f"/assets/{photo}", headers=ann.headers, json={"livePhotoVideoId": None})
    assert answer.json()["livePhotoVideoId"] is None
    assert asset_row(stack, video).visibility == "timeline"
    assert new_jobs(stack) == [("AssetGenerateThumbnails", {"id": video, "notify": True})]
    answer = client.put(f"/assets/{photo}", headers=ann.headers, json={"livePhotoVideoId": photo})
    assert (answer.status_code, answer.json()) == (400, {"message": "Live photo video must be a video"})


# Deleting


def test_the_trash_and_back(stack: ApiStack, client: AppClient, ann: Person) -> None:
    ids = [upload(client, ann, content) for content in (b"1", b"2", b"3")]
    assert client.delete("/assets", headers=ann.headers, json={"ids": ids}).status_code == 204
    assert [asset_row(stack, asset_id).status for asset_id in ids] == ["trashed"] * 3
    assert client.get(f"/assets/{ids[0]}", headers=ann.headers).json()["isTrashed"] is True
    assert client.post("/trash/restore/assets", headers=ann.headers, json={"ids": ids[:1]}).json() == {"count": 1}
    assert client.post("/trash/restore", headers=ann.headers).json() == {"count": 2}
    assert [asset_row(stack, asset_id).deleted_at for asset_id in ids] == [None] * 3
    assert events(stack) == [
        ("asset_trash", ann.user_id, {"asset_ids": ids}),
        ("asset_restore", ann.user_id, {"asset_ids": ids[:1]}),
    ]
    assert new_jobs(stack) == []


def test_emptying_the_trash_leaves_the_rest_to_a_job(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person
) -> None:
    gone, kept, his = upload(client, ann, b"1"), upload(client, ann, b"2"), upload(client, ben, b"3")
    for person, asset_id in ((ann, gone), (ben, his)):
        client.delete("/assets", headers=person.headers, json={"ids": [asset_id]})
    assert client.post("/trash/empty", headers=ann.headers).json() == {"count": 1}
    assert client.post("/trash/empty", headers=ann.headers).json() == {"count": 0}
    assert [asset_row(stack, asset_id).status for asset_id in (gone, kept, his)] == ["deleted", "active", "trashed"]
    assert new_jobs(stack) == [("AssetEmptyTrash", {})]


def test_force_goes_past_the_trash(stack: ApiStack, client: AppClient, ann: Person) -> None:
    ids = [upload(client, ann, content) for content in (b"1", b"2")]
    assert client.delete("/assets", headers=ann.headers, json={"ids": ids, "force": True}).status_code == 204
    assert [asset_row(stack, asset_id).status for asset_id in ids] == ["deleted", "deleted"]
    assert new_jobs(stack) == [("AssetEmptyTrash", {})]
    assert client.post("/trash/restore", headers=ann.headers).json() == {"count": 0}


def test_nobody_deletes_or_restores_what_is_not_theirs(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person
) -> None:
    mine, his = upload(client, ann), upload(client, ben)
    for path, method in (("/assets", "DELETE"), ("/trash/restore/assets", "POST")):
        answer = client.request(method, path, headers=ann.headers, json={"ids": [mine, his]})
        assert (answer.status_code, answer.json()["message"]) == (400, "Not found or no asset.delete access")
    assert [asset_row(stack, asset_id).status for asset_id in (mine, his)] == ["active", "active"]


# Asking and counting


def test_the_bulk_check_tells_what_is_known_in_the_same_order(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person
) -> None:
    here, trashed = upload(client, ann, b"here"), upload(client, ann, b"trashed")
    upload(client, ben, b"his")
    client.delete("/assets", headers=ann.headers, json={"ids": [trashed]})
    sha1 = {content: hashlib.sha1(content).digest() for content in (b"here", b"trashed", b"his")}
    asked = [
        {"id": "/a/1.jpg", "checksum": sha1[b"his"].hex()},
        {"id": "/a/2.jpg", "checksum": sha1[b"here"].hex()},
        {"id": "/a/3.jpg", "checksum": base64.b64encode(sha1[b"trashed"]).decode()},
        {"id": "/a/4.jpg", "checksum": "nonsense"},
    ]
    answer = client.post("/assets/bulk-upload-check", headers=ann.headers, json={"assets": asked})
    assert answer.status_code == 200
    reject = {"action": "reject", "reason": "duplicate"}
    assert answer.json()["results"] == [
        {"id": "/a/1.jpg", "action": "accept"},
        {"id": "/a/2.jpg", **reject, "assetId": here, "isTrashed": False},
        {"id": "/a/3.jpg", **reject, "assetId": trashed, "isTrashed": True},
        {"id": "/a/4.jpg", "action": "accept"},
    ]


def test_five_thousand_are_checked_at_once(client: AppClient, ann: Person) -> None:
    here = upload(client, ann, b"4999")
    asked = [{"id": str(n), "checksum": hashlib.sha1(str(n).encode()).hexdigest()} for n in range(5000)]
    results = client.post("/assets/bulk-upload-check", headers=ann.headers, json={"assets": asked}).json()["results"]
    assert [result["id"] for result in results] == [str(n) for n in range(5000)]
    assert [result.get("assetId") for result in results if result["action"] == "reject"] == [here]


def test_statistics_count_what_is_shown(stack: ApiStack, client: AppClient, ann: Person, ben: Person) -> None:
    upload(client, ann, b"1", isFavorite="true")
    upload(client, ann, b"2", visibility="archive")
    upload(client, ann, b"3", "v.mp4")
    upload(client, ann, b"4", "h.mp4", visibility="hidden")
    trashed = upload(client, ann, b"5")
    client.delete("/assets", headers=ann.headers, json={"ids": [trashed]})
    upload(client, ben, b"6")

    def count(query: str = "") -> tuple[int, int, int]:
        shown = client.get(f"/assets/statistics{query}", headers=ann.headers).json()
        return shown["images"], shown["videos"], shown["total"]

    assert count() == (2, 1, 3)
    assert count("?isFavorite=true") == (1, 0, 1)
    assert count("?isTrashed=true") == (1, 0, 1)
    assert count("?visibility=hidden") == (0, 1, 1)
    locked = client.get("/assets/statistics?visibility=locked", headers=ann.headers)
    assert (locked.status_code, locked.json()) == (401, {"message": "Elevated permission is required"})


@on_sqlite
@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("refresh-faces", "AssetDetectFaces"),
        ("refresh-metadata", "AssetExtractMetadata"),
        ("regenerate-thumbnail", "AssetGenerateThumbnails"),
        ("transcode-video", "AssetEncodeVideo"),
    ],
)
def test_a_job_is_run_again_on_demand(stack: ApiStack, client: AppClient, ann: Person, name: str, job: str) -> None:
    asset_id = upload(client, ann)
    with stack.services.database.session() as session:
        session.query(Job).delete()
    answer = client.post("/assets/jobs", headers=ann.headers, json={"assetIds": [asset_id, asset_id], "name": name})
    assert answer.status_code == 204
    assert new_jobs(stack) == [(job, {"id": asset_id})]


def test_jobs_for_somebody_elses_assets_are_refused(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person
) -> None:
    body = {"assetIds": [upload(client, ben)], "name": "refresh-metadata"}
    answer = client.post("/assets/jobs", headers=ann.headers, json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Not found or no asset.update access")
    wrong = client.post("/assets/jobs", headers=ann.headers, json=body | {"name": "dance"})
    assert wrong.json()["errors"][0]["path"] == ["name"]
