"""The timetable over HTTP, on both databases: when next, what became of the last run, and running it now."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import SystemClock
from cluster.names import JobName, QueueName
from cluster.queue.store import Finish
from tests.api_client import ApiClient, api_client


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media", SystemClock()) as client:
        yield client.sign_up()


def entries(api: ApiClient) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in api.get("/schedule").json()}


def test_each_entry_says_when_it_runs_next(admin: ApiClient) -> None:
    now = admin.services.clock.now()
    for entry in entries(admin).values():
        assert entry["lastRunAt"] is None
        assert timedelta(0) < datetime.fromisoformat(entry["nextRunAt"]) - now <= timedelta(days=1, hours=1)
    config = admin.get("/system-config").json()
    config["backup"]["database"]["enabled"] = False
    admin.put("/system-config", config)
    backup = entries(admin)["database-backup"]
    assert (backup["cron"], backup["nextRunAt"]) == (None, None)


def test_an_entry_is_run_now_and_its_result_is_shown(admin: ApiClient) -> None:
    assert admin.post("/schedule/library-scan/run").json() == {"count": 1}
    assert admin.post("/schedule/library-scan/run").json() == {"count": 0}  # it waits already
    store = admin.services.store
    with store.transaction() as tx:
        (held,) = store.lease(tx, QueueName.LIBRARY, 5, 30, "controller", "first")
        assert held.name is JobName.LIBRARY_SCAN_QUEUE_ALL
        store.settle(tx, [Finish(held, skipped=True, reason="no libraries", duration_ms=40, node="desk")])
    last = entries(admin)["library-scan"]["last"]
    assert (last["outcome"], last["reason"], last["node"]) == ("skipped", "no libraries", "desk")
    assert admin.get("/admin/actions?action=run").json()[0]["subject"] == "library-scan"


def test_what_is_not_in_the_timetable_cannot_be_run(admin: ApiClient) -> None:
    assert admin.post("/schedule/nothing/run").status_code == 404
    assert admin.other_user().post("/schedule/nightly/run").status_code == 403
