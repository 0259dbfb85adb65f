"""PIN codes over HTTP, on both databases: who has one, what it unlocks, for how long, and how often it is guessed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_client import ADMIN, OTHER, ApiClient, api_client
from tests.fake_clock import FakeClock

PIN, OTHER_PIN = "123456", "654321"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media", clock) as client:
        yield client


@pytest.fixture
def admin(api: ApiClient) -> ApiClient:
    return api.sign_up()


def refused(caller: ApiClient, method: str, path: str, **body: str) -> tuple[int, str]:
    answer = caller.request(method, path, json=body)
    return answer.status_code, answer.json()["message"]


def is_elevated(caller: ApiClient) -> bool:
    elevated: bool = caller.get("/auth/status").json()["isElevated"]
    return elevated


def unlocked(caller: ApiClient, pin: str = PIN) -> ApiClient:
    assert caller.post("/auth/session/unlock", {"pinCode": pin}).status_code == 204
    return caller


def with_pin(caller: ApiClient) -> ApiClient:
    assert caller.post("/auth/pin-code", {"pinCode": PIN}).status_code == 204
    return caller


def test_a_pin_code_from_its_first_day_to_its_last(admin: ApiClient) -> None:
    assert admin.get("/auth/status").json() == {"pinCode": False, "password": True, "isElevated": False}
    for method, path in (("PUT", "/auth/pin-code"), ("DELETE", "/auth/pin-code"), ("POST", "/auth/session/unlock")):
        given = {"pinCode": PIN, "newPinCode": OTHER_PIN}
        assert refused(admin, method, path, **given) == (400, "User does not have a PIN code")
    with_pin(admin)
    assert refused(admin, "POST", "/auth/pin-code", pinCode=OTHER_PIN) == (400, "User already has a PIN code")
    assert admin.get("/auth/status").json()["pinCode"] is True
    assert refused(admin, "PUT", "/auth/pin-code", newPinCode=OTHER_PIN, pinCode="000000") == (400, "Wrong PIN code")
    assert refused(admin, "PUT", "/auth/pin-code", newPinCode=OTHER_PIN, password="no") == (400, "Wrong password")
    either = (400, "Either password or pinCode is required")
    assert refused(admin, "PUT", "/auth/pin-code", newPinCode=OTHER_PIN) == either
    assert admin.put("/auth/pin-code", {"newPinCode": OTHER_PIN, "pinCode": PIN}).status_code == 204
    assert refused(admin, "POST", "/auth/session/unlock", pinCode=PIN) == (400, "Wrong PIN code")
    unlocked(admin, OTHER_PIN)
    assert refused(admin, "DELETE", "/auth/pin-code") == either
    assert admin.delete("/auth/pin-code", json={"password": ADMIN["password"]}).status_code == 204
    assert admin.get("/auth/status").json() == {"pinCode": False, "password": True, "isElevated": False}


@pytest.mark.parametrize("pin", ["12345", "1234567", "12345a", "１２３４５６", "123456\n", " 123456"])
def test_a_pin_code_is_six_digits(admin: ApiClient, pin: str) -> None:
    answer = admin.post("/auth/pin-code", {"pinCode": pin})
    assert answer.status_code == 400
    pattern = "/^\\d{6}$/"
    message = f"Invalid string: must match pattern {pattern}"
    issue = {"code": "invalid_format", "format": "regex", "pattern": pattern, "path": ["pinCode"], "message": message}
    assert answer.json() == {"message": "Validation failed", "errors": [issue]}


def test_an_unlocked_session_is_so_for_a_quarter_of_an_hour(admin: ApiClient, clock: FakeClock) -> None:
    unlocked(with_pin(admin))
    assert admin.get("/auth/status").json()["pinExpiresAt"] == "2026-03-01T12:15:00.000Z"
    clock.sleep(9 * 60)
    assert is_elevated(admin)
    assert admin.get("/auth/status").json()["pinExpiresAt"] == "2026-03-01T12:15:00.000Z"
    clock.sleep(6 * 60)
    assert not is_elevated(admin)


def test_who_goes_on_working_stays_unlocked(admin: ApiClient, clock: FakeClock) -> None:
    unlocked(with_pin(admin))
    clock.sleep(11 * 60)
    admin.get("/users/me")
    assert admin.get("/auth/status").json()["pinExpiresAt"] == "2026-03-01T12:16:00.000Z"
    clock.sleep(4 * 60 + 59)
    assert is_elevated(admin)
    clock.sleep(5 * 60)
    assert not is_elevated(admin)


def test_one_session_unlocked_is_not_another(admin: ApiClient) -> None:
    unlocked(with_pin(admin))
    elsewhere = admin.sign_in(ADMIN)
    assert (is_elevated(admin), is_elevated(elsewhere)) == (True, False)
    assert admin.post("/auth/session/lock").status_code == 204
    assert not is_elevated(admin)


def test_a_session_locks_another_of_the_same_person(admin: ApiClient) -> None:
    elsewhere = unlocked(with_pin(admin)).sign_in(ADMIN)
    (here,) = [one["id"] for one in admin.get("/sessions").json() if one["current"]]
    stranger = admin.other_user()
    assert refused(stranger, "POST", f"/sessions/{here}/lock") == (400, "Not found or no session.lock access")
    assert is_elevated(admin)
    assert elsewhere.post(f"/sessions/{here}/lock").status_code == 204
    assert not is_elevated(admin)


def test_a_device_is_told_to_begin_its_synchronisation_anew(admin: ApiClient) -> None:
    (one,) = admin.get("/sessions").json()
    path = f"/sessions/{one['id']}"
    assert one["isPendingSyncReset"] is False
    assert admin.put(path, {"isPendingSyncReset": True}).json()["isPendingSyncReset"] is True
    assert admin.request("PATCH", path, json={"isPendingSyncReset": False}).json()["isPendingSyncReset"] is False
    assert refused(admin, "PUT", path) == (400, "No fields to update")
    stranger = admin.other_user()
    answer = stranger.put(path, {"isPendingSyncReset": True})
    assert (answer.status_code, answer.json()["message"]) == (400, "Not found or no session.update access")


def test_no_api_key_is_ever_unlocked(admin: ApiClient) -> None:
    key = unlocked(with_pin(admin)).with_key("all")
    only_sessions = (400, "This endpoint can only be used with a session token")
    assert refused(key, "POST", "/auth/session/unlock", pinCode=PIN) == only_sessions
    assert refused(key, "POST", "/auth/session/lock") == only_sessions
    assert refused(key, "POST", "/sessions") == only_sessions, "a session may do more than the key"
    assert key.get("/auth/status").json() == {"pinCode": True, "password": True, "isElevated": False}
    assert refused(admin.with_key("asset.read"), "POST", "/auth/pin-code", pinCode=PIN) == (
        403,
        "Missing required permission: pinCode.create",
    )


def test_an_admin_gives_and_takes_pin_codes(admin: ApiClient) -> None:
    made = admin.post("/admin/users", {**OTHER, "pinCode": PIN})
    assert made.status_code == 201
    other = unlocked(admin.sign_in(OTHER))
    path = f"/admin/users/{made.json()['id']}"
    assert admin.put(path, {"name": "Robert"}).status_code == 200
    assert is_elevated(other)
    assert admin.put(path, {"pinCode": OTHER_PIN}).status_code == 200
    assert not is_elevated(other)
    unlocked(other, OTHER_PIN)
    assert admin.put(path, {"pinCode": None}).status_code == 200
    assert other.get("/auth/status").json() == {"pinCode": False, "password": True, "isElevated": False}


def test_pin_codes_cannot_be_guessed(admin: ApiClient, clock: FakeClock) -> None:
    with_pin(admin)
    paths = (("POST", "/auth/session/unlock"), ("PUT", "/auth/pin-code"), ("DELETE", "/auth/pin-code"))
    for index in range(5):
        method, path = paths[index % 3]
        given = {"pinCode": f"00000{index}", "newPinCode": OTHER_PIN}
        assert refused(admin.sign_in(ADMIN), method, path, **given) == (400, "Wrong PIN code")
    for method, path in paths:  # not even the right one
        answer = admin.sign_in(ADMIN).request(method, path, json={"pinCode": PIN, "newPinCode": OTHER_PIN})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "300")
        assert answer.json() == {"message": "Too many attempts, try again in 300 seconds"}
    assert unlocked(with_pin(admin.other_user())), "another's codes are their own"
    clock.sleep(300)
    unlocked(admin)
    for index in range(5):  # the right one begins anew
        assert refused(admin, "POST", "/auth/session/unlock", pinCode=f"00000{index}") == (400, "Wrong PIN code")
    assert admin.delete("/auth/pin-code", json={"password": ADMIN["password"]}).status_code == 204


def test_an_open_session_is_no_place_to_guess_the_password(admin: ApiClient, clock: FakeClock) -> None:
    with_pin(admin)
    for index in range(5):
        given = {"password": f"wrong {index}", "newPassword": "long enough"}
        assert admin.post("/auth/change-password", given).status_code == 400
        assert admin.delete("/auth/pin-code", json={"password": f"no {index}"}).status_code == 400
    given = {"password": ADMIN["password"], "newPassword": "long enough"}
    answer = admin.post("/auth/change-password", given)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    clock.sleep(60)
    assert admin.post("/auth/change-password", given).status_code == 200
