"""/memories over HTTP, on both databases."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.db.tables.asset import Asset, AssetExif
from tests.api_client import ApiClient, api_client

NOBODYS = "00000000-0000-4000-8000-000000000000"
OF_2019 = {"type": "on_this_day", "data": {"year": 2019}, "memoryAt": "2019-05-04T00:00:00.000Z"}
SHOWN = {"showAt": "2026-05-04T00:00:00.000Z", "hideAt": "2026-05-04T23:59:59.999Z"}


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as client:
        yield client.sign_up()


def add_asset(api: ApiClient, **columns: Any) -> str:
    """A photo of the caller's."""
    asset_id, now = str(uuid.uuid4()), api.services.clock.now()
    times = dict.fromkeys(("file_created_at", "file_modified_at", "local_date_time", "created_at", "updated_at"), now)
    names = {"type": "IMAGE", "original_path": f"/{asset_id}", "original_file_name": "a.jpg"}
    row = {"id": asset_id, "owner_id": api.get("/users/me").json()["id"], **names, **times, **columns}
    with api.services.database.session() as session:
        session.add(Asset(**row, checksum=hashlib.sha1(asset_id.encode()).digest()))
        session.flush()
        session.add(AssetExif(asset_id=asset_id, updated_at=now))
    return asset_id


def make(api: ApiClient, **changes: Any) -> dict[str, Any]:
    answer = api.post("/memories", {**OF_2019, **changes})
    assert answer.status_code == 201, answer.text
    memory: dict[str, Any] = answer.json()
    return memory


def shown(api: ApiClient, query: str = "") -> list[str]:
    return [memory["id"] for memory in api.get(f"/memories{query}").json()]


def test_a_memory_is_made_shown_saved_and_forgotten(admin: ApiClient) -> None:
    mine, theirs = add_asset(admin), add_asset(admin.other_user())
    memory = make(admin, **SHOWN, assetIds=[mine, theirs])
    assert [asset["id"] for asset in memory["assets"]] == [mine]
    assert (memory["data"], memory["isSaved"], memory["hideAt"]) == ({"year": 2019}, False, SHOWN["hideAt"])
    assert admin.get(f"/memories/{memory['id']}").json() == memory
    seen_at = "2026-05-04T10:00:00.000Z"
    for method in ("PUT", "PATCH"):
        changed = admin.request(method, f"/memories/{memory['id']}", json={"isSaved": True, "seenAt": seen_at}).json()
        assert (changed["isSaved"], changed["seenAt"], changed["memoryAt"]) == (True, seen_at, memory["memoryAt"])
    assert admin.delete(f"/memories/{memory['id']}").status_code == 204
    assert shown(admin) == []
    assert admin.get(f"/assets/{mine}").status_code == 200


def test_lists_are_of_a_day_saved_or_in_an_order(admin: ApiClient) -> None:
    of_day = make(admin, **SHOWN)["id"]
    always = make(admin, memoryAt="2020-05-04T00:00:00.000Z", isSaved=True)["id"]
    assert shown(admin) == [always, of_day]
    assert shown(admin, "?order=asc&size=1") == [of_day]
    assert set(shown(admin, "?order=random")) == {of_day, always}
    assert shown(admin, "?for=2026-05-04") == [always, of_day]
    assert shown(admin, "?for=2026-05-05") == shown(admin, "?for=2026-05-03") == [always]
    assert shown(admin, "?isSaved=true&type=on_this_day") == [always]
    assert shown(admin, "?isTrashed=true") == []
    assert admin.get("/memories/statistics?for=2026-05-05").json() == {"total": 1}
    assert admin.get("/memories?for=yesterday").status_code == 400


def test_only_what_is_in_the_timeline_is_shown(admin: ApiClient) -> None:
    archived, trashed = add_asset(admin, visibility="archive"), add_asset(admin, deleted_at=admin.services.clock.now())
    assert make(admin, assetIds=[archived, trashed])["assets"] == []


def test_assets_come_and_go_one_by_one(admin: ApiClient) -> None:
    first, second, theirs = add_asset(admin), add_asset(admin), add_asset(admin.other_user())
    path = f"/memories/{make(admin, assetIds=[first])['id']}/assets"
    assert admin.put(path, {"ids": [first, second, second, theirs]}).json() == [
        {"id": first, "success": False, "error": "duplicate"},
        {"id": second, "success": True},
        {"id": second, "success": False, "error": "duplicate"},
        {"id": theirs, "success": False, "error": "no_permission"},
    ]
    removed = admin.delete(path, json={"ids": [first, first]}).json()
    assert removed == [{"id": first, "success": True}, {"id": first, "success": False, "error": "not_found"}]
    assert admin.delete(path, json={"ids": [first]}).json() == [{"id": first, "success": False, "error": "not_found"}]
    (memory,) = admin.get("/memories").json()
    assert [asset["id"] for asset in memory["assets"]] == [second]


@pytest.mark.parametrize(
    ("method", "path", "body", "permission", "refused"),
    [
        ("GET", "", None, "memory.read", "memory.read"),
        ("PUT", "", {}, "memory.update", "memory.update"),
        ("DELETE", "", None, "memory.delete", "memory.delete"),
        ("PUT", "/assets", {"ids": []}, "memoryAsset.create", "memory.update"),
        ("DELETE", "/assets", {"ids": []}, "memoryAsset.delete", "memory.update"),
    ],
)
def test_a_memory_is_its_owner_s_alone(
    admin: ApiClient, method: str, path: str, body: object, permission: str, refused: str
) -> None:
    memory = make(admin)["id"]
    other = admin.other_user()
    for memory_id in (memory, NOBODYS):
        answer = other.request(method, f"/memories/{memory_id}{path}", json=body)
        assert (answer.status_code, answer.json()) == (400, {"message": f"Not found or no {refused} access"})
    keyless = admin.with_key("asset.read").request(method, f"/memories/{memory}{path}", json=body)
    assert keyless.json() == {"message": f"Missing required permission: {permission}"}


def test_a_wrong_memory_is_refused(admin: ApiClient) -> None:
    for wrong in ({"data": {"year": 3}}, {"type": "birthday"}, {"memoryAt": "soon"}, {"assetIds": ["x"]}):
        assert admin.post("/memories", {**OF_2019, **wrong}).status_code == 400
