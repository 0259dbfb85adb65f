"""Shared links over HTTP, on both databases: what whoever has one may see and do, and all that they may not."""

import base64
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.requests import HTTPConnection

from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.shared_link import SharedLink
from cluster.db.tables.user import User
from cluster.errors import Forbidden
from cluster.storage.layout import Folder
from serve_app.deps import authenticate
from tests.api_stack import WHEN, ApiStack, AppClient, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add, add_album, add_asset, add_person, add_tag
from tests.published_api import published_api

MONTH = "2024-03-01"
TIMES = {"created_at": NOON, "updated_at": NOON}
BARE = {
    *("id", "type", "originalMimeType", "thumbhash", "localDateTime", "duration"),
    *("livePhotoVideoId", "hasMetadata", "width", "height"),
}


@dataclass(frozen=True)
class Visitor:
    """Somebody who has a link and no account."""

    client: AppClient
    key: str

    def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self.client.request(method, path, headers={"x-immich-share-key": self.key}, **given)

    def status(self, method: str, path: str, **given: Any) -> int:
        return self.ask(method, path, **given).status_code

    def get(self, path: str, **params: Any) -> Any:
        response = self.ask("GET", path, params=params)
        assert response.status_code == 200, response.text
        return response.json()


Share = Callable[..., Visitor]


@pytest.fixture
def share(client: AppClient, as_ann: CheckedClient) -> Share:
    """A link of Ann's to these assets, or to an album."""

    def make(*asset_ids: str, album_id: str | None = None, **fields: Any) -> Visitor:
        kind = {"type": "INDIVIDUAL", "assetIds": list(asset_ids)}
        if album_id is not None:
            kind = {"type": "ALBUM", "albumId": album_id}
        return Visitor(client, as_ann.post("/shared-links", **{"allowUpload": False, **kind, **fields})["key"])

    return make


@pytest.fixture
def photo(stack: ApiStack, ann: Person) -> str:
    """One with a file, that Ann likes and somebody is in."""
    path = stack.services.layout.media_root / "a.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    exif = {"city": "Rome", "latitude": 1.0, "longitude": 2.0, "make": "Canon"}
    asset_id = add_asset(stack, ann, is_favorite=True, original_path=str(path), **exif)
    add_person(stack, ann, "Carla", asset_id)
    add_tag(stack, ann, "private", asset_id)
    return asset_id


def upload(visitor: Visitor, content: bytes = b"new", **fields: str) -> httpx.Response:
    texts = {"fileCreatedAt": WHEN, "fileModifiedAt": WHEN, **fields}
    return visitor.ask("POST", "/assets", data=texts, files={"assetData": ("a.jpg", content)})


def test_a_link_from_its_making_to_its_end(ann: Person, as_ann: CheckedClient, photo: str, client: AppClient) -> None:
    made = as_ann.post("/shared-links", type="INDIVIDUAL", assetIds=[photo], description="Rome", slug="rome")
    assert (made["type"], made["userId"], made["description"], made["slug"]) == (
        "INDIVIDUAL",
        ann.user_id,
        "Rome",
        "rome",
    )
    assert (made["allowDownload"], made["showMetadata"], made["password"], made["expiresAt"]) == (
        True,
        True,
        None,
        None,
    )
    assert [one["id"] for one in made["assets"]] == [photo]
    assert len(base64.urlsafe_b64decode(made["key"] + "=")) == 50
    path = f"/shared-links/{made['id']}"
    assert as_ann.get(path)["key"] == made["key"]
    assert [one["id"] for one in as_ann.get("/shared-links", id=made["id"])] == [made["id"]]
    assert as_ann.get("/shared-links", albumId=str(uuid.uuid4())) == []
    changed = as_ann.patch(path, description="Roma", expiresAt="2030-01-01T00:00:00.000Z", password="secret")
    assert (changed["description"], changed["expiresAt"], changed["slug"]) == (
        "Roma",
        "2030-01-01T00:00:00.000Z",
        "rome",
    )
    assert set(changed["password"]) == {"*"}
    assert as_ann.patch(path, expiresAt=None, slug="", password=None)["expiresAt"] is None
    visitor = Visitor(client, made["key"])
    assert visitor.get(f"/assets/{photo}")["id"] == photo
    as_ann.delete(path)
    assert as_ann.refused("GET", path) == (400, "Shared link not found")
    assert visitor.ask("GET", f"/assets/{photo}").json() == {"message": "Invalid share key"}


