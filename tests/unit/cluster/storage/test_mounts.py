"""The marker in each media folder: made once, demanded ever after."""

import errno
import logging
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import SettingsInvalid
from cluster.storage.layout import Folder
from cluster.storage.mounts import MARKER, check_folders, marker_present, refuse_unusable

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ALL = {folder.value: True for folder in Folder}


def test_first_start_makes_every_folder_and_its_marker(tmp_path: Path) -> None:
    assert not marker_present(tmp_path)

    assert check_folders(tmp_path / "new", {}, ignore_errors=False, now=NOON) == ALL

    assert marker_present(tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(ALL)
    assert (tmp_path / "new" / "thumbs" / MARKER).read_text() == "1767355200000"


def test_second_start_remembers_nothing_new_and_writes_the_marker(tmp_path: Path) -> None:
    check_folders(tmp_path, {}, ignore_errors=False, now=datetime(2025, 1, 1, tzinfo=UTC))

    assert check_folders(tmp_path, ALL, ignore_errors=False, now=NOON) == {}

    assert (tmp_path / "upload" / MARKER).read_text() == "1767355200000"


def test_a_marker_that_is_there_already_is_accepted_the_first_time(tmp_path: Path) -> None:
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / MARKER).write_text("1")

    assert check_folders(tmp_path, {}, ignore_errors=False, now=NOON) == ALL


def test_a_known_folder_without_marker_stops_start_up_and_is_not_made_anew(tmp_path: Path) -> None:
    check_folders(tmp_path, {}, ignore_errors=False, now=NOON)
    marker = tmp_path / "library" / MARKER
    marker.unlink()

    with pytest.raises(SettingsInvalid) as caught:
        check_folders(tmp_path, ALL, ignore_errors=False, now=NOON)

    ((variable, message),) = caught.value.issues
    assert variable == "IMMICH_MEDIA_LOCATION"
    assert message.startswith(f'Failed to read: "<UPLOAD_LOCATION>/library/.immich ({marker}) - ')
    assert not marker.exists()
    assert not marker_present(tmp_path)


def test_a_marker_that_cannot_be_made_or_written_is_told_apart(tmp_path: Path) -> None:
    # a file where a folder belongs, and a folder where a file belongs, fail even for root
    (tmp_path / "thumbs").write_text("")
    (tmp_path / "upload" / MARKER).mkdir(parents=True)

    with pytest.raises(SettingsInvalid) as caught:
        check_folders(tmp_path, {}, ignore_errors=False, now=NOON)

    assert {message.split("/.immich")[0] for _, message in caught.value.issues} == {
        'Failed to create: "<UPLOAD_LOCATION>/thumbs',
        'Failed to read: "<UPLOAD_LOCATION>/upload',
    }


def test_errors_can_be_ignored_and_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "thumbs").write_text("")

    with caplog.at_level(logging.WARNING):
        created = check_folders(tmp_path, {}, ignore_errors=True, now=NOON)

    assert set(created) == set(ALL) - {"thumbs"}
    assert 'Failed to create: "<UPLOAD_LOCATION>/thumbs/.immich' in caplog.text
    assert not marker_present(tmp_path)
    assert marker_present(tmp_path, ignore_errors=True)
    assert not marker_present(tmp_path / "unmounted", ignore_errors=True)


@pytest.mark.parametrize("below", ["", "new", "new/library"])
def test_a_file_in_place_of_the_media_folder_is_told(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for ignore_errors in (False, True):
        with pytest.raises(SettingsInvalid, match=rf"IMMICH_MEDIA_LOCATION.* {file}.* is a file, not a folder"):
            refuse_unusable(file / below, needs_root=True, ignore_errors=ignore_errors)


def test_a_file_in_place_of_one_of_its_folders_is_told(tmp_path: Path) -> None:
    (tmp_path / "thumbs").write_text("")
    with pytest.raises(SettingsInvalid, match=f"{tmp_path}/thumbs is a file, not a folder"):
        refuse_unusable(tmp_path, needs_root=False)


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that refuses to be written to, also by root; what is in `upload` is a mount of its own."""
    folder = tmp_path / "media"
    folder.mkdir()
    really = tempfile.TemporaryFile

    def refusing(*, dir: Path) -> Any:  # noqa: A002 - as it is called
        if dir == folder:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return really(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", refusing)
    return folder


def test_a_media_folder_that_cannot_be_written_to_is_told_with_the_reason(read_only: Path) -> None:
    said = rf"{read_only} cannot be written to \(Read-only file system\)"
    with pytest.raises(SettingsInvalid, match=said):
        refuse_unusable(read_only, needs_root=True)
    with pytest.raises(SettingsInvalid, match=rf"{read_only}, which .*{read_only}/new needs, cannot be written to"):
        refuse_unusable(read_only / "new", needs_root=True)


def test_a_read_only_root_with_writable_folders_will_do_where_the_database_is_elsewhere(read_only: Path) -> None:
    with pytest.raises(SettingsInvalid):
        refuse_unusable(read_only, needs_root=False)
    refuse_unusable(read_only, needs_root=False, ignore_errors=True)
    for folder in Folder:
        (read_only / folder.value).mkdir()
    refuse_unusable(read_only, needs_root=False)
    with pytest.raises(SettingsInvalid):
        refuse_unusable(read_only, needs_root=True)


def test_a_media_folder_that_is_missing_may_be_a_mount_that_comes(tmp_path: Path) -> None:
    refuse_unusable(tmp_path / "new" / "media", needs_root=True)
    check_folders(tmp_path, {}, ignore_errors=False, now=NOON)
    (tmp_path / "library" / MARKER).unlink()
    refuse_unusable(tmp_path, needs_root=True)
    assert {path.name for path in tmp_path.iterdir()} == set(ALL)
