"""Files appear whole or not at all, and a late attempt never lands."""

import os
from pathlib import Path

import pytest

from cluster.storage.files import (
    commit_fenced,
    discard_fenced,
    fenced_path,
    make_folders,
    sha1_of,
    unlink_quietly,
    write_atomically,
)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was fsynced, in order."""
    paths: list[Path] = []

    def remember(handle: int) -> None:
        paths.append(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", remember)
    return paths


def test_a_fenced_file_lies_beside_its_final_place() -> None:
    assert fenced_path("/media/a.jpeg", "t1") == Path("/media/a.jpeg.t1")
    for token in ("", "../t1"):
        with pytest.raises(ValueError, match="token"):
            fenced_path("/media/a.jpeg", token)


def test_only_the_attempt_that_settles_lands(tmp_path: Path) -> None:
    final = tmp_path / "a.jpeg"
    fenced_path(final, "late").write_text("late")
    fenced_path(final, "holder").write_text("holder")

    commit_fenced(str(final), "holder")
    discard_fenced(str(final), "late")

    assert final.read_text() == "holder"
    assert list(tmp_path.iterdir()) == [final]


def test_committing_again_changes_nothing_but_committing_nothing_fails(tmp_path: Path) -> None:
    final = tmp_path / "a.jpeg"
    with pytest.raises(FileNotFoundError):
        commit_fenced(final, "t1")
    fenced_path(final, "t1").write_text("new")

    commit_fenced(final, "t1")
    commit_fenced(final, "t1")

    assert final.read_text() == "new"


def test_a_new_attempt_replaces_an_older_result(tmp_path: Path) -> None:
    final = tmp_path / "a.jpeg"
    final.write_text("old")
    fenced_path(final, "t2").write_text("new")

    commit_fenced(final, "t2")

    assert final.read_text() == "new"


def test_durable_means_file_before_name(tmp_path: Path, synced: list[Path]) -> None:
    fenced = fenced_path(tmp_path / "a.jpeg", "t1")
    fenced.write_text("new")

    commit_fenced(tmp_path / "a.jpeg", "t1", durable=True)

    assert synced == [fenced, tmp_path]


def test_what_can_be_made_again_is_not_synced(tmp_path: Path, synced: list[Path]) -> None:
    fenced_path(tmp_path / "a.jpeg", "t1").write_text("new")

    commit_fenced(tmp_path / "a.jpeg", "t1")
    write_atomically(tmp_path / "b" / "c", b"new")

    assert synced == []


def test_new_folders_are_durable_up_to_the_one_that_was_there(tmp_path: Path, synced: list[Path]) -> None:
    make_folders(tmp_path / "a" / "b", durable=True)

    assert synced == [tmp_path / "a", tmp_path]


def test_writing_replaces_whole_files_and_makes_folders(tmp_path: Path, synced: list[Path]) -> None:
    path = tmp_path / "a" / "b.json"

    write_atomically(path, b"1")
    write_atomically(path, b"2", durable=True)

    assert path.read_bytes() == b"2"
    assert list(path.parent.iterdir()) == [path]
    assert [synced[0].parent, synced[1]] == [path.parent, path.parent]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(b"old")

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new", durable=True)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_checksum_and_quiet_unlink(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")

    assert sha1_of(path).hex() == "a9993e364706816aba3e25717850c26c9cd0d89d"
    assert (unlink_quietly(path), unlink_quietly(path)) == (True, False)
