"""The marker in each media folder: made once, demanded ever after."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.errors import SettingsInvalid
from cluster.storage.layout import Folder
from cluster.storage.mounts import MARKER, check_folders, marker_present

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
