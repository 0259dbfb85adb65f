"""Accounts, sessions and API keys over HTTP, on both databases: who gets in, who does not, and what they are told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.db.queries import users
from cluster.db.tables.user import ApiKey, Session, User
from serve_app.deps import hashed
from tests.api_client import ADMIN, OTHER, ApiClient, api_client
from tests.fake_clock import FakeClock

NOBODYS_ID = "0f7e0d4c-3c3c-4f0e-9d3c-1d2f3a4b5c6d"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[ApiClient]:
    """A server that nobody has signed up to."""
    with api_client(database_url, tmp_path / "media", clock) as client:
        yield client


@pytest.fixture
def admin(api: ApiClient) -> ApiClient:
    return api.sign_up()


def test_the_first_account_is_the_admin(api: ApiClient) -> None:
    answer = api.post("/auth/admin-sign-up", ADMIN)
    assert answer.status_code == 201
    user = answer.json()
    assert (user["email"], user["isAdmin"], user["storageLabel"]) == ("ada@example.org", True, "admin")
    assert (user["status"], user["quotaSizeInBytes"], user["quotaUsageInBytes"]) == ("active", None, 0)
    assert "password" not in user
    again = api.post("/auth/admin-sign-up", {**ADMIN, "email": "eve@example.org"})
    assert (again.status_code, again.json()) == (400, {"message": "The server already has an admin"})


def test_setting_up_can_be_switched_off(api: ApiClient) -> None:
    closed = api.with_settings(allow_setup=False)
    answer = closed.post("/auth/admin-sign-up", ADMIN)
    assert (answer.status_code, answer.json()) == (400, {"message": "Admin setup is disabled"})
    assert closed.get("/server/config").json()["isInitialized"] is True
    assert api.get("/server/config").json()["isInitialized"] is False


def test_signing_in_gives_a_token_and_three_cookies(api: ApiClient) -> None:
    api.sign_up()
    answer = api.post("/auth/login", {"email": "Ada@Example.org", "password": ADMIN["password"]})
    assert answer.status_code == 201
    body, token = answer.json(), answer.json()["accessToken"]
    assert (body["userEmail"], body["name"], body["isAdmin"]) == ("ada@example.org", "Ada", True)
    assert answer.headers.get_list("set-cookie") == [
        f"immich_access_token={token}; HttpOnly; Max-Age=34560000; Path=/; SameSite=lax",
        "immich_auth_type=password; HttpOnly; Max-Age=34560000; Path=/; SameSite=lax",
        "immich_is_authenticated=true; Max-Age=34560000; Path=/; SameSite=lax",
    ]
    behind_tls = api.post(
        "/auth/login", {"email": ADMIN["email"], "password": ADMIN["password"]}, headers={"x-forwarded-proto": "https"}
    )
    assert all("; Secure" in cookie for cookie in behind_tls.headers.get_list("set-cookie"))


@pytest.mark.parametrize("person", [{**ADMIN, "password": "wrong"}, OTHER])
def test_a_wrong_password_and_an_unknown_address_read_the_same(admin: ApiClient, person: dict[str, str]) -> None:
    answer = admin.post("/auth/login", {"email": person["email"], "password": person["password"]})
    assert (answer.status_code, answer.json()) == (401, {"message": "Incorrect email or password"})
    assert "set-cookie" not in answer.headers


def test_password_login_can_be_disabled(admin: ApiClient) -> None:
    config = admin.get("/system-config").json()
    admin.put("/system-config", {**config, "passwordLogin": {"enabled": False}})
    answer = admin.post("/auth/login", {"email": ADMIN["email"], "password": ADMIN["password"]})
    assert (answer.status_code, answer.json()) == (401, {"message": "Password login has been disabled"})


def test_every_way_to_show_a_token_works(api: ApiClient) -> None:
    api.sign_up()
    token = api.post("/auth/login", {"email": ADMIN["email"], "password": ADMIN["password"]}).json()["accessToken"]
    for headers in (
        {"x-immich-user-token": token},
        {"x-immich-session-token": token},
        {"Authorization": f"Bearer {token}"},
        {"Cookie": f"immich_access_token={token}"},
    ):
        assert api.get("/users/me", headers=headers).json()["email"] == "ada@example.org"
    assert api.get(f"/users/me?sessionKey={token}").status_code == 200
    assert api.post("/auth/validateToken", headers={"Authorization": f"Bearer {token}"}).json() == {"authStatus": True}


def test_bad_credentials_are_told_by_their_kind(admin: ApiClient) -> None:
    stranger = admin.with_headers()
    for headers, message in (
        ({}, "Authentication required"),
        ({"Authorization": "Bearer nonsense"}, "Invalid user token"),
        ({"Cookie": "immich_access_token=nonsense"}, "Invalid user token"),
        ({"x-api-key": "nonsense"}, "Invalid API key"),
        ({"x-immich-share-key": "nonsense"}, "Invalid share key"),
        ({"x-immich-share-slug": "nonsense"}, "Invalid share slug"),
        ({"x-immich-share-key": "nonsense", "x-api-key": "nonsense"}, "Invalid share key"),
        ({"Authorization": "Bearer nonsense", "x-api-key": "nonsense"}, "Invalid user token"),
    ):
        for path in ("/users/me", "/jobs", "/queues", "/system-config"):
            answer = stranger.get(path, headers=headers)
            assert (answer.status_code, answer.json()) == (401, {"message": message}), (path, headers)


def test_signing_out_ends_the_session_at_once(api: ApiClient) -> None:
    signed_in = api.sign_up()
    answer = signed_in.post("/auth/logout")
    assert answer.json() == {"successful": True, "redirectUri": "/auth/login?autoLaunch=0"}
    assert len([cookie for cookie in answer.headers.get_list("set-cookie") if "Max-Age=0" in cookie]) == 3
    after = signed_in.get("/users/me")
    assert (after.status_code, after.json()) == (401, {"message": "Invalid user token"})


def test_secrets_are_stored_as_digests(admin: ApiClient) -> None:
    key = admin.post("/api-keys", {"permissions": ["all"]}).json()["secret"]
    token = admin.post("/auth/login", {"email": ADMIN["email"], "password": ADMIN["password"]}).json()["accessToken"]
    assert len(token) >= 43 <= len(key)
    with admin.services.database.reader() as session:
        assert session.query(Session).filter_by(token_sha256=hashed(token)).count() == 1
        assert session.query(ApiKey).filter_by(key_sha256=hashed(key)).count() == 1
        assert session.query(User).one().password.startswith("$2b$10$")


def test_a_session_ends_when_its_time_is_over(admin: ApiClient, clock: FakeClock) -> None:
    made = admin.post("/sessions", {"duration": 60, "deviceType": "Tablet", "deviceOS": "Linux"})
    assert made.status_code == 201
    assert made.json()["expiresAt"] == "2026-03-01T12:01:00.000Z"
    guest = admin.as_session(made.json()["token"])
    assert guest.get("/users/me").status_code == 200
    clock.sleep(61)
    assert guest.get("/users/me").json() == {"message": "Invalid user token"}
    assert [one["current"] for one in admin.get("/sessions").json()] == [True]


def test_sessions_are_listed_and_ended(admin: ApiClient) -> None:
    guest = admin.as_session(admin.post("/sessions", {"deviceType": "Tablet", "deviceOS": "Linux"}).json()["token"])
    listed = {one["deviceType"]: one for one in admin.get("/sessions").json()}
    assert (listed[""]["current"], listed["Tablet"]["current"], listed["Tablet"]["deviceOS"]) == (True, False, "Linux")
    assert "expiresAt" not in listed["Tablet"]
    assert admin.delete(f"/sessions/{listed['Tablet']['id']}").status_code == 204
    assert guest.get("/users/me").status_code == 401
    gone = admin.delete(f"/sessions/{listed['Tablet']['id']}")
    assert (gone.status_code, gone.json()) == (400, {"message": "Not found or no authDevice.delete access"})


def test_ending_all_sessions_keeps_the_one_that_asks(admin: ApiClient) -> None:
    guest = admin.sign_in(ADMIN)
    assert admin.delete("/sessions").status_code == 204
    assert (admin.get("/users/me").status_code, guest.get("/users/me").status_code) == (200, 401)


def test_a_session_is_seen_once_an_hour(admin: ApiClient, clock: FakeClock) -> None:
    clock.sleep(1800)
    assert admin.get("/sessions").json()[0]["updatedAt"] == "2026-03-01T12:00:00.000Z"
    clock.sleep(1801)
    admin.get("/users/me")
    assert admin.get("/sessions").json()[0]["updatedAt"] == "2026-03-01T13:00:01.000Z"


def test_changing_the_password(admin: ApiClient) -> None:
    guest = admin.sign_in(ADMIN)
    wrong = admin.post("/auth/change-password", {"password": "wrong", "newPassword": "another horse"})
    assert (wrong.status_code, wrong.json()) == (400, {"message": "Wrong password"})
    change = {"password": ADMIN["password"], "newPassword": "another horse", "invalidateSessions": True}
    answer = admin.post("/auth/change-password", change)
    assert (answer.status_code, answer.json()["shouldChangePassword"]) == (200, False)
    assert (admin.get("/users/me").status_code, guest.get("/users/me").status_code) == (200, 401)
    assert admin.sign_in({**ADMIN, "password": "another horse"}).get("/users/me").status_code == 200
    assert admin.post("/auth/login", {name: ADMIN[name] for name in ("email", "password")}).status_code == 401


def test_an_api_key_may_do_what_it_was_granted(admin: ApiClient) -> None:
    key = admin.with_key("user.read", "queue.read")
    assert key.get("/users/me").status_code == 200
    assert key.get("/queues").status_code == 200
    for path, permission in (("/jobs", "job.read"), ("/sessions", "session.read"), ("/auth/status", "all")):
        answer = key.get(path)
        assert (answer.status_code, answer.json()) == (403, {"message": f"Missing required permission: {permission}"})
    mine = key.get("/api-keys/me").json()
    assert (mine["name"], mine["permissions"]) == ("a key", ["user.read", "queue.read"])
    assert admin.with_key("all").get("/jobs").status_code == 200


def test_a_key_of_somebody_who_is_no_admin_is_refused_first_for_that(admin: ApiClient) -> None:
    answer = admin.other_user().with_key("user.read").get("/jobs")
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


def test_a_key_grants_no_more_than_it_has(admin: ApiClient) -> None:
    key = admin.with_key("apiKey.create", "apiKey.update", "user.read")
    answer = key.post("/api-keys", {"permissions": ["user.read", "job.read"]})
    assert (answer.status_code, answer.json()) == (400, {"message": "Cannot grant permissions you do not have"})
    assert key.post("/api-keys", {"permissions": ["user.read"]}).status_code == 201


def test_keys_are_listed_changed_and_deleted(admin: ApiClient) -> None:
    made = admin.post("/api-keys", {"name": "cli", "permissions": ["asset.upload"]}).json()
    key_id, key = made["apiKey"]["id"], admin.with_headers(x_api_key=made["secret"])
    assert [one["id"] for one in admin.get("/api-keys").json()] == [key_id]
    assert admin.get(f"/api-keys/{key_id}").json() == made["apiKey"]
    for method, permissions in (("PUT", ["user.read"]), ("PATCH", ["all"])):
        changed = admin.request(method, f"/api-keys/{key_id}", json={"permissions": permissions}).json()
        assert (changed["name"], changed["permissions"]) == ("cli", permissions)
    assert admin.delete(f"/api-keys/{key_id}").status_code == 204
    assert key.get("/users/me").json() == {"message": "Invalid API key"}
    for answer in (admin.get(f"/api-keys/{key_id}"), admin.delete(f"/api-keys/{key_id}")):
        assert (answer.status_code, answer.json()) == (400, {"message": "API Key not found"})


def test_a_session_is_no_key(admin: ApiClient) -> None:
    answer = admin.get("/api-keys/me")
    assert (answer.status_code, answer.json()) == (403, {"message": "Not authenticated with an API Key"})


def test_keys_and_sessions_of_others_are_out_of_reach(admin: ApiClient) -> None:
    key_id = admin.post("/api-keys", {"permissions": ["all"]}).json()["apiKey"]["id"]
    session_id = admin.get("/sessions").json()[0]["id"]
    other = admin.other_user()
    assert other.get("/api-keys").json() == []
    assert other.delete(f"/api-keys/{key_id}").status_code == 400
    assert other.delete(f"/sessions/{session_id}").status_code == 400
    assert admin.get("/users/me").status_code == 200


def test_admin_routes_are_for_admins(admin: ApiClient) -> None:
    other = admin.other_user()
    body = {"command": "start", "name": "person-cleanup", "isOnboarded": True}
    for method, path in (
        ("GET", "/jobs"),
        ("POST", "/jobs"),
        ("PUT", "/jobs/ocr"),
        ("GET", "/queues"),
        ("GET", "/queues/ocr"),
        ("PUT", "/queues/ocr"),
        ("GET", "/queues/ocr/jobs"),
        ("DELETE", "/queues/ocr/jobs"),
        ("GET", "/system-config"),
        ("GET", "/system-config/defaults"),
        ("PUT", "/system-config"),
        ("GET", "/admin/users"),
        ("POST", "/admin/users"),
        ("GET", f"/admin/users/{NOBODYS_ID}"),
        ("GET", "/server/statistics"),
        ("POST", "/system-metadata/admin-onboarding"),
    ):
        fitting = OTHER if path == "/admin/users" else body
        answer = other.request(method, path, json=fitting if method in ("POST", "PUT") else None)
        assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"}), (method, path)


def test_users_see_themselves_and_change_what_is_theirs(admin: ApiClient) -> None:
    admin.other_user()
    for method, change in (("PUT", {"name": "Ada L."}), ("PATCH", {"avatarColor": "green"})):
        assert admin.request(method, "/users/me", json=change).status_code == 200
    me = admin.get("/users/me").json()
    assert (me["name"], me["avatarColor"], me["email"]) == ("Ada L.", "green", "ada@example.org")
    taken = admin.put("/users/me", {"email": OTHER["email"]})
    assert (taken.status_code, taken.json()) == (400, {"message": "Email is not available"})
    assert {user["email"] for user in admin.get("/users").json()} == {ADMIN["email"], OTHER["email"]}
    assert admin.get(f"/users/{me['id']}").json()["name"] == "Ada L."
    assert admin.get(f"/users/{NOBODYS_ID}").json() == {"message": "User not found"}


def test_admins_make_accounts(admin: ApiClient) -> None:
    account = {**OTHER, "quotaSizeInBytes": 1000, "storageLabel": "bob", "avatarColor": "pink"}
    made = admin.post("/admin/users", account)
    assert made.status_code == 201
    user = made.json()
    assert (user["isAdmin"], user["quotaSizeInBytes"], user["storageLabel"]) == (False, 1000, "bob")
    assert (user["avatarColor"], user["shouldChangePassword"]) == ("pink", True)
    assert admin.post("/admin/users", account).json() == {"message": "Email is not available"}
    same_label = admin.post("/admin/users", {**account, "email": "carol@example.org"})
    assert same_label.json() == {"message": "Storage label already in use by another account"}
    assert [one["id"] for one in admin.get(f"/admin/users?id={user['id']}").json()] == [user["id"]]
    assert admin.get(f"/admin/users/{user['id']}").json() == user


def test_a_storage_label_is_a_plain_folder_name(admin: ApiClient) -> None:
    made = admin.post("/admin/users", {**OTHER, "storageLabel": "../b/ob\u0000."})
    assert made.json()["storageLabel"] == "bob"


def test_users_may_be_kept_from_seeing_each_other(admin: ApiClient) -> None:
    other = admin.other_user()
    assert len(other.get("/users").json()) == 2
    config = admin.get("/system-config").json()
    config["server"]["publicUsers"] = False
    admin.put("/system-config", config)
    assert [user["email"] for user in other.get("/users").json()] == [OTHER["email"]]
    assert len(admin.get("/users").json()) == 2


def test_two_who_sign_up_at_once_make_one_admin(admin: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # the slower one of the two still saw an empty table
    monkeypatch.setattr(users, "has_admin", lambda session: False)
    monkeypatch.setattr(users, "by_storage_label", lambda session, label: None)
    answer = admin.post("/auth/admin-sign-up", {**ADMIN, "email": "eve@example.org"})
    assert (answer.status_code, answer.json()) == (400, {"message": "The server already has an admin"})


def test_the_first_account_is_not_made_by_an_admin(api: ApiClient) -> None:
    answer = api.post("/admin/users", OTHER)
    assert (answer.status_code, answer.json()) == (401, {"message": "Authentication required"})


def test_preferences_change_one_by_one(admin: ApiClient) -> None:
    before = admin.get("/users/me/preferences").json()
    assert before["people"] == {"enabled": True, "sidebarWeb": False, "minimumFaces": 3}
    assert before["download"] == {"archiveSize": 4 * 1024**3, "includeEmbeddedVideos": False}
    admin.put("/users/me/preferences", {"people": {"minimumFaces": 5}, "avatar": {"color": "amber"}})
    after = admin.put("/users/me/preferences", {"people": {"sidebarWeb": True}, "unknown": {"a": 1}}).json()
    assert after == {**before, "people": {"enabled": True, "sidebarWeb": True, "minimumFaces": 5}}
    assert admin.get("/users/me/preferences").json() == after
    assert admin.get("/users/me").json()["avatarColor"] == "amber"
    wrong = admin.put("/users/me/preferences", {"people": {"minimumFaces": 0}})
    assert wrong.json()["errors"][0]["message"] == "Too small: expected number to be >=1"


def test_the_first_steps_are_remembered(admin: ApiClient) -> None:
    assert admin.get("/server/config").json()["isOnboarded"] is False
    assert admin.post("/system-metadata/admin-onboarding", {"isOnboarded": True}).status_code == 204
    assert admin.get("/server/config").json()["isOnboarded"] is True
    assert admin.get("/system-metadata/admin-onboarding").json() == {"isOnboarded": True}
    assert admin.put("/users/me/onboarding", {"isOnboarded": False}).json() == {"isOnboarded": False}


def test_a_failed_sign_in_is_logged_with_the_address(api: ApiClient, caplog: pytest.LogCaptureFixture) -> None:
    api.sign_up()
    wrong = {"email": ADMIN["email"], "password": "wrong horse"}
    assert api.post("/auth/login", wrong, headers={"x-forwarded-for": "203.0.113.9"}).status_code == 401
    lines = [record.getMessage() for record in caplog.records if record.name == "serve_app.services.sign_in"]
    assert lines == [f"sign-in as {ADMIN['email']} from 203.0.113.9: wrong email or password"]
