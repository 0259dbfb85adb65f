"""FileDelete never fails. What it keeps is shown by the integration test, since rows decide."""

import logging
from pathlib import Path

import pytest

from cluster.names import JobName
from tasks.jobs.delete_files import DeleteInput, delete_files, work
from tasks.tools import Tools


def test_files_go_and_missing_ones_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    work(DeleteInput((str(tmp_path / "never"), str(tmp_path / "a"))), Tools())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_deleted_is_a_warning_and_the_rest_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        work(DeleteInput((str(tmp_path / "folder"), str(tmp_path / "a"))), Tools())
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert str(tmp_path / "folder") in caplog.text


def test_the_payload_is_immich_s() -> None:
    job = delete_files(["/a", "/b"])
    assert (job.name, job.payload, job.dedup_key) == (JobName.FILE_DELETE, {"files": ["/a", "/b"]}, None)