def test_key_in_base64_or_hex_and_slug_in_header_or_query(
    client: AppClient, share: Share, as_ann: CheckedClient, photo: str
) -> None:
    key = share(photo, slug="rome").key
    in_hex = base64.urlsafe_b64decode(key + "=").hex()
    path = f"/assets/{photo}"
    for query in ({"key": key}, {"key": in_hex}, {"slug": "rome"}):
        assert client.get(path, params=query).json()["id"] == photo
    for headers in ({"x-immich-share-key": in_hex}, {"x-immich-share-slug": "rome"}):
        assert client.get(path, headers=headers).json()["id"] == photo
    for query, message in (
        ({"key": "x"}, "Invalid share key"),
        ({"key": "z" * 100}, "Invalid share key"),
        ({"slug": "x"}, "Invalid share slug"),
        ({"slug": "x\0"}, "Invalid share slug"),
    ):
        refused = client.get(path, params=query)
        assert (refused.status_code, refused.json()["message"]) == (401, message)
    again = {"type": "INDIVIDUAL", "assetIds": [photo], "slug": "rome"}
    assert as_ann.refused("POST", "/shared-links", json=again) == (400, "Shared link with this slug already exists")


def test_only_what_one_may_give_away_is_shared(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient, photo: str, share: Share
) -> None:
    bens, locked = add_asset(stack, ben), add_asset(stack, ann, visibility="locked")
    album_id = add_album(stack, ann, photo, shared_with=ben)
    for client, body, message in (
        (as_ann, {"type": "INDIVIDUAL", "assetIds": [bens]}, "Not found or no asset.share access"),
        (as_ann, {"type": "INDIVIDUAL", "assetIds": [photo, locked]}, "Not found or no asset.share access"),
        (as_ann, {"type": "INDIVIDUAL"}, "Invalid assetIds"),
        (as_ann, {"type": "ALBUM"}, "Invalid albumId"),
        (as_ben, {"type": "ALBUM", "albumId": album_id}, "Not found or no album.share access"),
        (as_ben, {"type": "INDIVIDUAL", "assetIds": [photo]}, "Not found or no asset.share access"),
    ):
        assert client.refused("POST", "/shared-links", json=body) == (400, message)
    share(photo)
    link_id = as_ann.get("/shared-links")[0]["id"]
    assert as_ben.get("/shared-links") == []
    for method, rest, body in (
        ("GET", "", None),
        ("PATCH", "", {"allowUpload": True}),
        ("DELETE", "", None),
        ("PUT", "/assets", {"assetIds": [bens]}),
        ("DELETE", "/assets", {"assetIds": [photo]}),
    ):
        refused = as_ben.refused(method, f"/shared-links/{link_id}{rest}", json=body)
        assert refused == (400, "Shared link not found")


def test_assets_come_into_a_link_and_leave_it(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, photo: str, share: Share
) -> None:
    visitor = share(photo)
    path = f"/shared-links/{as_ann.get('/shared-links')[0]['id']}/assets"
    more, bens = add_asset(stack, ann), add_asset(stack, ben)
    outcomes = as_ann.put(path, assetIds=[photo, more, more, bens])
    assert [one.get("error") for one in outcomes] == ["duplicate", None, "duplicate", "no_permission"]
    assert visitor.get(f"/assets/{more}")["id"] == more
    assert [one.get("error") for one in as_ann.delete(path, assetIds=[photo, photo])] == [None, "not_found"]
    assert visitor.status("GET", f"/assets/{photo}") == 400
    album = as_ann.post("/shared-links", type="ALBUM", albumId=add_album(stack, ann))
    refused = as_ann.refused("PUT", f"/shared-links/{album['id']}/assets", json={"assetIds": [more]})
    assert refused == (400, "Invalid shared link type")


