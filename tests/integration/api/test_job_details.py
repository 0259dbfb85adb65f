"""Single jobs over HTTP, on both databases: what runs, what failed and why, trying again, letting go, and the list of
who did what."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.clock import SystemClock
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, Lease, LeaseToken, NewJob, asset_job
from cluster.queue.store import Fail, Finish, InHand
from serve_app.bootstrap import LiveQuietHours
from tests.api_client import ApiClient, api_client

OCR = QueueName.OCR
BROKEN = FailedAttempt("UnreadableImage", "a.jpg: <b>truncated</b>", "Traceback …", "exiftool says no", "desk", 12, 34)
LOST = FailedAttempt("WorkerLost", "b.jpg: its worker died", node="attic")


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media", SystemClock()) as client:  # as the queue's
        yield client.sign_up()


def enqueue(api: ApiClient, *jobs: NewJob) -> None:
    with api.services.store.transaction() as tx:
        api.services.store.enqueue(tx, jobs)


def lease(api: ApiClient, limit: int = 1) -> list[Lease]:
    with api.services.store.transaction() as tx:
        return api.services.store.lease(tx, OCR, limit, 30, "controller", "first")


def fill(api: ApiClient) -> list[Lease]:
    """Three failed jobs: two that could not be read, one whose worker died."""
    enqueue(api, *(asset_job(JobName.OCR, f"asset-{number}") for number in range(3)))
    held = lease(api, 3)
    with api.services.store.transaction() as tx:
        api.services.store.settle(tx, [Fail(held[0], BROKEN), Fail(held[1], BROKEN), Fail(held[2], LOST)])
    return held


def failures(api: ApiClient, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/queues/ocr/failures{query}").json()
    return found


def queues_of(api: ApiClient) -> dict[str, Any]:
    return {queue["name"]: queue for queue in api.with_settings().get("/queue-activity").json()}


def settle_one(api: ApiClient, queue: QueueName, duration_ms: int, node: str = "desk") -> None:
    store = api.services.store
    with store.transaction() as tx:
        (held,) = store.lease(tx, queue, 1, 30, "c", "1")
        store.settle(tx, [Finish(held, duration_ms=duration_ms, node=node)])


def test_a_failure_tells_its_whole_story(admin: ApiClient) -> None:
    held = fill(admin)
    page = failures(admin)
    assert (page["total"], page["next"], [job["id"] for job in page["items"]]) == (
        3,
        None,
        [str(one.job_id) for one in reversed(held)],
    )
    oldest = page["items"][2]
    assert (oldest["error"], oldest["attempts"], oldest["assetId"]) == ("a.jpg: <b>truncated</b>", 1, "asset-0")
    (attempt,) = admin.get(f"/queues/ocr/failures/{oldest['id']}/attempts").json()
    assert attempt == oldest["last"]
    assert (attempt["errorClass"], attempt["traceback"], attempt["toolOutput"], attempt["node"]) == (
        "UnreadableImage",
        "Traceback …",
        "exiftool says no",
        "desk",
    )
    assert admin.get("/queues/ocr/failures/999/attempts").status_code == 404


def test_failures_are_found_by_class_node_time_and_page(admin: ApiClient) -> None:
    fill(admin)
    assert failures(admin, "?errorClass=WorkerLost")["total"] == 1
    assert failures(admin, "?node=desk")["total"] == 2
    assert failures(admin, "?node=desk&errorClass=WorkerLost")["items"] == []
    assert failures(admin, "?since=2020-01-01T00:00:00Z")["total"] == 3
    assert failures(admin, "?until=2020-01-01T00:00:00Z")["total"] == 0
    assert failures(admin, "?file=nothing")["total"] == 0
    first = failures(admin, "?size=2")
    second = failures(admin, f"?size=2&before={first['next']}")
    assert len(first["items"] + second["items"]) == 3
    assert second["next"] is None
    kinds = admin.get("/queues/ocr/failures/kinds").json()
    assert kinds == [
        {"errorClass": "UnreadableImage", "node": "desk", "count": 2},
        {"errorClass": "WorkerLost", "node": "attic", "count": 1},
    ]
    assert [job["name"] for job in admin.get("/queues/ocr/failures/download?node=desk").json()] == ["Ocr", "Ocr"]
    assert admin.get("/queues/ocr/failures/download?node=nowhere").json() == []


def test_one_is_tried_again_then_all_that_match_and_the_rest_is_let_go(admin: ApiClient) -> None:
    held = fill(admin)
    again = admin.post("/queues/ocr/failures/retry", {"ids": [str(held[0].job_id)]})
    assert (again.status_code, again.json()) == (200, {"count": 1})
    assert admin.post("/queues/ocr/failures/retry", {"errorClass": "UnreadableImage"}).json() == {"count": 1}
    assert admin.get("/queues/ocr").json()["statistics"]["waiting"] == 2
    assert admin.post("/queues/ocr/failures/discard", {}).json() == {"count": 1}
    assert failures(admin)["total"] == 0


def test_a_job_at_work_is_seen_and_cancelled(admin: ApiClient) -> None:
    enqueue(admin, asset_job(JobName.OCR, "a"), asset_job(JobName.OCR, "b"))
    (held,) = lease(admin)
    store = admin.services.store
    with store.transaction() as tx:
        store.note_progress(tx, [InHand(held.job_id, held.token, "attic", 0.5), InHand(held.job_id, LeaseToken("x"))])
    (job,) = admin.get("/queues/ocr/running").json()
    assert (job["id"], job["node"], job["progress"], job["assetId"]) == (str(held.job_id), "attic", 0.5, "a")
    assert job["startedAt"]
    assert admin.delete(f"/queues/ocr/running/{held.job_id}").status_code == 204
    assert admin.get("/queues/ocr/running").json() == []
    again = admin.delete(f"/queues/ocr/running/{held.job_id}")
    assert (again.status_code, again.json()["message"]) == (400, "This job does not run any more")


def test_what_ended_lately_is_listed(admin: ApiClient) -> None:
    enqueue(admin, asset_job(JobName.OCR, "a"))
    (held,) = lease(admin)
    with admin.services.store.transaction() as tx:
        admin.services.store.settle(tx, [Finish(held, duration_ms=250, node="desk")])
    (job,) = admin.get("/queues/ocr/recent").json()
    assert (job["name"], job["outcome"], job["durationMs"], job["node"]) == ("Ocr", "done", 250, "desk")
    (ocr,) = [queue for queue in admin.get("/queue-activity").json() if queue["name"] == "ocr"]
    assert (sum(ocr["perMinute"]), ocr["waiting"], ocr["secondsLeft"]) == (1, 0, None)


def test_failures_of_ones_own_assets_are_shown_to_their_owner_alone(admin: ApiClient) -> None:
    photo = {"assetData": ("a.jpg", b"not a picture", "image/jpeg")}
    times = {"fileCreatedAt": "2024-01-01T00:00:00Z", "fileModifiedAt": "2024-01-01T00:00:00Z"}
    asset_id = admin.request("POST", "/assets", files=photo, data=times).json()["id"]
    enqueue(admin, asset_job(JobName.OCR, asset_id))
    (held,) = lease(admin)
    with admin.services.store.transaction() as tx:
        admin.services.store.settle(tx, [Fail(held, BROKEN)])
    (job,) = admin.get(f"/failures?assetId={asset_id}").json()["items"]
    assert (job["queue"], job["fileName"], job["error"]) == ("ocr", "a.jpg", "a.jpg: <b>truncated</b>")
    assert failures(admin, "?file=A.JP")["total"] == 1
    other = admin.other_user()
    assert other.get("/failures").json()["items"] == []
    assert other.get("/queues/ocr/failures").status_code == 403
    assert other.get("/admin/actions").status_code == 403
    assert admin.with_key("queueJob.read").post("/queues/ocr/failures/retry", {}).status_code == 403


def test_it_is_written_down_who_did_what(admin: ApiClient) -> None:
    fill(admin)
    admin.put("/jobs/ocr", {"command": "start", "force": True})
    until = "2999-01-01T00:00:00Z"
    paused = admin.put("/queues/ocr", {"isPaused": True, "reason": "too loud", "until": until})
    assert paused.status_code == 200
    admin.put("/queues/ocr", {"isPaused": False})
    admin.post("/queues/ocr/failures/retry", {})
    admin.post("/jobs", {"name": "tag-cleanup"})
    config = admin.get("/system-config").json()
    config["job"]["ocr"]["concurrency"] = 3
    config["notifications"]["smtp"]["transport"]["password"] = "hush"
    assert admin.put("/system-config", config).status_code == 200
    told = [(line["userName"], line["action"], line["subject"]) for line in admin.get("/admin/actions").json()]
    assert told == [
        ("Ada", "configure", "system config"),
        ("Ada", "create", "tag-cleanup"),
        ("Ada", "retry", "ocr"),
        ("Ada", "resume", "ocr"),
        ("Ada", "pause", "ocr"),
        ("Ada", "start", "ocr"),
    ]
    (changed,) = admin.get("/admin/actions?action=configure").json()
    assert changed["detail"] == "job.ocr.concurrency: 1 → 3\nnotifications.smtp.transport.password: changed"
    (pause,) = admin.get("/admin/actions?subject=ocr&action=pause").json()
    assert pause["detail"] == "until 2999-01-01T00:00+00:00, too loud"
    assert len(admin.get(f"/admin/actions?before={pause['id']}").json()) == 1


def test_a_pause_that_would_end_in_the_past_is_refused(admin: ApiClient) -> None:
    answer = admin.put("/queues/ocr", {"isPaused": True, "until": "2020-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()) == (400, {"message": "The pause would end in the past"})


def test_another_site_changes_nothing_with_the_browsers_cookie(admin: ApiClient) -> None:
    token = admin._headers["Authorization"].removeprefix("Bearer ")
    browser = admin.with_headers(Cookie=f"immich_access_token={token}")
    ours = {"sec-fetch-site": "same-origin"}
    assert browser.request("PUT", "/queues/ocr", json={"isPaused": True}, headers=ours).status_code == 200
    for site in ("cross-site", "same-site"):
        answer = browser.request("PUT", "/queues/ocr", json={"isPaused": True}, headers={"sec-fetch-site": site})
        assert (answer.status_code, answer.json()["message"]) == (403, "Another site asked for this in your name")
    assert browser.get("/queues", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_quiet_hours_are_set_told_and_held(admin: ApiClient) -> None:
    now = admin.services.clock.now().astimezone()
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=1):%H:%M}"
    assert admin.put("/quiet-hours/ocr", {"hours": hours}).status_code == 204
    assert admin.get("/quiet-hours").json() == {"ocr": hours}
    live = LiveQuietHours(admin.services)
    assert live.reason(OCR).startswith("quiet hours until")
    assert live.reason(QueueName.LIBRARY) == ""
    wrong = admin.put("/quiet-hours/ocr", {"hours": "10-11"})
    assert (wrong.status_code, wrong.json()["message"]) == (400, "Quiet hours are written HH:MM-HH:MM, not 10-11")
    assert admin.put("/quiet-hours/ocr", {"hours": ""}).status_code == 204
    assert LiveQuietHours(admin.services).reason(OCR) == ""


def test_a_forecast_begins_with_the_first_word_of_a_job_at_work(admin: ApiClient) -> None:
    def work_left_s() -> float | None:
        left: float | None = queues_of(admin)["ocr"]["workLeftS"]
        return left

    assert work_left_s() == 0
    enqueue(admin, asset_job(JobName.OCR, "a"), asset_job(JobName.OCR, "b"), asset_job(JobName.OCR, "c"))
    (held,) = lease(admin)
    assert work_left_s() is None
    store = admin.services.store
    with store.transaction() as tx:
        store.note_progress(tx, [InHand(held.job_id, held.token, "desk", 0.001)])
    assert work_left_s() is None  # too early to say
    time.sleep(0.2)
    with store.transaction() as tx:
        store.note_progress(tx, [InHand(held.job_id, held.token, "desk", 0.5)])
    left_s = work_left_s()
    assert left_s is not None
    assert left_s >= 2.5 * 0.4  # two that wait, half of the one at work, each at least 0.2 s / 0.5


def test_what_will_follow_from_another_queue_is_forecast(admin: ApiClient) -> None:
    def line(name: str) -> tuple[int, float | None]:
        queue = queues_of(admin)[name]
        return queue["waiting"], queue["workLeftS"]

    enqueue(admin, asset_job(JobName.ASSET_DETECT_DUPLICATES, "a"))
    settle_one(admin, QueueName.DUPLICATE_DETECTION, 2000)
    assert line("duplicateDetection") == (0, 0)
    enqueue(admin, *(asset_job(JobName.SMART_SEARCH, f"b{n}", source="upload") for n in range(5)))
    assert line("duplicateDetection") == (0, 10)
    assert line("smartSearch") == (5, None)


def test_as_many_run_at_once_as_the_machines_that_worked_lately_may(admin: ApiClient) -> None:
    enqueue(admin, *(asset_job(JobName.ASSET_GENERATE_THUMBNAILS, f"a{n}") for n in range(8)))
    settle_one(admin, QueueName.THUMBNAIL_GENERATION, 1000, "desk")
    settle_one(admin, QueueName.THUMBNAIL_GENERATION, 1000, "attic")
    assert queues_of(admin)["thumbnailGeneration"]["atOnce"] == 2 * 3
    enqueue(admin, *(asset_job(JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE, f"a{n}") for n in range(8)))
    settle_one(admin, QueueName.STORAGE_TEMPLATE_MIGRATION, 1000, "desk")
    settle_one(admin, QueueName.STORAGE_TEMPLATE_MIGRATION, 1000, "attic")
    assert queues_of(admin)["storageTemplateMigration"]["atOnce"] == 1


def test_what_runs_and_what_waits_are_looked_at_apart(admin: ApiClient) -> None:
    """What was taken first may be of another kind than what waits."""
    enqueue(admin, asset_job(JobName.ASSET_DETECT_DUPLICATES, "a"))
    settle_one(admin, QueueName.DUPLICATE_DETECTION, 2000)
    enqueue(admin, asset_job(JobName.SMART_SEARCH, "b", source="upload"), asset_job(JobName.SMART_SEARCH, "c"))
    with admin.services.store.transaction() as tx:
        (held,) = admin.services.store.lease(tx, QueueName.SMART_SEARCH, 1, 30, "c", "1")
    assert held.payload["id"] == "b"
    assert queues_of(admin)["duplicateDetection"]["workLeftS"] == 2  # behind the one at work alone


def test_work_that_went_on_to_another_line_is_not_forgotten(admin: ApiClient) -> None:
    """A line that grew by little is not read again at once, but it holds what another foretold a moment ago."""

    def duplicates_left_s() -> float | None:
        queues = {queue["name"]: queue for queue in admin.get("/queue-activity").json()}  # what it saw, it remembers
        left: float | None = queues["duplicateDetection"]["workLeftS"]
        return left

    for name, queue, ms in (
        (JobName.ASSET_DETECT_DUPLICATES, QueueName.DUPLICATE_DETECTION, 10_000),
        (JobName.SMART_SEARCH, QueueName.SMART_SEARCH, 10),
        (JobName.ASSET_GENERATE_THUMBNAILS, QueueName.THUMBNAIL_GENERATION, 10),
    ):
        enqueue(admin, asset_job(name, "a"))
        settle_one(admin, queue, ms)
    enqueue(admin, *(asset_job(JobName.SMART_SEARCH, f"b{n}") for n in range(50)))
    enqueue(admin, *(asset_job(JobName.ASSET_GENERATE_THUMBNAILS, f"c{n}", source="upload") for n in range(5)))
    assert duplicates_left_s() == 50
    for _ in range(5):
        settle_one(admin, QueueName.THUMBNAIL_GENERATION, 10)
    enqueue(admin, *(asset_job(JobName.SMART_SEARCH, f"c{n}", source="upload") for n in range(5)))
    assert duplicates_left_s() == 50


def test_all_queues_together_have_a_forecast(admin: ApiClient) -> None:
    def left_s() -> float | None:
        told: dict[str, Any] = admin.get("/queue-activity/all").json()
        assert told["name"] == "all"
        left: float | None = told["secondsLeft"]
        return left

    assert left_s() is None
    enqueue(admin, *(asset_job(JobName.OCR, f"a{n}") for n in range(6)))
    enqueue(admin, *(asset_job(JobName.ASSET_DETECT_FACES, f"a{n}") for n in range(2)))
    settle_one(admin, OCR, 10_000)
    settle_one(admin, QueueName.FACE_DETECTION, 10_000)
    assert left_s() == 50  # one text after another
    store = admin.services.store
    with store.transaction() as tx:
        store.pause(tx, OCR)
    assert left_s() == 5  # what is paused is not waited for, and faces are found two at once
    with store.transaction() as tx:
        store.say_why_waiting(tx, {QueueName.FACE_DETECTION: "no live node serves it"})
    assert left_s() is None
    with store.transaction() as tx:
        store.lease(tx, QueueName.FACE_DETECTION, 1, 30, "c", "1")
    assert left_s() is not None, "where one runs, the reason is another job's own"
