"""FileDelete never fails. What it keeps is shown by the integration test, since rows decide."""

import logging
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.names import JobName
from cluster.queue.job import Snooze
from cluster.storage.moves import FileMove, Named, add_name
from tasks.jobs.delete_files import DeleteInput, delete_files, work
from tasks.tools import Tools


def delete(*paths: Path, asked_at: datetime | None = None) -> Snooze | None:
    return work(DeleteInput(tuple(map(str, paths)), asked_at or datetime.now(UTC)), Tools())


def test_files_go_and_missing_ones_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert delete(tmp_path / "never", tmp_path / "a") is None
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_deleted_is_a_warning_and_the_rest_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        delete(tmp_path / "folder", tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert str(tmp_path / "folder") in caplog.text


@pytest.mark.parametrize("left", [None, b"a photo"])
def test_what_moved_there_since_the_rows_were_asked_stays(tmp_path: Path, left: bytes | None) -> None:
    """`left`: what still lies there of a deleted photo; the same one was uploaded again."""
    uploaded, place = tmp_path / "upload.jpg", tmp_path / "IMG_1.jpg"
    uploaded.write_bytes(b"a photo")
    if left is not None:
        place.write_bytes(left)
    time.sleep(0.02)  # the file system's clock ticks more slowly
    asked_at = datetime.now(UTC)
    time.sleep(0.02)
    assert add_name(FileMove("1", "1", "original", str(uploaded), str(place)), "0" * 16, set()) is Named.DONE

    assert isinstance(delete(place, tmp_path / "other", asked_at=asked_at), Snooze)

    assert place.read_bytes() == b"a photo"
    time.sleep(0.02)
    assert delete(place) is None
    assert not place.exists()


def test_the_payload_is_immich_s() -> None:
    job = delete_files(["/a", "/b"])
    assert (job.name, job.payload, job.dedup_key) == (JobName.FILE_DELETE, {"files": ["/a", "/b"]}, None)