def test_a_visitor_sees_what_is_in_the_link_and_nothing_else(
    stack: ApiStack, ann: Person, photo: str, share: Share
) -> None:
    other = add_asset(stack, ann)
    visitor = share(photo)
    seen = visitor.get(f"/assets/{photo}")
    assert (seen["isFavorite"], seen["people"], seen["exifInfo"]["city"]) == (False, [], "Rome")
    assert "tags" not in seen
    assert visitor.ask("GET", f"/assets/{photo}/original").content == b"picture"
    mine = visitor.get("/shared-links/me")
    assert [one["id"] for one in mine["assets"]] == [photo]
    for path in ("", "/thumbnail", "/original", "/video/playback"):
        assert visitor.status("GET", f"/assets/{other}{path}") == 400
    assert visitor.status("POST", "/download/info", json={"assetIds": [photo, other]}) == 400
    assert visitor.status("POST", "/download/archive", json={"assetIds": [other]}) == 400
    assert visitor.status("POST", "/download/info", json={"userId": ann.user_id}) == 400
    assert visitor.ask("POST", "/download/archive", json={"assetIds": [photo]}).status_code == 200
    assert visitor.status("GET", "/timeline/buckets") == 400
    assert visitor.status("GET", f"/timeline/buckets?userId={ann.user_id}") == 400


def test_an_album_by_a_link(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, photo: str, share: Share
) -> None:
    other = add_asset(stack, ann)
    album_id, second = add_album(stack, ann, photo, shared_with=ben), add_album(stack, ann, other)
    assert as_ann.get(f"/albums/{second}")["hasSharedLink"] is False
    assert [one["id"] for one in as_ann.get("/albums", isShared=True)] == [album_id]
    share(album_id=second)
    seen = as_ann.get(f"/albums/{second}")
    assert (seen["hasSharedLink"], seen["shared"]) == (True, True)
    assert {one["id"] for one in as_ann.get("/albums", isShared=True)} == {album_id, second}
    assert as_ann.get("/albums", isShared=False) == []
    assert as_ann.get("/albums/statistics") == {"owned": 2, "shared": 2, "notShared": 0}
    visitor = share(album_id=album_id)
    assert visitor.get("/shared-links/me")["album"]["id"] == album_id
    album = visitor.get(f"/albums/{album_id}")
    assert [one["user"]["id"] for one in album["albumUsers"]] == [ann.user_id]
    assert "contributorCounts" not in album
    assert visitor.status("GET", f"/albums/{second}") == 400
    assert visitor.get("/timeline/buckets", albumId=album_id) == [{"timeBucket": MONTH, "count": 1}]
    columns = visitor.get("/timeline/bucket", timeBucket=MONTH, albumId=album_id)
    assert (columns["id"], columns["isFavorite"], columns["city"]) == ([photo], [False], ["Rome"])
    assert [one["id"] for one in visitor.get(f"/albums/{album_id}/map-markers")] == [photo]
    assert visitor.status("POST", "/download/info", json={"albumId": album_id}) == 201
    for query in (
        {"albumId": second},
        {"albumId": album_id, "isFavorite": True},
        {"albumId": album_id, "isTrashed": True},
        {"albumId": album_id, "visibility": "hidden"},
        {"albumId": album_id, "userId": ann.user_id},
        {},
    ):
        assert visitor.status("GET", "/timeline/buckets", params=query) == 400, query
    found = visitor.ask("POST", "/search/metadata", json={"albumIds": [album_id], "make": "Canon"}).json()
    assert [one["id"] for one in found["assets"]["items"]] == [photo]
    assert visitor.ask("POST", "/search/metadata", json={}).json()["assets"]["total"] == 1
    assert visitor.status("POST", "/search/metadata", json={"albumIds": [second]}) == 400
    for private in ({"isFavorite": True}, {"withDeleted": True}, {"visibility": "archive"}, {"tagIds": None}):
        assert visitor.status("POST", "/search/metadata", json=private) == 403
    as_ann.delete(f"/albums/{album_id}")
    assert visitor.status("GET", f"/assets/{photo}") == 401


