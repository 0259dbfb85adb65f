"""The locked folder over HTTP, on both databases: seen by its owner in an unlocked session, and nowhere else."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from cluster.db.queries.people import give_first_face
from cluster.db.tables.asset import AssetFile
from cluster.db.tables.job import Job
from cluster.db.tables.person import AssetFace, Person
from cluster.storage.layout import Folder
from tests.api_client import ADMIN, ApiClient, api_client
from tests.api_stack import WHEN, ApiStack
from tests.api_stack import Person as Caller
from tests.library_rows import NOON, add_album, add_asset, add_person, add_tag

PIN = "123456"
LOCKED = (401, "Elevated permission is required")


@dataclass(frozen=True)
class Library:
    """Of one person: `closed` is a session of theirs that is locked, `opened` one that is not."""

    stack: ApiStack
    owner: Caller
    closed: ApiClient
    opened: ApiClient

    def add(self, **columns: Any) -> str:
        return add_asset(self.stack, self.owner, NOON, **columns)

    def hide(self, *ids: str) -> None:
        assert self.closed.put("/assets", {"ids": list(ids), "visibility": "locked"}).status_code == 204


@pytest.fixture
def library(database_url: str, tmp_path: Path) -> Iterator[Library]:
    with api_client(database_url, tmp_path / "media") as api:
        closed = api.sign_up()
        owner = Caller(closed.get("/users/me").json()["id"], "")
        assert closed.post("/auth/pin-code", {"pinCode": PIN}).status_code == 204
        opened = api.sign_in(ADMIN)
        assert opened.post("/auth/session/unlock", {"pinCode": PIN}).status_code == 204
        yield Library(ApiStack(api.services, None), owner, closed, opened)


def refused(caller: ApiClient, method: str, path: str, **body: Any) -> tuple[int, str]:
    answer = caller.request(method, path, **({"json": body} if body else {}))
    return answer.status_code, answer.json()["message"]


def found(caller: ApiClient, **wanted: Any) -> set[str]:
    return {one["id"] for one in caller.post("/search/metadata", wanted).json()["assets"]["items"]}


def in_month(caller: ApiClient, query: str) -> set[str]:
    return set(caller.get(f"/timeline/bucket?timeBucket=2024-03-01{query}").json()["id"])


def test_what_is_locked_is_seen_by_an_unlocked_session_that_asks_for_it(library: Library) -> None:
    secret, plain = library.add(), library.add()
    library.hide(secret)
    for caller in (library.closed, library.opened):
        assert in_month(caller, "") == found(caller) == {plain}
        assert {one["id"] for one in caller.post("/search/random", {}).json()} == {plain}
        assert caller.post("/search/statistics", {}).json() == {"total": 1}
        assert caller.get("/assets/statistics").json()["total"] == 1
    opened = library.opened
    assert in_month(opened, "&visibility=locked") == found(opened, visibility="locked") == {secret}
    assert opened.get("/timeline/buckets?visibility=locked").json() == [{"timeBucket": "2024-03-01", "count": 1}]
    assert [one["id"] for one in opened.post("/search/random", {"visibility": "locked"}).json()] == [secret]
    assert opened.post("/search/statistics", {"visibility": "locked"}).json() == {"total": 1}
    assert opened.get("/assets/statistics?visibility=locked").json()["total"] == 1
    assert opened.get(f"/assets/{secret}").json()["visibility"] == "locked"


@pytest.mark.parametrize("kind", ["session", "API key"])
def test_nobody_else_sees_it(library: Library, kind: str) -> None:
    secret = library.add()
    library.hide(secret)
    caller = library.closed if kind == "session" else library.opened.with_key("all")
    assert refused(caller, "GET", "/timeline/buckets?visibility=locked") == LOCKED
    assert refused(caller, "GET", "/timeline/bucket?timeBucket=2024-03-01&visibility=locked") == LOCKED
    assert refused(caller, "GET", "/assets/statistics?visibility=locked") == LOCKED
    assert refused(caller, "GET", f"/admin/users/{library.owner.user_id}/statistics?visibility=locked") == LOCKED
    for path in ("metadata", "random", "statistics"):
        assert refused(caller, "POST", f"/search/{path}", visibility="locked") == LOCKED
    assert found(caller, id=secret) == set()
    for method, path, permission in (
        ("GET", f"/assets/{secret}", "asset.read"),
        ("GET", f"/assets/{secret}/metadata", "asset.read"),
        ("GET", f"/assets/{secret}/ocr", "asset.read"),
        ("GET", f"/assets/{secret}/thumbnail", "asset.view"),
        ("GET", f"/assets/{secret}/video/playback", "asset.view"),
        ("GET", f"/assets/{secret}/original", "asset.download"),
        ("GET", f"/faces?id={secret}", "asset.read"),
        ("GET", f"/asset-steps/{secret}", "asset.read"),
    ):
        assert refused(caller, method, path) == (400, f"Not found or no {permission} access"), path
    ids = {"ids": [secret]}
    assert refused(caller, "PUT", "/assets", **ids, visibility="timeline") == (
        400,
        "Not found or no asset.update access",
    )
    assert refused(caller, "PUT", f"/assets/{secret}", visibility="timeline")[0] == 400
    assert refused(caller, "DELETE", "/assets", **ids) == (400, "Not found or no asset.delete access")
    assert refused(caller, "POST", "/trash/restore/assets", **ids)[0] == 400
    assert refused(caller, "POST", "/assets/jobs", assetIds=[secret], name="refresh-metadata")[0] == 400
    assert refused(caller, "POST", "/download/info", assetIds=[secret])[0] == 400
    assert refused(caller, "POST", "/download/archive", assetIds=[secret])[0] == 400
    tag = add_tag(library.stack, library.owner, "sea")
    tagged = caller.put(f"/tags/{tag}/assets", {"ids": [secret]}).json()
    assert [one["success"] for one in tagged] == [False]


def test_its_files_are_for_an_unlocked_session(library: Library) -> None:
    folder = library.stack.services.layout.media_root
    photo, preview = folder / "secret.jpg", folder / "secret_thumbnail.webp"
    photo.write_bytes(b"whole")
    preview.write_bytes(b"small")
    secret = library.add(original_path=str(photo), original_file_name="secret.jpg")
    with library.stack.services.database.session() as session:
        row = {"asset_id": secret, "type": "thumbnail", "path": str(preview), "is_edited": False}
        stamps = {"created_at": NOON, "updated_at": NOON}
        session.execute(insert(AssetFile).values(id=secret, **row, **stamps))
    library.hide(secret)
    assert library.opened.get(f"/assets/{secret}/original").content == b"whole"
    assert library.opened.get(f"/assets/{secret}/thumbnail").content == b"small"
    assert library.opened.post("/download/archive", {"assetIds": [secret]}).status_code == 200
    assert library.opened.post("/download/info", {"assetIds": [secret]}).status_code == 201


def test_an_unlocked_session_takes_it_out_again(library: Library) -> None:
    first, second = library.add(), library.add()
    library.hide(first, second)
    assert library.opened.put("/assets", {"ids": [first], "visibility": "timeline"}).status_code == 204
    assert library.opened.put(f"/assets/{second}", {"visibility": "archive"}).json()["visibility"] == "archive"
    assert in_month(library.closed, "") == {first, second}
    assert library.closed.put(f"/assets/{second}", {"visibility": "locked"}).status_code == 200
    assert in_month(library.closed, "") == {first}
    assert library.opened.delete("/assets", json={"ids": [second]}).status_code == 204
    assert library.opened.get("/timeline/bucket?timeBucket=2024-03-01&isTrashed=true").json()["id"] == []


def test_it_leaves_its_albums_and_is_put_in_none(library: Library) -> None:
    secret, plain = library.add(), library.add()
    album = add_album(library.stack, library.owner, secret, plain)
    assert library.closed.request("PATCH", f"/albums/{album}", json={"albumThumbnailAssetId": secret}).is_success
    library.hide(secret)
    seen = library.opened.get(f"/albums/{album}").json()
    assert (seen["assetCount"], seen["albumThumbnailAssetId"]) == (1, plain)
    put = library.opened.put(f"/albums/{album}/assets", {"ids": [secret]}).json()
    assert put == [{"id": secret, "success": False, "error": "no_permission"}]
    assert library.opened.put("/assets", {"ids": [secret], "visibility": "timeline"}).status_code == 204
    assert library.opened.get(f"/albums/{album}").json()["assetCount"] == 1
    assert in_month(library.opened, f"&albumId={album}") == {plain}


def test_it_leaves_its_stack_to_the_others(library: Library) -> None:
    a, b, c = (add_asset(library.stack, library.owner, NOON + timedelta(hours=hour)) for hour in range(3))
    stack = library.closed.post("/stacks", {"assetIds": [a, b, c]}).json()
    library.hide(a)
    left = library.opened.get(f"/stacks/{stack['id']}").json()
    assert (left["primaryAssetId"], [one["id"] for one in left["assets"]]) == (min(b, c), sorted([b, c]))
    assert library.opened.get(f"/assets/{a}").json()["stack"] is None
    assert in_month(library.closed, "&withStacked=true") == {min(b, c)}
    library.hide(b)
    assert library.opened.get("/stacks").json() == []
    assert in_month(library.closed, "&withStacked=true") == {c}


def test_nobody_is_shown_by_a_face_in_it(library: Library) -> None:
    secret, plain = library.add(), library.add()
    person = add_person(library.stack, library.owner, "Ada", secret, plain)
    path = f"/people/{person}"
    assert library.opened.put(path, {"featureFaceAssetId": secret}).status_code == 200
    shown = face_of(library, person)
    library.hide(secret)
    assert face_of(library, person) not in (None, shown)
    assert library.opened.get(f"{path}/statistics").json() == {"assets": 1}
    assert refused(library.opened, "PUT", path, featureFaceAssetId=secret)[0] == 400
    library.hide(plain)
    assert face_of(library, person) is None


def test_a_picture_of_somebody_is_made_anew_when_what_it_shows_is_locked(library: Library) -> None:
    secret, plain = library.add(), library.add()
    person = add_person(library.stack, library.owner, "Ada", secret, plain)
    assert library.opened.put(f"/people/{person}", {"featureFaceAssetId": secret}).status_code == 200
    picture = library.stack.services.layout.folder(Folder.THUMBS) / "ada.jpeg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(b"a face in the secret")
    with library.stack.services.database.session() as session:
        session.get_one(Person, person).thumbnail_path = str(picture)
    assert library.closed.get(f"/people/{person}/thumbnail").status_code == 200
    library.hide(secret)
    assert library.closed.get(f"/people/{person}/thumbnail").status_code == 404
    with library.stack.services.database.reader() as session:
        waiting = {job.name: job.payload for job in session.scalars(select(Job))}
    assert waiting["FileDelete"]["files"] == [str(picture)]
    assert "PersonGenerateThumbnail" in waiting


def test_a_face_that_is_found_in_it_stands_for_nobody(library: Library) -> None:
    secret, plain = library.add(visibility="locked"), library.add()
    person = add_person(library.stack, library.owner, "Ada", secret, plain)
    with library.stack.services.database.session() as session:
        faces = {face.asset_id: face.id for face in session.scalars(select(AssetFace))}
        give_first_face(session, {person: faces[secret]}, NOON)
    assert face_of(library, person) is None
    with library.stack.services.database.session() as session:
        give_first_face(session, {person: faces[plain]}, NOON)
    assert face_of(library, person) == faces[plain]


def face_of(library: Library, person_id: str) -> str | None:
    with library.stack.services.database.reader() as session:
        return session.get_one(Person, person_id).face_asset_id


def test_the_moving_part_of_a_locked_photo_is_locked_with_it(library: Library) -> None:
    video = library.add(type="VIDEO", visibility="hidden")
    photo = library.add(live_photo_video_id=video)
    assert found(library.closed, visibility="hidden") == {video}
    library.hide(photo)
    assert found(library.closed) == found(library.closed, visibility="hidden") == set()
    assert refused(library.closed, "GET", f"/assets/{video}")[0] == 400
    assert refused(library.closed, "GET", f"/assets/{video}/video/playback")[0] == 400
    assert library.opened.get(f"/assets/{video}").status_code == 200
    assert in_month(library.opened, "&visibility=locked") == {photo}


def test_a_locked_video_is_nobodys_moving_part_and_so_never_unlocked_by_unlinking(library: Library) -> None:
    photo, video = library.add(), library.add(type="VIDEO")
    library.hide(video)
    for caller in (library.closed, library.closed.with_key("asset.update", "asset.read")):
        assert caller.put(f"/assets/{photo}", {"livePhotoVideoId": video}).status_code == 400
        assert caller.put(f"/assets/{photo}", {"livePhotoVideoId": None}).status_code == 200
        assert caller.get(f"/assets/{video}").status_code == 400
    assert library.opened.get(f"/assets/{video}").json()["visibility"] == "locked"


def test_a_locked_video_comes_with_no_upload(library: Library) -> None:
    video = library.add(type="VIDEO")
    library.hide(video)
    stamps = {"fileCreatedAt": WHEN, "fileModifiedAt": WHEN, "livePhotoVideoId": video}
    files = {"assetData": ("a.jpg", b"photo")}
    for caller in (library.closed, library.opened.with_key("all")):
        answer = caller.request("POST", "/assets", data=stamps, files=files)
        assert (answer.status_code, answer.json()["message"]) == (400, "Live photo video not found")


def test_a_locked_video_that_its_owner_links_stays_locked_when_it_is_let_go(library: Library) -> None:
    photo, video = library.add(), library.add(type="VIDEO")
    library.hide(video)
    assert library.opened.put(f"/assets/{photo}", {"livePhotoVideoId": video}).status_code == 200
    assert library.closed.put(f"/assets/{photo}", {"livePhotoVideoId": None}).status_code == 200
    assert library.closed.get(f"/assets/{video}").status_code == 400
    assert library.opened.get(f"/assets/{video}").json()["visibility"] == "locked"


def test_the_moving_part_of_a_locked_photo_is_in_no_album_and_in_no_list(library: Library) -> None:
    bob = library.closed.other_user()
    member = Caller(bob.get("/users/me").json()["id"], "")
    video, photo = library.add(type="VIDEO"), library.add()
    add_album(library.stack, library.owner, video, shared_with=member)
    assert library.closed.put(f"/assets/{photo}", {"livePhotoVideoId": video}).status_code == 200
    library.hide(photo)
    for caller in (bob, library.closed):
        assert caller.get(f"/assets/{video}").status_code == 400
    assert library.closed.get("/assets/statistics?visibility=hidden").json()["total"] == 0
    assert in_month(library.closed, "&visibility=hidden") == set()


def test_a_new_password_without_the_old_one_does_not_open_what_is_locked(library: Library) -> None:
    new = {"password": "another password"}
    assert library.closed.put("/users/me", new).status_code == 403
    assert library.closed.with_key("user.update").put("/users/me", new).status_code == 403
    assert library.opened.put("/users/me", new).status_code == 200


def test_a_key_sets_a_password_only_where_it_may_change_one(library: Library) -> None:
    new, bob = {"password": "another password"}, library.closed.other_user()
    denied = (403, "Missing required permission: auth.changePassword")
    assert refused(bob.with_key("user.update"), "PUT", "/users/me", **new) == denied
    assert bob.with_key("user.update").put("/users/me", {"name": "Bo"}).status_code == 200
    assert bob.with_key("user.update", "auth.changePassword").put("/users/me", new).status_code == 200


def test_faces_in_locked_pictures_are_left_alone(library: Library) -> None:
    secret = library.add()
    person = add_person(library.stack, library.owner, "Ada", secret)
    face = library.opened.get(f"/faces?id={secret}").json()[0]["id"]
    library.hide(secret)
    assert library.closed.put(f"/faces/{person}", {"id": face}).status_code == 400
    assert library.closed.delete(f"/faces/{face}", json={"force": False}).status_code == 400
    assert library.opened.delete(f"/faces/{face}", json={"force": False}).status_code == 204


@pytest.mark.parametrize("kind", ["session", "API key"])
def test_the_trash_is_emptied_and_restored_of_what_the_caller_sees(library: Library, kind: str) -> None:
    video = library.add(type="VIDEO", visibility="hidden")
    secret, plain = library.add(live_photo_video_id=video), library.add()
    library.hide(secret)
    trash = {"ids": [secret, video, plain]}
    assert library.opened.delete("/assets", json=trash).status_code == 204
    caller = library.closed if kind == "session" else library.opened.with_key("all")
    assert caller.post("/trash/restore").json() == {"count": 1}
    assert caller.delete("/assets", json={"ids": [plain]}).status_code == 204
    assert caller.post("/trash/empty").json() == {"count": 1}
    assert library.opened.post("/trash/restore").json() == {"count": 2}
    assert library.opened.get(f"/assets/{secret}").json()["isTrashed"] is False
    assert library.opened.delete("/assets", json={"ids": [secret, video]}).status_code == 204
    assert library.opened.post("/trash/empty").json() == {"count": 2}
