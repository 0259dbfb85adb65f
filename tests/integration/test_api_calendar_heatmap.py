"""A year of uploads and of pictures taken over HTTP, day by day, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import ApiClient, api_client
from tests.api_stack import ApiStack
from tests.api_stack import Person as Owner
from tests.library_rows import add_asset

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
PATH = "/users/me/calendar-heatmap"


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    """Today is the 1st of March 2026."""
    with api_client(database_url, tmp_path / "media") as client:
        yield client.sign_up()


def add(api: ApiClient, taken: datetime, **columns: Any) -> str:
    owner = Owner(api.get("/users/me").json()["id"], "")
    return add_asset(ApiStack(api.services, None), owner, taken, **columns)


def days(api: ApiClient, query: str, path: str = PATH) -> dict[str, int]:
    """Those that have something."""
    answer = api.get(f"{path}?{query}")
    assert answer.status_code == 200, answer.text
    found = {one["date"]: one["count"] for one in answer.json()["series"] if one["count"]}
    assert answer.json()["totalCount"] == sum(found.values())
    return found


def test_each_day_of_a_period_has_its_number(api: ApiClient) -> None:
    for seconds in (-1, 0, 86_399, 86_400):
        add(api, NEW_YEAR + timedelta(seconds=seconds), created_at=NEW_YEAR + timedelta(days=40))
    assert api.get(f"{PATH}?type=Taken&from=2024-01-01&to=2024-01-03").json() == {
        "from": "2024-01-01",
        "to": "2024-01-03",
        "series": [
            {"date": "2024-01-01", "count": 2},
            {"date": "2024-01-02", "count": 1},
            {"date": "2024-01-03", "count": 0},
        ],
        "totalCount": 3,
    }
    assert days(api, "from=2023-12-01&to=2024-03-01") == {"2024-02-10": 4}
    assert days(api, "type=Upload&from=2024-02-10&to=2024-02-10") == {"2024-02-10": 4}
    me = api.get("/users/me").json()["id"]
    assert days(api, "from=2024-02-10&to=2024-02-10", f"/admin/users/{me}/calendar-heatmap") == {"2024-02-10": 4}


def test_a_year_up_to_today_is_what_nobody_asks_otherwise(api: ApiClient) -> None:
    seen = api.get(PATH).json()
    assert (seen["from"], seen["to"], len(seen["series"])) == ("2025-03-03", "2026-03-01", 364)
    seen = api.get(f"{PATH}?to=2024-12-31").json()
    assert (seen["from"], len(seen["series"])) == ("2024-01-03", 364)
    assert api.get(f"{PATH}?from=0001-01-01&to=0001-01-02").json()["series"][0] == {"date": "0001-01-01", "count": 0}
    assert len(api.get(f"{PATH}?from=9999-12-31&to=9999-12-31").json()["series"]) == 1


def test_what_nobody_sees_does_not_count(api: ApiClient) -> None:
    add(api, NEW_YEAR)
    add(api, NEW_YEAR, visibility="archive")
    for visibility in ("hidden", "locked"):
        add(api, NEW_YEAR, visibility=visibility)
    add(api, NEW_YEAR, deleted_at=NEW_YEAR, status="trashed")
    assert days(api, "type=Taken&from=2024-01-01&to=2024-01-01") == {"2024-01-01": 2}
    assert days(api.other_user(), "type=Taken&from=2024-01-01&to=2024-01-01") == {}


@pytest.mark.parametrize("day", ["2024-13-01", "2023-02-29", "2024-1-1", "today", "1704067200", "２０２４-01-01"])
def test_a_day_is_a_date(api: ApiClient, day: str) -> None:
    answer = api.get(PATH, params={"from": day})
    issue = {"code": "invalid_format", "format": "date", "path": ["from"], "message": "Invalid ISO date"}
    assert (answer.status_code, answer.json()) == (400, {"message": "Validation failed", "errors": [issue]})


def test_a_period_has_an_order_and_an_end(api: ApiClient) -> None:
    answer = api.get(f"{PATH}?from=2024-01-02&to=2024-01-01")
    issue = {"code": "custom", "path": ["from"], "message": "from must be before to"}
    assert (answer.status_code, answer.json()) == (400, {"message": "Validation failed", "errors": [issue]})
    answer = api.get(f"{PATH}?from=0001-01-01&to=9999-12-31")
    assert (answer.status_code, answer.json()) == (400, {"message": "The period is longer than 36525 days"})
    assert api.get(f"{PATH}?type=Other").status_code == 400


def test_anothers_days_are_for_admins(api: ApiClient) -> None:
    other = api.other_user()
    me = api.get("/users/me").json()["id"]
    assert other.get(f"/admin/users/{me}/calendar-heatmap").status_code == 403
    answer = api.get("/admin/users/0f7e0d4c-3c3c-4f0e-9d3c-1d2f3a4b5c6d/calendar-heatmap")
    assert (answer.status_code, answer.json()) == (400, {"message": "User not found"})