def test_without_metadata_a_link_shows_bare_assets(
    stack: ApiStack, ann: Person, as_ann: CheckedClient, photo: str, share: Share
) -> None:
    album_id = add_album(stack, ann, photo)
    visitor = share(photo, showMetadata=False)
    assert visitor.get(f"/assets/{photo}").keys() == BARE
    assert [one.keys() for one in visitor.get("/shared-links/me")["assets"]] == [BARE]
    assert visitor.status("GET", f"/assets/{photo}/original") == 403
    assert visitor.status("POST", "/search/metadata", json={"make": "Canon"}) == 403
    of_album = share(album_id=album_id, showMetadata=False)
    columns = of_album.get("/timeline/bucket", timeBucket=MONTH, albumId=album_id, withCoordinates=True)
    assert (columns["city"], columns["country"], "latitude" in columns) == ([None], [None], False)
    assert of_album.get(f"/albums/{album_id}/map-markers") == []
    boxed = {"albumId": album_id, "bbox": "0,0,10,10"}
    assert of_album.status("GET", "/timeline/buckets", params=boxed) == 400
    link_id = next(one["id"] for one in as_ann.get("/shared-links") if one["key"] == visitor.key)
    assert as_ann.patch(f"/shared-links/{link_id}", allowDownload=True)["allowDownload"] is False


def test_without_download_a_link_gives_no_original(photo: str, share: Share) -> None:
    visitor = share(photo, allowDownload=False)
    assert visitor.get(f"/assets/{photo}")["id"] == photo
    assert visitor.status("GET", f"/assets/{photo}/original") == 403
    assert visitor.status("POST", "/download/info", json={"assetIds": [photo]}) == 403
    assert visitor.status("POST", "/download/archive", json={"assetIds": [photo]}) == 403
    for size in ("original", "fullsize"):
        elsewhere = visitor.ask("GET", f"/assets/{photo}/thumbnail?size={size}")
        assert (elsewhere.status_code, elsewhere.headers["location"]) == (302, "thumbnail?size=preview")


@pytest.mark.parametrize("put_away", [{"visibility": "locked"}, {"visibility": "hidden"}, {"deleted_at": NOON}])
def test_what_was_put_away_since_is_not_shown(
    stack: ApiStack, ann: Person, photo: str, share: Share, put_away: dict[str, Any]
) -> None:
    album_id = add_album(stack, ann, photo)
    visitors = [share(photo), share(album_id=album_id)]
    with stack.services.database.session() as session:
        asset = session.get_one(Asset, photo)
        for column, value in put_away.items():
            setattr(asset, column, value)
    for visitor in visitors:
        assert visitor.status("GET", f"/assets/{photo}") == 400
        assert visitor.status("GET", f"/assets/{photo}/original") == 400
        assert visitor.get("/shared-links/me")["assets"] == []
    assert visitors[1].get("/timeline/buckets", albumId=album_id) == []
    assert visitors[1].status("GET", f"/timeline/buckets?albumId={album_id}&visibility=locked") in (400, 401)


def test_the_moving_part_of_a_photo_in_the_link_is_shown(stack: ApiStack, ann: Person, share: Share) -> None:
    motion, other = (add_asset(stack, ann, type="VIDEO", visibility="hidden") for _ in range(2))
    visitor = share(add_asset(stack, ann, live_photo_video_id=motion))
    assert visitor.get(f"/assets/{motion}")["type"] == "VIDEO"
    assert visitor.status("GET", f"/assets/{other}") == 400


def test_an_expired_link_and_one_whose_owner_is_deleted_show_nothing(
    stack: ApiStack, ann: Person, photo: str, share: Share
) -> None:
    past, future = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    assert share(photo, expiresAt=past.isoformat()).status("GET", f"/assets/{photo}") == 401
    visitor = share(photo, expiresAt=future.isoformat())
    assert visitor.status("GET", f"/assets/{photo}") == 200
    with stack.services.database.session() as session:
        session.get_one(User, ann.user_id).deleted_at = NOON
    assert visitor.status("GET", f"/assets/{photo}") == 401
    assert visitor.status("GET", "/shared-links/me") == 401


