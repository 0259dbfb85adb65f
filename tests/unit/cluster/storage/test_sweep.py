"""Strays go when no attempt can own them any more; everything else stays."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.storage.files import fenced_path
from cluster.storage.layout import Folder, StorageLayout
from cluster.storage.sweep import OLD, sweep_strays

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TOKEN = "0123456789abcdef"


def put(path: Path, age: timedelta) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    written_s = (NOW - age).timestamp()
    os.utime(path, (written_s, written_s))
    return path


def sweep(root: Path) -> int:
    return sweep_strays(StorageLayout(root), NOW)


@pytest.mark.parametrize("folder", [Folder.THUMBS, Folder.ENCODED_VIDEO])
def test_an_old_stray_goes(tmp_path: Path, folder: Folder) -> None:
    final = put(tmp_path / folder.value / "user" / "ab" / "cd" / "asset_preview.jpeg", 2 * OLD)
    stray = put(fenced_path(final, TOKEN), OLD + timedelta(seconds=1))
    assert sweep(tmp_path) == 1
    assert not stray.exists()
    assert final.exists()


@pytest.mark.parametrize("folder", [Folder.UPLOAD, Folder.LIBRARY])
def test_an_old_stray_of_a_sidecar_goes_from_where_originals_lie(tmp_path: Path, folder: Folder) -> None:
    sidecar = put(tmp_path / folder.value / "user" / "photo.jpg.xmp", 2 * OLD)
    stray = put(fenced_path(sidecar, TOKEN), OLD + timedelta(seconds=1))
    assert sweep(tmp_path) == 1
    assert not stray.exists()
    assert sidecar.exists()


def test_a_stray_that_an_attempt_may_still_write_stays(tmp_path: Path) -> None:
    young = put(tmp_path / Folder.ENCODED_VIDEO.value / "user" / f"video.mp4.{TOKEN}", OLD - timedelta(seconds=1))
    assert sweep(tmp_path) == 0
    assert young.exists()


@pytest.mark.parametrize("name", ["asset.webp", "asset.deadbeef", "asset.0123456789abcdeg", f"{TOKEN}", ".immich"])
def test_names_that_carry_no_token_stay(tmp_path: Path, name: str) -> None:
    kept = put(tmp_path / Folder.THUMBS.value / "user" / name, 10 * OLD)
    assert sweep(tmp_path) == 0
    assert kept.exists()


@pytest.mark.parametrize("folder", [Folder.UPLOAD, Folder.LIBRARY])
def test_originals_are_never_swept_whatever_they_are_called(tmp_path: Path, folder: Folder) -> None:
    kept = put(tmp_path / folder.value / "user" / f"holiday.{TOKEN}", 10 * OLD)
    assert sweep(tmp_path) == 0
    assert kept.exists()


def test_a_folder_that_looks_like_a_stray_stays(tmp_path: Path) -> None:
    folder = tmp_path / Folder.THUMBS.value / f"user.{TOKEN}"
    put(folder / "asset.webp", 10 * OLD)
    assert sweep(tmp_path) == 0
    assert (folder / "asset.webp").exists()


def test_a_media_folder_that_is_not_there_has_no_strays(tmp_path: Path) -> None:
    assert sweep(tmp_path / "missing") == 0
