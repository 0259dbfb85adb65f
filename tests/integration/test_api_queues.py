"""Both job APIs over HTTP, on both databases: what they show of the queues, and what they tell them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, Lease, NewJob, asset_job
from cluster.queue.store import Fail, InHand, Retry
from serve_app.services.start_queue import MANUAL, START_JOB, ManualJob
from tests.api_client import ApiClient, api_client

NOTHING = {"active": 0, "completed": 0, "failed": 0, "delayed": 0, "waiting": 0, "paused": 0}
OCR = QueueName.OCR
CANNOT_START = {"backgroundTask", "search", "notifications", "workflow", "integrityCheck", "editor"}


@pytest.fixture
def admin(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as client:
        yield client.sign_up()


def enqueue(api: ApiClient, *jobs: NewJob) -> None:
    with api.services.store.transaction() as tx:
        api.services.store.enqueue(tx, jobs)


def lease(api: ApiClient, queue: QueueName, limit: int = 1) -> list[Lease]:
    with api.services.store.transaction() as tx:
        return api.services.store.lease(tx, queue, limit, 30, "controller", "first")


def fill(api: ApiClient) -> None:
    """An ocr queue with one failed, one delayed, one active and two waiting jobs."""
    enqueue(api, *(asset_job(JobName.OCR, f"asset-{number}") for number in range(5)))
    failed, delayed, _ = lease(api, OCR, 3)
    with api.services.store.transaction() as tx:
        attempt = FailedAttempt("UnreadableImage", "cannot read IMG_1.jpg: truncated")
        api.services.store.settle(tx, [Fail(failed, attempt), Retry(delayed, 3600, attempt)])


def counts(api: ApiClient, queue: str = "ocr") -> dict[str, int]:
    found: dict[str, int] = api.get(f"/queues/{queue}").json()["statistics"]
    return found


def waiting_jobs(api: ApiClient, queue: QueueName) -> list[tuple[str, dict[str, object]]]:
    return [(job["name"], job["data"]) for job in api.get(f"/queues/{queue}/jobs").json()]


def test_every_queue_is_listed_in_order_by_both(admin: ApiClient) -> None:
    assert list(admin.get("/jobs").json()) == [queue.value for queue in QueueName]
    assert admin.get("/queues").json() == [
        {"name": queue.value, "isPaused": False, "statistics": NOTHING, "waitReason": ""} for queue in QueueName
    ]
    assert admin.get("/jobs").json()["ocr"] == {
        "queueStatus": {"isActive": False, "isPaused": False},
        "jobCounts": NOTHING,
    }


def test_counts_by_state(admin: ApiClient) -> None:
    fill(admin)
    expected = {**NOTHING, "failed": 1, "delayed": 1, "active": 1, "waiting": 2}
    assert counts(admin) == expected
    assert admin.get("/jobs").json()["ocr"] == {
        "queueStatus": {"isActive": True, "isPaused": False},
        "jobCounts": expected,
    }


def test_what_waits_in_a_paused_queue_is_paused(admin: ApiClient) -> None:
    fill(admin)
    answer = admin.put("/jobs/ocr", {"command": "pause"})
    assert answer.json() == {
        "queueStatus": {"isActive": True, "isPaused": True},
        "jobCounts": {**NOTHING, "failed": 1, "delayed": 1, "active": 1, "paused": 2},
    }
    assert lease(admin, OCR) == []
    assert len(admin.get("/queues/ocr/jobs?status=paused").json()) == 2
    assert admin.get("/queues/ocr/jobs?status=waiting").json() == []
    resumed = admin.put("/jobs/ocr", {"command": "resume"}).json()
    assert (resumed["queueStatus"]["isPaused"], resumed["jobCounts"]["waiting"]) == (False, 2)


def test_the_newer_api_pauses_and_resumes(admin: ApiClient) -> None:
    assert admin.put("/queues/ocr", {"isPaused": True}).json()["isPaused"] is True
    assert admin.put("/queues/ocr", {}).json()["isPaused"] is True
    assert admin.put("/queues/ocr", {"isPaused": False}).json()["isPaused"] is False


def test_only_the_older_api_pauses_background_tasks(admin: ApiClient) -> None:
    answer = admin.put("/queues/backgroundTask", {"isPaused": True})
    assert (answer.status_code, answer.json()) == (400, {"message": "The BackgroundTask queue cannot be paused"})
    assert admin.put("/jobs/backgroundTask", {"command": "pause"}).json()["queueStatus"]["isPaused"] is True
    assert admin.put("/queues/backgroundTask", {"isPaused": False}).json()["isPaused"] is False


def test_emptying_leaves_what_runs_is_delayed_or_failed(admin: ApiClient) -> None:
    fill(admin)
    answer = admin.put("/jobs/ocr", {"command": "empty"})
    assert answer.json()["jobCounts"] == {**NOTHING, "failed": 1, "delayed": 1, "active": 1}
    cleared = admin.put("/jobs/ocr", {"command": "clear-failed"})
    assert cleared.json()["jobCounts"] == {**NOTHING, "delayed": 1, "active": 1}


def test_the_newer_api_empties_and_clears(admin: ApiClient) -> None:
    fill(admin)
    assert admin.delete("/queues/ocr/jobs", json={}).status_code == 204
    assert counts(admin) == {**NOTHING, "failed": 1, "delayed": 1, "active": 1}
    assert admin.delete("/queues/ocr/jobs", json={"failed": True}).status_code == 204
    assert counts(admin) == {**NOTHING, "delayed": 1, "active": 1}


def test_jobs_are_listed_newest_first_with_the_reason_of_a_failure(admin: ApiClient) -> None:
    fill(admin)
    assert len(admin.get("/queues/ocr/jobs").json()) == 5
    waiting = admin.get("/queues/ocr/jobs?status=waiting").json()
    assert [job["data"]["id"] for job in waiting] == ["asset-4", "asset-3"]
    (failed,) = admin.get("/queues/ocr/jobs?status=failed&status=paused").json()
    assert failed["name"] == "Ocr"
    assert failed["data"] == {"id": "asset-0", "error": "cannot read IMG_1.jpg: truncated"}
    age_s = datetime.now(UTC).timestamp() - failed["timestamp"] / 1000
    assert -5 < age_s < 300  # the database's clock
    wrong = admin.get("/queues/ocr/jobs?status=gone").json()["errors"][0]
    options = '"active"|"failed"|"completed"|"delayed"|"waiting"|"paused"'
    assert (wrong["path"], wrong["message"]) == (["status", 0], f"Invalid option: expected one of {options}")


def test_starting_enqueues_the_queue_s_job_with_its_force(admin: ApiClient) -> None:
    for queue, job in START_JOB.items():
        started = admin.put(f"/jobs/{queue}", {"command": "start", "force": False})
        assert started.status_code == 200
        assert started.json()["jobCounts"]["waiting"] == 1
        assert waiting_jobs(admin, queue) == [(job, {"force": False})]
    assert {queue.value for queue in QueueName} - {queue.value for queue in START_JOB} == CANNOT_START


def test_force_not_given_is_not_force_off(admin: ApiClient) -> None:
    admin.put("/jobs/faceDetection", {"command": "start"})
    assert waiting_jobs(admin, QueueName.FACE_DETECTION) == [("AssetDetectFacesQueueAll", {})]


def test_a_queue_without_a_start_job_says_so(admin: ApiClient) -> None:
    for queue in sorted(CANNOT_START):
        answer = admin.put(f"/jobs/{queue}", {"command": "start"})
        assert (answer.status_code, answer.json()) == (400, {"message": f"Invalid job name: {queue}"})


def test_what_runs_is_not_started_again(admin: ApiClient) -> None:
    admin.put("/jobs/ocr", {"command": "start", "force": True})
    assert len(lease(admin, OCR)) == 1
    answer = admin.put("/jobs/ocr", {"command": "start", "force": True})
    assert (answer.status_code, answer.json()) == (400, {"message": "Job is already running"})


def test_a_paused_queue_can_be_started(admin: ApiClient) -> None:
    admin.put("/jobs/ocr", {"command": "pause"})
    assert admin.put("/jobs/ocr", {"command": "start"}).json()["jobCounts"]["paused"] == 1


def test_a_started_job_comes_before_the_backlog(admin: ApiClient) -> None:
    enqueue(admin, asset_job(JobName.OCR, "asset-1"))
    admin.put("/jobs/ocr", {"command": "start"})
    (first,) = lease(admin, OCR)
    assert first.name is JobName.OCR_QUEUE_ALL


def test_manual_jobs_are_started_by_name(admin: ApiClient) -> None:
    for manual, job in MANUAL.items():
        answer = admin.post("/jobs", {"name": manual})
        assert (answer.status_code, answer.content) == (204, b"")
        queue = next(queue for queue in QueueName if (job.name, dict(job.payload)) in waiting_jobs(admin, queue))
        admin.delete(f"/queues/{queue}/jobs", json={})
    assert set(MANUAL) == set(ManualJob)


def test_one_backup_waits_at_most(admin: ApiClient) -> None:
    for _ in range(2):
        admin.post("/jobs", {"name": "backup-database"})
    assert counts(admin, "backupDatabase")["waiting"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "place", "options"),
    [
        ("PUT", "/jobs/ocr", {"command": "stop"}, ["command"], ["start", "pause", "resume", "empty", "clear-failed"]),
        ("PUT", "/jobs/ocr", {}, ["command"], ["start", "pause", "resume", "empty", "clear-failed"]),
        ("PUT", "/jobs/nothing", {"command": "start"}, ["name"], list(QueueName)),
        ("GET", "/queues/nothing", None, ["name"], list(QueueName)),
        ("POST", "/jobs", {"name": "nothing"}, ["name"], list(ManualJob)),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(
    admin: ApiClient, method: str, path: str, body: object, place: list[str], options: list[str]
) -> None:
    answer = admin.request(method, path, json=body)
    quoted = "|".join(f'"{option}"' for option in options)
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "Validation failed",
        "errors": [
            {
                "code": "invalid_value",
                "values": options,
                "path": place,
                "message": f"Invalid option: expected one of {quoted}",
            }
        ],
    }


def test_a_part_of_a_video_shows_as_its_video_with_how_far_it_is(admin: ApiClient) -> None:
    """Immich's clients know a closed list of names, and have no field for progress."""
    enqueue(admin, NewJob(JobName.ASSET_ENCODE_VIDEO_PART, {"id": "a", "kind": "video", "number": 3}, asset_id="a"))
    (held,) = lease(admin, QueueName.VIDEO_CONVERSION)
    with admin.services.store.transaction() as tx:
        admin.services.store.note_progress(tx, [InHand(held.job_id, held.token, "desk", 0.23456)])
    (job,) = admin.get("/queues/videoConversion/jobs?status=active").json()
    assert job["name"] == "AssetEncodeVideo"
    assert job["data"] == {"id": "a", "kind": "video", "number": 3, "progress": 0.235}


def test_a_queue_says_why_nothing_of_it_can_start(admin: ApiClient) -> None:
    store, why = admin.services.store, "no node serves it"
    with store.transaction() as tx:
        store.say_why_waiting(tx, {QueueName.OCR: why})
    assert admin.get("/queues/ocr").json()["waitReason"] == why