def test_a_password_is_asked_for_everywhere(stack: ApiStack, as_ann: CheckedClient, photo: str, share: Share) -> None:
    visitor = share(photo, password="open sesame")
    for path in (f"/assets/{photo}", f"/assets/{photo}/original", f"/assets/{photo}/thumbnail", "/shared-links/me"):
        assert visitor.ask("GET", path).json() == {"message": "Password required"}
    assert visitor.status("POST", "/download/archive", json={"assetIds": [photo]}) == 401
    wrong = visitor.ask("POST", "/shared-links/login", json={"password": "sesame"})
    assert (wrong.status_code, wrong.json()["message"], "set-cookie" in wrong.headers) == (
        401,
        "Invalid password",
        False,
    )
    right = visitor.ask("POST", "/shared-links/login", json={"password": "open sesame"})
    assert (right.status_code, right.json()["assets"][0]["id"]) == (201, photo)
    cookie = right.headers["set-cookie"]
    assert cookie.startswith("immich_shared_link_token=")
    assert {"HttpOnly", "SameSite=lax"} <= set(cookie.split("; "))
    assert visitor.get(f"/assets/{photo}")["id"] == photo
    second = share(photo, password="another")
    assert second.status("GET", f"/assets/{photo}") == 401
    assert second.status("POST", "/shared-links/login", json={"password": "another"}) == 201
    assert second.status("GET", f"/assets/{photo}") == visitor.status("GET", f"/assets/{photo}") == 200
    with stack.services.database.reader() as session:
        assert all("sesame" not in (link.password or "") for link in session.scalars(select(SharedLink)))
    link_id = next(one["id"] for one in as_ann.get("/shared-links") if one["key"] == visitor.key)
    kept = as_ann.patch(f"/shared-links/{link_id}", password=as_ann.get(f"/shared-links/{link_id}")["password"])
    assert set(kept["password"]) == {"*"}
    assert visitor.status("GET", f"/assets/{photo}") == 200
    as_ann.patch(f"/shared-links/{link_id}", password="changed")
    assert visitor.status("GET", f"/assets/{photo}") == 401


def test_passwords_cannot_be_guessed_without_end(photo: str, share: Share) -> None:
    visitor = share(photo, password="open sesame")
    tried = [visitor.ask("POST", "/shared-links/login", json={"password": f"x{number}"}) for number in range(11)]
    assert [one.status_code for one in tried] == [401] * 10 + [429]
    assert visitor.status("POST", "/shared-links/login", json={"password": "open sesame"}) == 429
    other = share(photo, password="open sesame")
    assert other.status("POST", "/shared-links/login", json={"password": "open sesame"}) == 201


def test_login_needs_a_link_with_a_password(as_ann: CheckedClient, photo: str, share: Share) -> None:
    refused = share(photo).ask("POST", "/shared-links/login", json={"password": "x"})
    assert (refused.status_code, refused.json()["message"]) == (400, "Shared link is not password protected")
    assert as_ann.refused("GET", "/shared-links/me") == (403, "Forbidden")
    assert as_ann.refused("POST", "/shared-links/login", json={"password": "x"}) == (403, "Forbidden")


def test_uploads_join_the_link_and_are_its_owners(stack: ApiStack, ann: Person, photo: str, share: Share) -> None:
    assert upload(share(photo)).status_code == 403
    assert stack.uploaded_files() == []
    album_id = add_album(stack, ann, photo)
    visitor = share(album_id=album_id, allowUpload=True)
    made = upload(visitor, isFavorite="true", visibility="locked", metadata='[{"key":"a","value":{}}]')
    assert made.status_code == 201, made.text
    new = made.json()["id"]
    with stack.services.database.reader() as session:
        asset = session.get_one(Asset, new)
        assert (asset.owner_id, asset.is_favorite, asset.visibility) == (ann.user_id, False, "timeline")
        assert session.get(AlbumAsset, (album_id, new)) is not None
    assert visitor.get(f"/assets/{new}")["id"] == new
    alone = share(photo, allowUpload=True)
    again = upload(alone)
    assert (again.status_code, again.json()) == (200, {"id": new, "status": "duplicate"})
    assert {one["id"] for one in alone.get("/shared-links/me")["assets"]} == {photo, new}


def test_an_upload_tells_and_takes_nothing_of_the_owners(
    stack: ApiStack, ann: Person, photo: str, share: Share
) -> None:
    locked = add_asset(stack, ann, visibility="locked", checksum=hashlib.sha1(b"known").digest())
    video = add_asset(stack, ann, type="VIDEO")
    visitor = share(photo, allowUpload=True)
    by_checksum = visitor.client.request(
        *("POST", "/assets"),
        headers={"x-immich-share-key": visitor.key, "x-immich-checksum": hashlib.sha1(b"known").hexdigest()},
    )
    assert by_checksum.status_code == 400
    assert upload(visitor, b"known").status_code == 200
    assert visitor.status("GET", f"/assets/{locked}") == 400
    assert upload(visitor, b"still", livePhotoVideoId=video).status_code == 400
    with stack.services.database.reader() as session:
        assert session.get_one(Asset, video).visibility == "timeline"


