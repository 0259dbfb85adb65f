"""`heliostat jobs failed`, `retry`, `cancel` and `--json`, against a server on a real socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, Lease, asset_job
from cluster.queue.store import Fail
from serve_app.cli import app
from tests.api_stack import ApiStack, api_stack, served

OCR = QueueName.OCR
UNREADABLE = FailedAttempt("UnreadableImage", "a[0].jpg: truncated", node="desk")
LOST = FailedAttempt("WorkerLost", "b.jpg: its worker died", node="attic")


@pytest.fixture
def stack(sqlite_database_url: str, tmp_path: Path) -> Iterator[ApiStack]:
    with api_stack(sqlite_database_url, tmp_path / "media") as running:
        yield running


@pytest.fixture
def url(stack: ApiStack) -> Iterator[str]:
    with served(stack) as url:
        yield url


@pytest.fixture
def key(stack: ApiStack) -> str:
    return stack.add_person("ann", is_admin=True).key


@pytest.fixture
def held(stack: ApiStack) -> list[Lease]:
    """Two failed jobs and one at work."""
    store = stack.services.store
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(JobName.OCR, f"asset-{number}") for number in range(3)])
        held = store.lease(tx, OCR, 3, 600, "controller", "first")
        store.settle(tx, [Fail(held[0], UNREADABLE), Fail(held[1], LOST)])
    return held


def heliostat(url: str, key: str, *words: str) -> str:
    done = CliRunner().invoke(app, ["jobs", *words, "--url", url, "--key", key], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_failed_jobs_are_told_tried_again_and_cancelled(url: str, key: str, held: list[Lease]) -> None:
    told = heliostat(url, key, "failed")
    assert f"ocr {held[0].job_id} UnreadableImage desk a[0].jpg: truncated" in told
    assert told.endswith("2 failed\n")
    lost = json.loads(heliostat(url, key, "failed", "ocr", "--node", "attic", "--json"))
    assert [(job["id"], job["last"]["errorClass"]) for job in lost] == [(str(held[1].job_id), "WorkerLost")]

    assert heliostat(url, key, "retry", "ocr", str(held[0].job_id)) == "1 tried again\n"
    assert heliostat(url, key, "retry", "--error-class", "Nothing") == "0 tried again\n"
    assert heliostat(url, key, "retry") == "1 tried again\n"
    assert "is ended" in heliostat(url, key, "cancel", "ocr", str(held[2].job_id))

    (ocr,) = [queue for queue in json.loads(heliostat(url, key, "watch", "--json")) if queue["name"] == "ocr"]
    assert (ocr["waiting"], ocr["active"], ocr["failed"]) == (2, 0, 0)


def test_cancel_wants_to_know_which_job(url: str, key: str) -> None:
    done = CliRunner().invoke(app, ["jobs", "cancel", "ocr", "--url", url, "--key", key])
    assert done.exit_code == 2
