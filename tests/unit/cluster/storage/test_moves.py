"""A file gets a second name and later loses the first, whatever lies where it should not, or no longer lies there."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from cluster.storage.moves import (
    FileMove,
    Named,
    Problem,
    add_name,
    drop_old_name,
    numbers_taken,
    remove_empty,
    remove_empty_folders,
)

TOKEN = "0123456789abcdef"
CONTENT = b"a photo" * 1000


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "upload/old.jpg"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    os.utime(path, ns=(1, 5_000_000_123))
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "library/ann/2021/new.jpg"


@pytest.fixture(params=["links", "no links across", "no links at all"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Hard links as usual; only within the library; nowhere."""
    real = os.link

    def refuse(source: Any, target: Any) -> None:
        if request.param == "no links at all" or "upload" in (Path(source).parent.name, Path(target).parent.name):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(source, target)

    if request.param != "links":
        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


def move(old: Path, new: Path, **others: Any) -> FileMove:
    return FileMove("1", "1", "original", str(old), str(new), hashlib.sha1(CONTENT).digest(), len(CONTENT), **others)


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_file_gets_its_new_name_whole_and_keeps_the_old_one(old: Path, new: Path, links: str, tmp_path: Path) -> None:
    touched: set[Path] = set()
    assert add_name(move(old, new), TOKEN, touched) is Named.DONE
    assert old.read_bytes() == new.read_bytes() == CONTENT
    assert new.stat().st_mtime_ns == old.stat().st_mtime_ns
    assert old.samefile(new) is (links == "links")
    assert touched == {new.parent, new.parent.parent, new.parent.parent.parent, tmp_path}
    assert files_below(tmp_path) == {"old.jpg", "new.jpg"}

    assert add_name(move(old, new, resumed=True), TOKEN, touched) is Named.DONE  # once more changes nothing
    assert drop_old_name(old, new, may_change=False)
    assert files_below(tmp_path) == {"new.jpg"}
    assert drop_old_name(old, new, may_change=False)
    assert add_name(move(old, new, resumed=True), TOKEN, touched) is Named.DONE
    assert new.read_bytes() == CONTENT


def test_nothing_is_overwritten(old: Path, new: Path, links: str) -> None:
    new.parent.mkdir(parents=True)
    for stranger in (b"x", b"", b"X" * len(CONTENT)):
        new.write_bytes(stranger)
        assert add_name(move(old, new), TOKEN, set()) is Named.OCCUPIED
        assert (new.read_bytes(), old.read_bytes()) == (stranger, CONTENT)
    new.unlink()
    new.mkdir()
    assert add_name(move(old, new), TOKEN, set()) is Named.OCCUPIED
    new.rmdir()
    new.symlink_to(old)
    assert add_name(move(old, new), TOKEN, set()) is Named.OCCUPIED


def test_what_a_kill_left_of_a_copy_goes(old: Path, new: Path, links: str, tmp_path: Path) -> None:
    new.parent.mkdir(parents=True)
    new.with_name("new.jpg.fedcba9876543210").write_bytes(b"half")
    new.with_name("new.jpg.xmp").write_bytes(b"not ours")
    if links == "no links at all":
        new.touch()  # the name was taken, the copy not yet put there
    assert add_name(move(old, new, resumed=True), TOKEN, set()) is Named.DONE
    assert new.read_bytes() == CONTENT
    assert files_below(tmp_path) == {"old.jpg", "new.jpg", "new.jpg.xmp"}


def test_a_copy_that_is_not_what_was_uploaded_does_not_count(old: Path, new: Path, links: str, tmp_path: Path) -> None:
    damaged = CONTENT[:-1] + b"?"
    old.write_bytes(damaged)
    if links == "links":
        assert add_name(move(old, new), TOKEN, set()) is Named.DONE  # the same file under another name
        return
    with pytest.raises(Problem, match="another checksum"):
        add_name(move(old, new), TOKEN, set())
    assert old.read_bytes() == damaged
    assert files_below(tmp_path) == {"old.jpg"}


@pytest.mark.parametrize("content", [b"x" * len(CONTENT), b"short", None])
def test_without_its_source_only_the_whole_file_counts(old: Path, new: Path, content: bytes | None) -> None:
    old.unlink()
    new.parent.mkdir(parents=True)
    if content is not None:
        new.write_bytes(content)
    with pytest.raises(Problem, match="not on disk"):
        add_name(move(old, new, resumed=True), TOKEN, set())
    new.write_bytes(CONTENT)
    with pytest.raises(Problem, match="not on disk"):
        add_name(move(old, new), TOKEN, set())  # nothing was begun: whose it is is not known


def test_a_full_disk_is_another_attempts_business_and_a_locked_folder_is_not(
    old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(code: int) -> None:
        def refuse(source: object, target: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "link", refuse)

    fail(errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        add_name(move(old, new), TOKEN, set())
    fail(errno.EROFS)
    with pytest.raises(Problem, match="Read-only"):
        add_name(move(old, new), TOKEN, set())


def test_a_link_is_not_moved(old: Path, new: Path) -> None:
    real = old.rename(old.with_name("real.jpg"))
    old.symlink_to(real)
    with pytest.raises(Problem, match="is no file"):
        add_name(move(old, new), TOKEN, set())


def test_the_old_name_is_not_dropped_while_the_new_place_is_empty(old: Path, new: Path, links: str) -> None:
    assert not drop_old_name(old, new, may_change=False)
    assert old.read_bytes() == new.read_bytes() == CONTENT
    assert drop_old_name(old, new, may_change=False)
    assert new.read_bytes() == CONTENT


def test_what_was_written_under_the_old_name_meanwhile_is_not_lost(old: Path, new: Path, links: str) -> None:
    add_name(move(old, new), TOKEN, set())
    old.unlink()
    old.write_bytes(b"written later")

    assert drop_old_name(old, new, may_change=False)
    assert (old.read_bytes(), new.read_bytes()) == (b"written later", CONTENT)
    assert drop_old_name(old, new, may_change=True)
    assert new.read_bytes() == b"written later"
    assert not old.exists()


def test_two_spellings_of_one_place_are_no_two_names(old: Path, tmp_path: Path) -> None:
    (tmp_path / "also").symlink_to(old.parent)
    os.link(old, tmp_path / "somebody's own link.jpg")
    assert drop_old_name(old, tmp_path / "also/old.jpg", may_change=False)
    assert drop_old_name(old, old, may_change=False)
    assert old.read_bytes() == CONTENT


def test_numbers_on_disk_are_read_with_their_sidecars(tmp_path: Path) -> None:
    for name in ("a.jpg", "a+2.jpg", "a+5.jpg.xmp", "a+9.png", "b+7.jpg", ".xmp"):
        (tmp_path / name).touch()
    assert numbers_taken(tmp_path / "a.jpg", (".xmp",)) == {0, 2, 5}


def test_empty_folders_go_and_others_stay(tmp_path: Path) -> None:
    for folder in ("root/a/b/c", "root/d/e", "root/f"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "root/d/file").touch()
    (tmp_path / "root/link").symlink_to(tmp_path / "root/f")
    remove_empty(tmp_path / "root/a/b/c", tmp_path / "root/a")
    assert [path.name for path in (tmp_path / "root/a").iterdir()] == []
    remove_empty(tmp_path / "root", tmp_path / "root/a")  # not below it
    assert remove_empty_folders(tmp_path / "root", untouched_since_s=0) == 0
    assert remove_empty_folders(tmp_path / "root") == 3
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == ["d", "link"]