def test_a_link_opens_no_other_route(stack: ApiStack, client: AppClient, photo: str, share: Share) -> None:
    """Every route that we serve is asked; those that Immich opens to links take `key` and `slug` as queries."""
    visitor = share(photo, allowUpload=True)
    published = published_api()
    if published is None:
        pytest.skip("Immich's published description is not here")
    opened = {
        (method, path)
        for path, operations in published["paths"].items()
        for method, operation in operations.items()
        if {"key", "slug"} <= {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    }
    described = client.get("/openapi.json").json()["paths"]
    closed = 0
    for path, operations in described.items():
        for method in operations:
            below = path.removeprefix("/api").replace("{asset_id}", "{id}").replace("{album_id}", "{id}")
            if not path.startswith("/api/") or (method, below) in opened or _is_for_anybody(below):
                continue
            url = path.removeprefix("/api").replace("{", "").replace("}", "")
            answer = visitor.ask(method.upper(), url)
            assert (answer.status_code, answer.json()["message"]) == (403, "Forbidden"), (method, path, answer.text)
            closed += 1
    assert closed > 150


def _is_for_anybody(path: str) -> bool:
    open_to_all = ("/server/ping", "/server/version", "/server/features", "/server/config", "/server/media-types")
    more = ("/server/version-history", "/auth/login", "/auth/admin-sign-up", "/docs", "/health")
    return path in (*open_to_all, *more)


def test_a_visitor_hears_no_events(stack: ApiStack, photo: str, share: Share) -> None:
    query = f"key={share(photo).key}".encode()
    socket = HTTPConnection({"type": "websocket", "headers": [], "query_string": query, "path": "/api/socket.io"})
    with pytest.raises(Forbidden):
        authenticate(stack.services, socket)
    assert authenticate(stack.services, socket, shared=True).link is not None


def test_a_partners_photo_leaves_the_link_with_their_consent(
    stack: ApiStack, ben: Person, ann: Person, as_ben: CheckedClient, share: Share
) -> None:
    bens = add_asset(stack, ben)
    as_ben.post("/partners", sharedWithId=ann.user_id)
    visitor = share(bens)
    assert visitor.get(f"/assets/{bens}")["id"] == bens
    as_ben.delete(f"/partners/{ann.user_id}")
    assert visitor.status("GET", f"/assets/{bens}") == 400


def test_a_key_needs_its_permission(stack: ApiStack, client: AppClient) -> None:
    reader = CheckedClient(client, stack.add_person("eve", permissions=("sharedLink.read",)))
    assert reader.get("/shared-links") == []
    body = {"type": "INDIVIDUAL", "assetIds": []}
    assert reader.refused("POST", "/shared-links", json=body) == (403, "Missing required permission: sharedLink.create")


def test_a_link_without_metadata_names_no_files_and_plays_no_originals(
    stack: ApiStack, ann: Person, share: Share
) -> None:
    folder = stack.services.layout.folder(Folder.THUMBS)
    folder.mkdir(parents=True, exist_ok=True)
    video = add_asset(
        stack, ann, type="VIDEO", original_path=str(folder / "a.mp4"), original_file_name="Naked truth.mp4"
    )
    files = {"thumbnail": folder / "t.webp", "encoded_video": folder / "e.mp4"}
    for path in (folder / "a.mp4", *files.values()):
        path.write_bytes(b"bytes")
    add(stack, AssetFile, asset_id=video, type="thumbnail", path=str(files["thumbnail"]), **TIMES)
    bare, whole = share(video, showMetadata=False), share(video)
    named = [whole.ask("GET", f"/assets/{video}/{path}") for path in ("thumbnail", "video/playback")]
    assert [answer.status_code for answer in named] == [200, 200]
    assert bare.status("GET", f"/assets/{video}/video/playback") == 404
    add(stack, AssetFile, asset_id=video, type="encoded_video", path=str(files["encoded_video"]), **TIMES)
    for path in ("thumbnail", "video/playback"):
        answer = bare.ask("GET", f"/assets/{video}/{path}")
        assert answer.status_code == 200
        assert "Naked" not in str(answer.headers)
    assert any("Naked" in str(answer.headers) for answer in named)
