"""Guessing passwords over HTTP, on both databases: slow for who guesses, and no trouble for who knows."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from cluster.db.queries import tries
from cluster.db.tables.sign_in import KnownAddress, TriedSecret
from cluster.errors import NotAuthenticated, TooManyTries
from serve_app.services import passwords
from serve_app.services import sign_in as sign_in_service
from serve_app.services.sessions import Device
from serve_app.services.sign_in import sign_in
from tests.api_client import ADMIN, OTHER, ApiClient, api_client
from tests.fake_clock import FakeClock

HOME, CAFE, ATTACKER = "192.0.2.1", "198.51.100.7", "203.0.113.9"
TRUSTED = "127.0.0.1"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of guesses are counted here, and what is counted is not how long each takes."""
    monkeypatch.setattr(passwords, "COST", 4)
    monkeypatch.setattr(sign_in_service, "NOBODYS_HASH", passwords.hash_password("nobody's"))


@pytest.fixture
def api(database_url: str, tmp_path: Path, clock: FakeClock, cheap_hashes: None) -> Iterator[ApiClient]:
    """With an admin, who has signed in from home."""
    with api_client(database_url, tmp_path / "media", clock) as client:
        client.post("/auth/admin-sign-up", ADMIN)
        assert knock(client, HOME).status_code == 201
        yield client


def knock(
    api: ApiClient, address: str, password: str = ADMIN["password"], email: str = ADMIN["email"]
) -> httpx.Response:
    return api.post("/auth/login", {"email": email, "password": password}, headers={"x-forwarded-for": address})


def guesses(api: ApiClient, count: int, *addresses: str, email: str = ADMIN["email"]) -> list[int]:
    """What each of them hears, taking turns."""
    found = []
    for index in range(count):
        found.append(knock(api, addresses[index % len(addresses)], f"guess {index}", email).status_code)
    return found


def test_who_guesses_has_to_wait(api: ApiClient, clock: FakeClock) -> None:
    assert guesses(api, 12, ATTACKER) == [401] * 10 + [429] * 2
    answer = knock(api, ATTACKER)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert answer.json() == {"message": "Too many attempts, try again in 60 seconds"}
    clock.sleep(59)
    assert knock(api, ATTACKER).headers["retry-after"] == "1"
    clock.sleep(1)
    assert guesses(api, 2, ATTACKER) == [401, 429]
    assert knock(api, HOME).status_code == 201
    assert knock(api, CAFE).status_code == 201


def test_signing_in_makes_wrong_tries_forgotten(api: ApiClient) -> None:
    for _ in range(3):
        assert guesses(api, 9, CAFE) == [401] * 9
        assert knock(api, CAFE).status_code == 201


def test_a_thousand_addresses_do_not_lock_the_owner_out(api: ApiClient) -> None:
    many = [f"203.0.113.{number}" for number in range(60)]
    assert guesses(api, 60, *many) == [401] * 50 + [429] * 10
    assert knock(api, CAFE).status_code == 429  # nobody knows that it is she
    assert knock(api, HOME).status_code == 201
    assert guesses(api, 11, HOME) == [401] * 10 + [429]


def test_one_address_cannot_try_every_account(api: ApiClient) -> None:
    heard = [knock(api, ATTACKER, "summer 2026", f"user{number}@example.org").status_code for number in range(103)]
    assert heard == [401] * 100 + [429] * 3
    assert knock(api, CAFE).status_code == 201
    assert knock(api, HOME).status_code == 201


def test_an_account_of_ones_own_opens_no_others(api: ApiClient) -> None:
    """Who signs in as themselves in between has tried the others as often."""
    api.sign_in(ADMIN).post("/admin/users", OTHER)
    heard = []
    for number in range(110):
        heard.append(knock(api, ATTACKER, "summer 2026", f"user{number}@example.org").status_code)
        if number < 50 and number % 5 == 0:
            knock(api, ATTACKER, OTHER["password"], OTHER["email"])
    assert heard == [401] * 100 + [429] * 10


def test_an_account_that_is_not_there_is_guessed_as_slowly(api: ApiClient) -> None:
    nobody = "eve@example.org"
    assert guesses(api, 12, ATTACKER, email=nobody) == guesses(api, 12, CAFE) == [401] * 10 + [429] * 2
    assert guesses(api, 3, ATTACKER, email="EVE@example.org") == [429] * 3


def test_one_network_is_one_address(api: ApiClient) -> None:
    neighbours = [f"2001:db8:0:1::{number}" for number in range(1, 12)]
    assert guesses(api, 11, *neighbours) == [401] * 10 + [429]
    assert guesses(api, 1, "2001:db8:0:2::1") == [401]


def test_tries_that_come_all_at_once_are_counted_as_well(api: ApiClient) -> None:
    """Of as many API processes as there are threads here: each try is a transaction of its own."""

    def guess(number: int) -> str:
        try:
            sign_in(api.services, ADMIN["email"], f"guess {number}", Device(), ATTACKER)
        except (NotAuthenticated, TooManyTries) as refused:
            return type(refused).__name__
        return "signed in"

    with ThreadPoolExecutor(16) as threads:
        heard = list(threads.map(guess, range(48)))
    assert (heard.count("NotAuthenticated"), heard.count("TooManyTries")) == (10, 38)


def test_what_is_paid_off_is_forgotten(api: ApiClient, clock: FakeClock) -> None:
    guesses(api, 3, ATTACKER)
    assert rows(api) == (4, 1)
    forget(api, clock)
    assert rows(api) == (3, 1)
    clock.sleep(3 * 60 + 1)
    forget(api, clock)
    assert rows(api) == (0, 1)
    clock.sleep(90 * 24 * 3600)
    forget(api, clock)
    assert rows(api) == (0, 0)


def forget(api: ApiClient, clock: FakeClock) -> None:
    with api.services.database.session() as session:
        tries.forget_old(session, clock.now(), clock.now() - timedelta(days=90))


def rows(api: ApiClient) -> tuple[int, int]:
    with api.services.database.reader() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (TriedSecret, KnownAddress)]
    return counts[0] or 0, counts[1] or 0


def test_an_answer_takes_as_long_whether_there_is_such_an_account(database_url: str, tmp_path: Path) -> None:
    """Medians of tries that take turns, so that whatever else the machine does slows both. A quick refusal without a
    hash would take a tenth of the time."""
    assert f"${passwords.COST}$" in passwords.NOBODYS_HASH
    took: dict[str, list[float]] = {ADMIN["email"]: [], "eve@example.org": []}
    with api_client(database_url, tmp_path / "media") as api:
        api.post("/auth/admin-sign-up", ADMIN)
        for number in range(9):
            for email, times in took.items():
                began = time.perf_counter()
                assert knock(api, f"203.0.113.{number}", "wrong", email).status_code == 401
                times.append(time.perf_counter() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    assert 0.5 < known / unknown < 2, (known, unknown)
