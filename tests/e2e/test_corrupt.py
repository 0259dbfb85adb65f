"""Fifty broken files among good ones: each ends as a job that says which file it was and what was wrong, once; the good
ones between them finish, and no worker dies of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cluster.db.engine import Database
from cluster.settings import read_settings
from serve_app.client import ApiRefused, sha1_hex
from tests.e2e.corrupt_files import CorruptFile, End, corrupt_files
from tests.e2e.photos import make_photos
from tests.e2e.real_stack import RealStack, describe, wait_until

pytestmark = pytest.mark.timeout(300)

JUDGED_S = 150
JUDGEMENTS = {"UnreadableImage", "UnreadableVideo", "UnsupportedMedia", "TooLarge"}
"""Never WorkerLost, JobTimeout, OutOfMemory, or an error that we did not foresee."""
MOST_MB = 500
"""Peak memory of a worker with the bombs in hand."""


def test_corrupt_files_are_told_by_name_and_their_neighbours_finish(
    stack: RealStack, tmp_path: Path, report: Callable[[str], None]
) -> None:
    bad = corrupt_files(tmp_path)
    good = make_photos(tmp_path / "good", 25, seed=400, size=(400, 300))
    assert len(bad) - len(names(bad, End.READ)) >= 50
    assert stack.failed() == {}
    workers, newest = worker_processes(stack), newest_attempt(stack)
    refused, ids, good_ids = {}, {}, []
    for number, file in enumerate(bad):
        try:
            ids[file.shown_name] = upload_as(stack, file)
        except ApiRefused as error:
            refused[file.shown_name] = error
        if number % 2 == 0 and good:
            photo = good.pop()
            good_ids.append(stack.client.upload(photo, sha1_hex(photo))[1])
    assert not good
    try:
        seconds = wait_until(stack.is_idle, JUDGED_S, "the corrupt files to be judged", stack.still_runs)

        assert all(stack.asset(asset_id)["thumbhash"] for asset_id in good_ids), describe(stack)
        assert {name: error.status for name, error in refused.items()} == dict.fromkeys(names(bad, End.REFUSED), 400)
        read = {name for name, asset_id in ids.items() if stack.asset(asset_id)["thumbhash"]}
        assert read == names(bad, End.READ)
        assert_each_failure_is_told_once(stack, [file for file in bad if file.end is End.FAILED])
        attempts = attempts_since(stack, newest)
        assert len(attempts) == len(names(bad, End.FAILED))  # nothing was tried twice
        assert {one["error_class"] for one in attempts} == JUDGEMENTS
        assert max(one["peak_memory_mb"] for one in attempts) < MOST_MB
        assert workers <= worker_processes(stack)
        report(
            f"{len(bad)} corrupt files among {len(good_ids)} good ones: {len(attempts)} failed jobs, "
            f"{len(refused)} refused, {len(read)} read, {seconds:.1f} s after the last upload"
        )
    finally:
        for queue in stack.failed():
            stack.client.command(queue, "clear-failed")
    assert stack.failed() == {}


def upload_as(stack: RealStack, file: CorruptFile) -> str:
    """Under the very name, which a disk might not hold; the asset's id."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    fields = {"fileCreatedAt": now, "fileModifiedAt": now, "filename": file.name}
    answer = stack.client.call("POST", "/assets", data=fields, files={"assetData": ("file.jpg", file.content)})
    assert answer["status"] == "created", file.name
    return str(answer["id"])


def names(files: list[CorruptFile], end: End) -> set[str]:
    return {file.shown_name for file in files if file.end is end}


def assert_each_failure_is_told_once(stack: RealStack, files: list[CorruptFile]) -> None:
    errors = [job["data"]["error"] for queue in stack.failed() for job in stack.failed_jobs(queue)]
    for file in files:
        about = [error for error in errors if file.shown_name in error]
        assert len(about) == 1, (file.shown_name, errors)
        assert file.word in about[0]
        assert len(about[0].replace(file.shown_name, "")) > 20, about  # a reason besides the name
    assert len(errors) == len(files), errors


def worker_processes(stack: RealStack) -> set[int]:
    """Workers that may hold a picture: Ray's, not actors."""
    return {pid for pid, title in stack.processes().items() if title.startswith(("ray::Asset", "ray::IDLE"))}


def newest_attempt(stack: RealStack) -> int:
    return max((one["id"] for one in attempts_since(stack, 0)), default=0)


def attempts_since(stack: RealStack, above: int) -> list[dict[str, Any]]:
    """Every attempt that failed after the one with this id."""
    database = Database(read_settings(stack.environ).database_url)
    asked = text("SELECT id, error_class, message, peak_memory_mb FROM job_attempt WHERE id > :above")
    with database.reader() as session:
        found = [dict(row) for row in session.execute(asked, {"above": above}).mappings()]
    database.close()
    return found
