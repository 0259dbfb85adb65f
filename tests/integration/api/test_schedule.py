"""The timetable over HTTP, on both databases: when next, what became of the last run, and running it now."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import SystemClock
from cluster.db.queries import notes
from cluster.db.tables.job import JobHistory
from cluster.loops.cron import parse_cron
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


def test_what_somebody_starts_elsewhere_is_no_run_of_the_entry(admin: ApiClient) -> None:
    admin.put("/jobs/thumbnailGeneration", {"command": "start", "force": False})
    end_one(admin, QueueName.THUMBNAIL_GENERATION)
    nightly = entries(admin)["nightly"]
    assert (nightly["lastRunAt"], nightly["last"]) == (None, None)
    before = admin.services.clock.now()
    assert admin.post("/schedule/database-backup/run").json() == {"count": 1}
    backup = entries(admin)["database-backup"]
    assert before <= datetime.fromisoformat(backup["lastRunAt"]) <= admin.services.clock.now()
    assert backup["last"] is None
    end_one(admin, QueueName.BACKUP_DATABASE)
    assert entries(admin)["database-backup"]["last"]["reason"] == "the first one"
    admin.put("/jobs/backupDatabase", {"command": "start"})
    end_one(admin, QueueName.BACKUP_DATABASE, "the second one")
    assert entries(admin)["database-backup"]["last"]["reason"] == "the first one"
    assert [line["detail"] for line in admin.get("/admin/actions?action=run").json()] == ["1 job"]


def test_what_ran_by_its_time_shows_the_result_of_that_run(admin: ApiClient) -> None:
    cron = entries(admin)["database-backup"]["cron"]
    services = admin.services
    at = parse_cron(cron).latest(services.clock.now() - timedelta(days=2), services.clock.now(), None)
    assert at is not None
    with services.database.session() as session:
        # the server was off at its time
        ran = at + timedelta(hours=6)
        noted = {"cron": cron, "at": at.isoformat(), "ran": ran.isoformat()}
        notes.write(session, "schedule:database-backup", noted)
        for after_s, reason in ((2, "its own"), (3600, "somebody's")):
            ended = {"outcome": "done", "reason": reason, "node": "desk", "duration_ms": 2000, "wait_ms": 3000}
            when = ran + timedelta(seconds=after_s + 5)
            names = {"name": JobName.DATABASE_BACKUP, "queue": QueueName.BACKUP_DATABASE}
            session.add(JobHistory(job_id=after_s, ended_at=when, **names, **ended))
    backup = entries(admin)["database-backup"]
    assert datetime.fromisoformat(backup["lastRunAt"]) == ran
    assert backup["last"]["reason"] == "its own"


def end_one(api: ApiClient, queue: QueueName, reason: str = "the first one") -> None:
    store = api.services.store
    with store.transaction() as tx:
        (held,) = store.lease(tx, queue, 5, 30, "controller", "first")
        store.settle(tx, [Finish(held, reason=reason, duration_ms=40, node="desk")])


def test_what_is_not_in_the_timetable_cannot_be_run(admin: ApiClient) -> None:
    assert admin.post("/schedule/nothing/run").status_code == 404
    assert admin.other_user().post("/schedule/nightly/run").status_code == 403
