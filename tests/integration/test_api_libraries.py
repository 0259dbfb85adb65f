"""/libraries over HTTP, on both databases: for admins alone, with Immich's words for what is wrong."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from cluster.db.tables.asset import Asset, AssetExif
from cluster.names import QueueName
from serve_app.wire.library import DEFAULT_EXCLUSIONS
from tests.api_client import ApiClient, api_client

NOBODY = str(uuid.uuid4())


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as client:
        yield client.sign_up()


def owner(api: ApiClient) -> str:
    return str(api.get("/users/me").json()["id"])


def make(api: ApiClient, **fields: Any) -> dict[str, Any]:
    answer = api.post("/libraries", {"ownerId": owner(api), **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def jobs(api: ApiClient) -> list[tuple[str, dict[str, Any]]]:
    with api.services.store.transaction() as tx:
        found = api.services.store.counts(tx)[QueueName.LIBRARY]
    assert found.active == 0
    return sorted((job["name"], job["data"]) for job in api.get("/queues/library/jobs").json())


def add_asset(api: ApiClient, library_id: str, name: str, **columns: Any) -> str:
    asset_id, now = str(uuid.uuid4()), datetime(2024, 1, 1, tzinfo=UTC)
    times = dict.fromkeys(("file_created_at", "file_modified_at", "local_date_time", "created_at", "updated_at"), now)
    path = {"original_path": f"/p/{name}", "original_file_name": name, "checksum": name.encode()}
    asset = {"id": asset_id, "owner_id": owner(api), "library_id": library_id, "type": "IMAGE", "is_external": True}
    with api.services.database.session() as session:
        session.execute(insert(Asset).values(**{**asset, **path, **times, **columns}))
        session.execute(insert(AssetExif).values(asset_id=asset_id, file_size_bytes=1000, updated_at=now))
    return asset_id


def test_a_library_lives_from_its_making_to_its_deletion(admin: ApiClient, tmp_path: Path) -> None:
    made = make(admin)
    assert made["name"] == "New External Library"
    assert (made["importPaths"], made["exclusionPatterns"]) == ([], list(DEFAULT_EXCLUSIONS))
    assert (made["assetCount"], made["refreshedAt"]) == (0, None)
    assert admin.get("/libraries").json() == [made]
    assert admin.get(f"/libraries/{made['id']}").json() == made

    change = {"name": "NAS", "importPaths": [str(tmp_path)], "exclusionPatterns": ["**/raw/**"]}
    for method in ("PUT", "PATCH"):
        changed = admin.request(method, f"/libraries/{made['id']}", json=change).json()
        assert {name: changed[name] for name in change} == change
    renamed = admin.put(f"/libraries/{made['id']}", {"name": "Disk"}).json()
    assert (renamed["name"], renamed["importPaths"]) == ("Disk", [str(tmp_path)])

    assert admin.delete(f"/libraries/{made['id']}").status_code == 204
    assert admin.get("/libraries").json() == []
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/scan"), ("GET", "/statistics")):
        answer = admin.request(method, f"/libraries/{made['id']}{path}", json={} if method == "PUT" else None)
        assert (answer.status_code, answer.json()) == (400, {"message": "Library not found"})
    assert jobs(admin) == [("LibraryDelete", {"id": made["id"]})]


def test_a_scan_is_queued_once(admin: ApiClient) -> None:
    library_id = make(admin)["id"]

    for _ in range(3):
        assert admin.post(f"/libraries/{library_id}/scan").status_code == 204

    wanted = {"id": library_id}
    assert jobs(admin) == [("LibraryScanAssetsQueueAll", wanted), ("LibrarySyncFilesQueueAll", wanted)]


def test_no_link_is_followed_out_of_a_library(admin: ApiClient, tmp_path: Path) -> None:
    photos, secret = tmp_path / "photos", tmp_path / "secret"
    for folder in (photos, secret):
        folder.mkdir()
        (folder / "a.jpg").write_bytes(folder.name.encode())
    (photos / "out.jpg").symlink_to(secret / "a.jpg")
    (photos / "round.jpg").symlink_to("a.jpg")
    (photos / "folder").symlink_to(secret)
    library_id = make(admin, importPaths=[f"{photos}/"])["id"]

    def served(name: str) -> int:
        asset_id = add_asset(admin, library_id, name, original_path=str(photos / name))
        return admin.get(f"/assets/{asset_id}/original").status_code

    names = ("a.jpg", "round.jpg", "out.jpg", "folder/a.jpg", "../secret/a.jpg")
    assert [served(name) for name in names] == [200, 200, 404, 404, 404]


def test_the_queue_s_button_scans_everything(admin: ApiClient) -> None:
    assert admin.put("/jobs/library", {"command": "start", "force": False}).status_code == 200
    assert jobs(admin) == [("LibraryScanQueueAll", {"force": False})]


def test_assets_are_counted(admin: ApiClient) -> None:
    library_id, other = make(admin)["id"], make(admin)["id"]
    add_asset(admin, library_id, "a.jpg")
    add_asset(admin, library_id, "b.jpg", is_offline=True, deleted_at=datetime(2024, 2, 1, tzinfo=UTC))
    add_asset(admin, library_id, "c.mp4", type="VIDEO")
    add_asset(admin, library_id, "d.mp4", type="VIDEO", visibility="hidden")
    add_asset(admin, other, "a.jpg")

    assert admin.get(f"/libraries/{library_id}/statistics").json() == {
        "photos": 2,
        "videos": 1,
        "total": 3,
        "usage": 4000,
    }
    assert {one["id"]: one["assetCount"] for one in admin.get("/libraries").json()} == {library_id: 4, other: 1}


def test_import_paths_are_validated(admin: ApiClient, tmp_path: Path) -> None:
    library_id = make(admin, importPaths=["/not/looked/at"])["id"]
    (tmp_path / "good").mkdir()
    (tmp_path / "file").write_bytes(b"")
    media = str(admin.services.settings.media_root)
    wanted = {
        str(tmp_path / "good"): None,
        str(tmp_path / "file"): "Not a directory",
        str(tmp_path / "gone"): "Path does not exist (ENOENT)",
        f"{media}/upload": "Cannot use media upload folder for external libraries",
        "photos": f"Import path must be absolute, try {Path.cwd() / 'photos'}",
    }

    answer = admin.post(f"/libraries/{library_id}/validate", {"importPaths": list(wanted)})

    assert answer.json()["importPaths"] == [
        {"importPath": path, "isValid": message is None, **({"message": message} if message else {})}
        for path, message in wanted.items()
    ]
    assert admin.post(f"/libraries/{library_id}/validate", {}).json() == {"importPaths": []}
    for path, message in wanted.items():
        refused = admin.put(f"/libraries/{library_id}", {"importPaths": [str(tmp_path), path]})
        assert refused.status_code == (400 if message else 200)
        if message:
            assert refused.json() == {"message": f"Invalid import path: {message}"}


def test_lists_are_refused_in_immichs_words(admin: ApiClient) -> None:
    def said(**fields: Any) -> str:
        answer = admin.post("/libraries", {"ownerId": owner(admin), **fields})
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
        return str(answer.json()["errors"][0]["message"])

    assert said(importPaths=["/a", "/a"]) == "Array must have unique items"
    assert said(exclusionPatterns=["  "]) == "Array items must not be empty"
    assert said(importPaths=[f"/{number}" for number in range(129)]) == "Too big: expected array to have <=128 items"
    assert said(importPaths="/a") == "Invalid input: expected array, received string"
    assert said(name="") == "Too small: expected string to have >=1 characters"
    assert said(ownerId="me") == "Invalid UUID"
    assert admin.post("/libraries", {}).json()["errors"][0]["path"] == ["ownerId"]


def test_what_cannot_be_is_refused(admin: ApiClient) -> None:
    nobody = admin.post("/libraries", {"ownerId": NOBODY})
    assert (nobody.status_code, nobody.json()) == (400, {"message": "User not found"})
    endless = {"ownerId": owner(admin), "exclusionPatterns": ["{1..99}{1..99}"]}
    assert "Invalid exclusion pattern" in admin.post("/libraries", endless).json()["message"]
    unknown = admin.post(f"/libraries/{NOBODY}/validate", {"importPaths": []})
    assert (unknown.status_code, unknown.json()) == (400, {"message": "Library not found"})


def test_libraries_are_for_admins_with_the_permission(admin: ApiClient) -> None:
    library_id = make(admin)["id"]
    other = admin.other_user()
    reader = admin.with_key("library.read")
    calls = [
        ("GET", "/libraries", "library.read"),
        ("POST", "/libraries", "library.create"),
        ("GET", f"/libraries/{library_id}", "library.read"),
        ("PUT", f"/libraries/{library_id}", "library.update"),
        ("DELETE", f"/libraries/{library_id}", "library.delete"),
        ("POST", f"/libraries/{library_id}/scan", "library.update"),
        ("POST", f"/libraries/{library_id}/validate", "all"),
        ("GET", f"/libraries/{library_id}/statistics", "library.statistics"),
    ]
    for method, path, permission in calls:
        assert admin.with_headers().request(method, path, json={}).status_code == 401
        refused = other.request(method, path, json={"ownerId": owner(admin)})
        assert (refused.status_code, refused.json()) == (403, {"message": "Forbidden"})
        if permission != "library.read":
            answer = reader.request(method, path, json={"ownerId": owner(admin)})
            message = {"message": f"Missing required permission: {permission}"}
            assert (answer.status_code, answer.json()) == (403, message)
    assert reader.get("/libraries").status_code == 200
