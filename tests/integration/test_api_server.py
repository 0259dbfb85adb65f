"""What the server says of itself, what it says when it cannot answer, and what every answer carries."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.db.queries import users
from cluster.db.tables.asset import Asset, AssetExif
from cluster.names import QueueName
from serve_app.routers import health
from serve_app.services import queues
from serve_app.services.version_history import note_version
from serve_app.wire.server import human_size
from tests.api_client import ADMIN, ApiClient, api_client
from tests.published_api import published_api
from tests.shared_media import shared_dir

AN_ID = "0f7e0d4c-3c3c-4f0e-9d3c-1d2f3a4b5c6d"


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as client:
        yield client


@pytest.fixture
def admin(api: ApiClient) -> ApiClient:
    return api.sign_up()


def test_what_anybody_may_know(api: ApiClient) -> None:
    assert api.get("/server/ping").json() == {"res": "pong"}
    assert api.get("/server/version").json() == {"major": 3, "minor": 1, "patch": 0, "prerelease": None}
    assert api.get("/.well-known/immich").json() == {"api": {"endpoint": "/api"}}
    types = api.get("/server/media-types").json()
    assert types["sidecar"] == [".xmp"]
    assert {".jpg", ".heic", ".dng"} <= set(types["image"])
    assert {".mp4", ".mov"} <= set(types["video"])
    config = api.get("/server/config").json()
    assert (config["isInitialized"], config["isOnboarded"], config["maintenanceMode"]) == (False, False, False)
    assert (config["trashDays"], config["userDeleteDelay"], config["minFaces"]) == (30, 7, 3)
    api.sign_up()
    assert api.get("/server/config").json()["isInitialized"] is True


def test_features_follow_the_config_and_leave_out_what_is_not_served(api: ApiClient) -> None:
    admin = api.sign_up()
    features = api.get("/server/features").json()
    off = {"oauth", "oauthAutoLaunch", "email", "realtimeTranscoding", "configFile", "importFaces"}
    assert {name for name, on in features.items() if not on} == off
    config = admin.get("/system-config").json()
    config["trash"]["enabled"] = False
    config["machineLearning"]["ocr"]["enabled"] = False
    config["notifications"]["smtp"]["enabled"] = True
    config["oauth"]["enabled"] = True
    assert admin.put("/system-config", config).status_code == 200
    changed = api.get("/server/features").json()
    assert {name for name, on in changed.items() if not on} == off | {"trash", "ocr"}


def test_the_disk_in_words_and_bytes(api: ApiClient) -> None:
    storage = api.sign_up().get("/server/storage").json()
    assert storage["diskSize"] == human_size(storage["diskSizeRaw"])
    assert 0 < storage["diskAvailableRaw"] < storage["diskSizeRaw"]
    share = 100 * storage["diskUseRaw"] / storage["diskSizeRaw"]
    assert storage["diskUsagePercentage"] == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_319_413_953_332, "1.2 TiB"), (2**60, "1024.0 PiB")],
)
def test_sizes_for_people(size_bytes: int, words: str) -> None:
    assert human_size(size_bytes) == words


def test_programs_are_named_with_their_versions(api: ApiClient) -> None:
    about = api.sign_up().get("/server/about").json()
    assert (about["version"], about["licensed"]) == ("v3.1.0", False)
    assert all(about[program][0].isdigit() for program in ("exiftool", "ffmpeg") if program in about)


def test_statistics_count_what_people_see(api: ApiClient) -> None:
    admin = api.sign_up()
    add_asset(admin, "IMAGE", 1000)
    add_asset(admin, "VIDEO", 200)
    add_asset(admin, "VIDEO", 50, visibility="hidden")
    statistics = admin.get("/server/statistics").json()
    (usage,) = statistics["usageByUser"]
    for said in (statistics, usage):
        assert (said["photos"], said["videos"], said["usage"]) == (1, 1, 1200)
        assert (said["usagePhotos"], said["usageVideos"]) == (1000, 200)
    assert usage["userName"] == "Ada"


def add_asset(admin: ApiClient, kind: str, size_bytes: int, visibility: str = "timeline") -> None:
    asset_id, now = f"{kind}-{size_bytes}", datetime.now(UTC)
    with admin.services.database.session() as session:
        (owner,) = users.all_users(session)
        row = {"file_created_at": now, "file_modified_at": now, "local_date_time": now, "created_at": now}
        session.add(
            Asset(
                id=asset_id,
                owner_id=owner.id,
                type=kind,
                original_path=asset_id,
                original_file_name=asset_id,
                checksum=asset_id.encode(),
                visibility=visibility,
                updated_at=now,
                **row,
            )
        )
        session.flush()
        session.add(AssetExif(asset_id=asset_id, file_size_bytes=size_bytes, updated_at=now))


@pytest.mark.parametrize(
    ("path", "body", "issues"),
    [
        (
            "/auth/login",
            {"email": "ada@example.org"},
            [("invalid_type", ["password"], "Invalid input: expected string, received undefined")],
        ),
        (
            "/auth/admin-sign-up",
            {"email": "ada", "password": 7, "name": None},
            [
                ("invalid_format", ["email"], "Invalid email address"),
                ("invalid_type", ["password"], "Invalid input: expected string, received number"),
                ("invalid_type", ["name"], "Invalid input: expected string, received null"),
            ],
        ),
        ("/auth/login", [], [("invalid_type", [], "Invalid input: expected object, received array")]),
        ("/auth/login", None, [("invalid_type", [], "Invalid input: expected object, received undefined")]),
    ],
)
def test_a_body_that_does_not_fit_is_explained(
    api: ApiClient, path: str, body: object, issues: list[tuple[str, list[str], str]]
) -> None:
    answer = api.post(path, body)
    assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
    assert [(one["code"], one["path"], one["message"]) for one in answer.json()["errors"]] == issues


def test_a_body_that_is_no_json_is_refused(api: ApiClient) -> None:
    answer = api.request("POST", "/auth/login", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"code": "custom", "path": [], "message": "Invalid JSON"}]


def test_wrong_values_are_named_with_their_place(api: ApiClient) -> None:
    admin = api.sign_up()
    for answer, path, message in (
        (admin.get("/api-keys/7"), ["id"], "Invalid UUID"),
        (admin.get("/albums/7"), ["id"], "Invalid UUID"),
        (
            admin.request("DELETE", "/stacks/0f7e0d4c-3c3c-4f0e-9d3c-1d2f3a4b5c6d/assets/7"),
            ["assetId"],
            "Invalid UUID",
        ),
        (admin.get("/users/0f7e0d4c-3c3c-1f0e-9d3c-1d2f3a4b5c6d"), ["id"], "Invalid UUID"),
        (admin.post("/api-keys", {}), ["permissions"], "Invalid input: expected array, received undefined"),
        (
            admin.post("/api-keys", {"permissions": []}),
            ["permissions"],
            "Too small: expected array to have >=1 items",
        ),
        (
            admin.post("/auth/change-password", {"password": "a", "newPassword": "short"}),
            ["newPassword"],
            "Too small: expected string to have >=8 characters",
        ),
        (
            admin.put("/users/me", {"avatarColor": "mauve"}),
            ["avatarColor"],
            'Invalid option: expected one of "primary"|"pink"|"red"|"yellow"|"blue"|"green"|"purple"|"orange"|"gray"'
            '|"amber"',
        ),
        (admin.post("/sessions", {"duration": 1.5}), ["duration"], "Invalid input: expected int, received number"),
        (admin.post("/sessions", {"duration": 0}), ["duration"], "Too small: expected number to be >=1"),
        (
            admin.put("/queues/ocr", {"isPaused": "true"}),
            ["isPaused"],
            "Invalid input: expected boolean, received string",
        ),
    ):
        assert (answer.status_code, answer.json()["message"]) == (400, "Validation failed")
        assert [(one["path"], one["message"]) for one in answer.json()["errors"]] == [(path, message)]
    unknown = admin.post("/api-keys", {"permissions": ["user.read", "no.such"]}).json()["errors"][0]
    assert (unknown["code"], unknown["path"]) == ("invalid_value", ["permissions", 1])
    assert unknown["message"].startswith('Invalid option: expected one of "all"|"')


def test_unknown_paths_and_methods_are_not_found(api: ApiClient) -> None:
    for method, path in (("GET", "/no/such"), ("DELETE", "/server/ping")):
        answer = api.request(method, path)
        assert (answer.status_code, answer.json()) == (404, {"message": f"Cannot {method} /api{path}"})


def test_every_answer_carries_a_mark(api: ApiClient) -> None:
    mine = api.get("/server/ping", headers={"x-correlation-id": "mine-7"})
    assert mine.headers["x-correlation-id"] == "mine-7"
    first, second = (api.get("/server/ping").headers["x-correlation-id"] for _ in range(2))
    assert first != second
    assert api.get("/users/me", headers={"x-correlation-id": "mine-8"}).headers["x-correlation-id"] == "mine-8"
    assert api.get("/no/such", headers={"x-correlation-id": "a b"}).headers["x-correlation-id"] != "a b"


def test_an_error_of_ours_says_what_failed_and_nothing_more(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = api.sign_up()

    def broken(services: object, queue: QueueName) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(queues, "pause", broken)
    answer = admin.put("/jobs/ocr", {"command": "pause"}, headers={"x-correlation-id": "mine"})
    assert (answer.status_code, answer.json()) == (500, {"message": "Failed to run queue command legacy"})
    assert answer.headers["x-correlation-id"] == "mine"


def test_passwords_reach_no_log(api: ApiClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(0):
        api.sign_up()
        api.post("/auth/login", {"email": ADMIN["email"], "password": "wrong horse"})
    assert ADMIN["password"] not in caplog.text
    assert "wrong horse" not in caplog.text


def test_every_route_of_immich_is_answered(api: ApiClient) -> None:
    """With what it asks for, or with 501: a client is never told that Immich has no such route."""
    shared_dir()
    published = published_api()
    assert published is not None
    admin = api.sign_up()
    not_served, unknown = set(), []
    for path, operations in published["paths"].items():
        for method in sorted({name.upper() for name in operations} & {"GET", "POST", "PUT", "PATCH", "DELETE"}):
            if path == "/auth/logout":
                continue
            answer = admin.request(method, concrete(path), json={} if method != "GET" else None)
            if answer.status_code == 501:
                not_served.add(path)
                assert answer.json()["message"] == f"{method} /api{concrete(path)} is not served by Heliostat yet"
            elif answer.status_code == 404 and answer.json()["message"].startswith("Cannot "):
                unknown.append((method, path))
    assert unknown == []
    assert "/workflows" in not_served
    assert "/jobs" not in not_served


def concrete(path: str) -> str:
    """The path with every parameter filled in."""
    return path.replace("{name}", "ocr").replace("{id}", AN_ID).replace("{", "").replace("}", "")


def test_the_docs_need_no_other_host(api: ApiClient) -> None:
    page = api.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/queues/{name}/jobs" in page.text
    assert "http://" not in page.text.replace("http://heliostat.test", "")
    assert "https://" not in page.text


def test_anybody_may_ask_whether_the_controller_lives(api: ApiClient) -> None:
    store = api.services.store
    assert api.get("/health").json() == {"controller": False}
    for seconds_left, lives in ((20, True), (-1, False)):
        with store.transaction() as tx:
            store.own(tx, QueueName, "controller", seconds_left)
        assert api.get("/health").json() == {"controller": lives}


def test_health_says_so_when_the_database_is_away(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(services: object) -> bool:
        raise OSError("connection refused")

    monkeypatch.setattr(health, "controller_lives", away)
    answer = api.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"message": "The database does not answer"})


def test_a_server_remembers_which_versions_it_has_been(admin: ApiClient) -> None:
    services = admin.services
    assert admin.get("/server/version-history").json() == []
    began = services.clock.now()
    for version, days in (((3, 0, 0), 0), ((3, 1, 0), 1), ((3, 1, 0), 2), ((3, 0, 0), 3)):
        with services.database.session() as session:
            note_version(session, began + timedelta(days=days), version)
    seen = admin.get("/server/version-history").json()
    assert [(one["version"], one["createdAt"][:10]) for one in seen] == [
        ("3.0.0", "2026-03-04"),
        ("3.1.0", "2026-03-02"),
        ("3.0.0", "2026-03-01"),
    ]
    assert len({one["id"] for one in seen}) == 3
    assert admin.with_headers().get("/server/version-history").status_code == 200


def test_where_the_app_for_android_lies(admin: ApiClient) -> None:
    links = admin.get("/server/apk-links").json()
    release = "https://github.com/immich-app/immich/releases/download/v3.1.0/app"
    assert links["universal"] == f"{release}-release.apk"
    assert links["arm64v8a"] == f"{release}-arm64-v8a-release.apk"


def test_the_gazetteer_came_with_the_installation(admin: ApiClient) -> None:
    path = "/system-metadata/reverse-geocoding-state"
    assert admin.get(path).json() == {"lastUpdate": None, "lastImportFileName": "places.npz"}
    assert admin.other_user().get(path).status_code == 403


@pytest.mark.parametrize("path", ["/users/me/license", "/server/license"])
def test_no_product_key_counts_here(admin: ApiClient, path: str) -> None:
    key = {"licenseKey": "IMSV-" + "-".join(["AbC1"] * 8), "activationKey": "whatever"}
    answer = admin.put(path, key)
    assert (answer.status_code, answer.json()) == (400, {"message": "Invalid license key"})
    answer = admin.put(path, {**key, "licenseKey": "IMSV-AbC1"})
    pattern = "/^IM(SV|CL)(-[\\dA-Za-z]{4}){8}$/"
    assert answer.json()["errors"][0]["message"] == f"Invalid string: must match pattern {pattern}"
    answer = admin.get(path)
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})
    assert admin.delete(path).status_code == 204
    assert admin.get("/users/me").json()["license"] is None
    assert admin.get("/server/about").json()["licensed"] is False
    stranger = admin.other_user()
    assert stranger.get(path).status_code == (403 if path.startswith("/server") else 404)


def test_no_account_is_linked_to_another_server(admin: ApiClient) -> None:
    assert admin.post("/admin/auth/unlink-all").status_code == 204
    assert admin.get("/users/me").status_code == 200
    assert admin.other_user().post("/admin/auth/unlink-all").status_code == 403


def test_the_first_steps_are_shown_once_more(admin: ApiClient) -> None:
    path = "/users/me/onboarding"
    assert admin.put(path, {"isOnboarded": True}).json() == {"isOnboarded": True}
    assert admin.delete(path).status_code == 204
    assert admin.get(path).json() == {"isOnboarded": False}
