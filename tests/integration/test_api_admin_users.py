"""/admin/users over HTTP, on both databases: accounts changed, deleted, restored, looked into."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.db.tables.album import Album
from cluster.db.tables.user import User
from cluster.names import QueueName
from tests.api_client import ADMIN, OTHER, ApiClient, api_client

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as client:
        yield client.sign_up()


@pytest.fixture
def bob(admin: ApiClient) -> str:
    made = admin.post("/admin/users", {**OTHER, "storageLabel": "bob", "quotaSizeInBytes": 5})
    user_id: str = made.json()["id"]
    return user_id


def me(api: ApiClient) -> str:
    user_id: str = api.get("/users/me").json()["id"]
    return user_id


def waiting(api: ApiClient) -> list[tuple[str, dict[str, Any]]]:
    jobs = api.get(f"/queues/{QueueName.BACKGROUND_TASK}/jobs").json()
    return [(job["name"], job["data"]) for job in jobs]


def test_what_is_given_changes_and_nothing_else(admin: ApiClient, bob: str) -> None:
    before = admin.get(f"/admin/users/{bob}").json()
    for method in ("PUT", "PATCH"):
        changed = admin.request(method, f"/admin/users/{bob}", json={"name": method, "isAdmin": True}).json()
        assert changed == {**before, "name": method, "isAdmin": True}
    cleared = admin.put(f"/admin/users/{bob}", {"storageLabel": None, "quotaSizeInBytes": None, "name": None}).json()
    assert (cleared["storageLabel"], cleared["quotaSizeInBytes"], cleared["name"]) == (None, None, "PATCH")
    admin.put(f"/admin/users/{bob}", {"password": "new password", "shouldChangePassword": False, "email": "B@b.org"})
    assert admin.sign_in({"email": "b@b.org", "password": "new password"}).get("/users/me").status_code == 200


def test_addresses_and_folders_belong_to_one_account(admin: ApiClient, bob: str) -> None:
    def refusal(**changes: object) -> tuple[int, str]:
        answer = admin.put(f"/admin/users/{bob}", changes)
        return answer.status_code, answer.json()["message"]

    assert refusal(email=ADMIN["email"]) == (400, "Email is not available")
    taken = (400, "Storage label already in use by another account")
    assert refusal(storageLabel="admin") == taken
    # the folder of an account without a label has its id for a name
    assert refusal(storageLabel=me(admin)) == taken
    assert admin.put(f"/admin/users/{bob}", {"storageLabel": "bob"}).status_code == 200
    assert admin.post("/admin/users", {**OTHER, "email": "c@c.org", "storageLabel": bob}).json()["message"] == taken[1]


def test_an_admin_stays_admin_by_their_own_hand(admin: ApiClient) -> None:
    assert admin.put(f"/admin/users/{me(admin)}", {"isAdmin": False}).status_code == 400
    assert admin.put(f"/admin/users/{me(admin)}", {"isAdmin": True, "name": "A"}).json()["name"] == "A"


def test_a_deleted_account_is_shut_out_and_comes_back_whole(admin: ApiClient, bob: str) -> None:
    other = admin.sign_in(OTHER)
    now = admin.services.clock.now()
    with admin.services.database.session() as session:
        session.add(Album(id="album", owner_id=bob, name="x", created_at=now, updated_at=now))

    deleted = admin.delete(f"/admin/users/{bob}", json={}).json()

    assert (deleted["status"], deleted["deletedAt"] is not None) == ("deleted", True)
    assert other.get("/users/me").json() == {"message": "Invalid user token"}
    assert bob not in {user["id"] for user in admin.get("/admin/users").json()}
    assert bob in {user["id"] for user in admin.get("/admin/users?withDeleted=true").json()}
    assert waiting(admin) == []
    restored = admin.post(f"/admin/users/{bob}/restore").json()
    assert (restored["status"], restored["deletedAt"]) == ("active", None)
    assert other.get("/users/me").status_code == 200
    with admin.services.database.reader() as session:
        assert session.scalars(select(Album.deleted_at)).all() == [None]


def test_force_removes_an_account_at_once(admin: ApiClient, bob: str) -> None:
    deleted = admin.delete(f"/admin/users/{bob}", json={"force": True}).json()
    assert deleted["status"] == "removing"
    assert waiting(admin) == [("UserDelete", {"id": bob, "force": True})]
    refused = admin.post(f"/admin/users/{bob}/restore")
    assert (refused.status_code, refused.json()) == (400, {"message": "The account is being removed"})
    assert admin.delete(f"/admin/users/{bob}", json={}).json()["status"] == "removing"


def test_nobody_deletes_themselves(admin: ApiClient) -> None:
    answer = admin.delete(f"/admin/users/{me(admin)}", json={"force": True})
    assert (answer.status_code, answer.json()) == (403, {"message": "Cannot delete your own account"})
    with admin.services.database.reader() as session:
        assert session.scalars(select(User.deleted_at)).all() == [None]


def test_admins_see_and_change_preferences_and_see_devices_and_counts(admin: ApiClient, bob: str) -> None:
    other = admin.sign_in(OTHER)
    changed = admin.put(f"/admin/users/{bob}/preferences", {"people": {"minimumFaces": 7}, "avatar": {"color": "red"}})
    assert changed.json()["people"]["minimumFaces"] == 7
    assert other.get("/users/me/preferences").json() == admin.get(f"/admin/users/{bob}/preferences").json()
    assert other.get("/users/me").json()["avatarColor"] == "red"
    assert [one["current"] for one in admin.get(f"/admin/users/{bob}/sessions").json()] == [False]
    assert admin.get(f"/admin/users/{bob}/statistics").json() == {"images": 0, "videos": 0, "total": 0}


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("PUT", "", "adminUser.update"),
        ("DELETE", "", "adminUser.delete"),
        ("POST", "/restore", "adminUser.delete"),
        ("GET", "/preferences", "adminUser.read"),
        ("PUT", "/preferences", "adminUser.update"),
        ("GET", "/sessions", "adminSession.read"),
        ("GET", "/statistics", "adminUser.read"),
    ],
)
def test_only_admins_with_the_right_key_do_and_nobody_is_nobody(
    admin: ApiClient, bob: str, method: str, path: str, permission: str
) -> None:
    body = {} if method in ("PUT", "DELETE") else None
    forbidden = admin.sign_in(OTHER).request(method, f"/admin/users/{bob}{path}", json=body)
    assert (forbidden.status_code, forbidden.json()) == (403, {"message": "Forbidden"})
    refused = admin.with_key("asset.read").request(method, f"/admin/users/{bob}{path}", json=body)
    assert refused.json() == {"message": f"Missing required permission: {permission}"}
    gone = admin.with_key(permission).request(method, f"/admin/users/{NOBODY}{path}", json=body)
    assert (gone.status_code, gone.json()) == (400, {"message": "User not found"})


def test_a_manual_job_waits_once_and_different_ones_apart(admin: ApiClient) -> None:
    for name in ("memory-create", "memory-create", "user-cleanup"):
        assert admin.post("/jobs", {"name": name}).status_code == 204
    assert sorted(waiting(admin)) == [("MemoryGenerate", {}), ("UserDeleteCheck", {})]
    for name in ("integrity-missing-files", "integrity-missing-files-refresh"):
        admin.post("/jobs", {"name": name})
    assert len(admin.get(f"/queues/{QueueName.INTEGRITY_CHECK}/jobs").json()) == 2


def test_the_version_check_runs_when_it_is_switched_on(admin: ApiClient) -> None:
    config = admin.get("/system-config").json()
    admin.put("/system-config", {**config, "newVersionCheck": {"enabled": False, "channel": "stable"}})
    assert waiting(admin) == []
    admin.put("/system-config", config)
    assert waiting(admin) == [("VersionCheck", {})]
    admin.put("/system-config", config)
    assert waiting(admin) == [("VersionCheck", {})]
    assert admin.get("/server/version-check").json() == {"checkedAt": None, "releaseVersion": None}
    assert admin.get("/system-metadata/version-check-state").json() == {"checkedAt": None, "releaseVersion": None}
