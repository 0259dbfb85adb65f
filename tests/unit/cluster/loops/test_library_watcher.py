"""What is written to a watched library is reported once, when it has been quiet; by one process alone."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cluster.loops.library_watcher import Change, Changes, LibraryChanges, LibraryWatcher, WatchedLibrary

EXTENSIONS = frozenset({".jpg"})


class Disk:
    """A source of changes that a test feeds, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seconds = folder, 100.0
        self.watched: list[list[str]] = []
        self.closed = 0
        self.coming: list[set[Change]] = []
        self.fails: OSError | None = None
        self.libraries = [WatchedLibrary("one", (str(folder),), ("**/raw/**",))]
        self.reports: list[LibraryChanges] = []
        self.refuses = False
        self.watcher = LibraryWatcher(
            lambda: self.libraries,
            self.report,
            EXTENSIONS,
            folder / "media",
            open_watch=self.open,
            now_s=lambda: self.seconds,
        )

    def open(self, folders: Sequence[str]) -> Changes:
        self.watched.append(list(folders))
        try:
            while True:
                if self.fails is not None:
                    raise self.fails
                yield self.coming.pop(0) if self.coming else set()
        finally:
            self.closed += 1

    def report(self, changes: Sequence[LibraryChanges]) -> None:
        if self.refuses:
            raise ConnectionError("no database")
        self.reports += changes

    def happens(self, what: str, name: str) -> str:
        path = str(self.folder / name)
        self.coming.append({(what, path)})  # type: ignore[arg-type]
        self.watcher.tick(ours=True)
        return path

    def write(self, name: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        return self.happens("added", name)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.watcher.tick(ours=True)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_file_is_reported_once_writing_has_stopped(disk: Disk) -> None:
    path = disk.write("a.jpg")
    for _ in range(4):
        disk.seconds += 4
        disk.happens("modified", "a.jpg")
    assert disk.reports == []

    disk.pass_time(5)

    assert disk.reports == [LibraryChanges("one", present=[path])]
    disk.pass_time(60)
    assert len(disk.reports) == 1


def test_a_file_that_is_gone_in_the_end_is_reported_as_gone(disk: Disk) -> None:
    gone = disk.happens("deleted", "gone.jpg")
    disk.happens("deleted", "replaced.jpg")
    replaced = disk.write("replaced.jpg")
    disk.pass_time(5)

    [changes] = disk.reports
    assert (changes.gone, changes.present, changes.scan) == ([gone], [replaced], False)


def test_what_no_scan_would_find_is_not_reported(disk: Disk) -> None:
    for name in ("a.txt", ".a.jpg", ".hidden/a.jpg", "raw/a.jpg", "../outside.jpg"):
        disk.write(name)
        disk.happens("modified", name)
    for name in ("raw", ".git"):
        (disk.folder / name).mkdir(exist_ok=True)
        disk.happens("added", name)
    disk.happens("modified", "a.jpg.part")
    disk.pass_time(5)

    assert disk.reports == []


def test_a_folder_that_comes_is_scanned_and_one_that_goes_is_named(disk: Disk) -> None:
    (disk.folder / "new").mkdir()
    disk.happens("added", "new")
    gone = disk.happens("deleted", "gone")
    disk.pass_time(5)

    assert disk.reports == [LibraryChanges("one", gone=[gone], scan=True)]


def test_a_path_in_two_libraries_is_reported_to_both(disk: Disk) -> None:
    disk.libraries.append(WatchedLibrary("two", (str(disk.folder / "sub"),), ()))
    path = disk.write("sub/a.jpg")
    other = disk.write("b.jpg")
    disk.pass_time(5)

    assert disk.reports == [LibraryChanges("one", present=[path, other]), LibraryChanges("two", present=[path])]


def test_changes_that_could_not_be_written_down_come_again(disk: Disk) -> None:
    disk.write("a.jpg")
    disk.refuses = True
    with pytest.raises(ConnectionError):
        disk.pass_time(5)
    disk.refuses = False
    disk.pass_time(0)

    assert len(disk.reports) == 1


def test_a_flood_ends_in_a_scan(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.loops.library_watcher.MOST_PENDING", 3)
    paths = [disk.write(f"{number}.jpg") for number in range(5)]
    disk.pass_time(5)
    disk.pass_time(1)

    present = [path for changes in disk.reports for path in changes.present]
    assert present == paths[:3]
    assert any(changes.scan for changes in disk.reports)


def test_settings_and_disks_are_noticed_while_it_runs(disk: Disk) -> None:
    disk.pass_time(0)
    disk.libraries = [WatchedLibrary("one", (str(disk.folder), str(disk.folder / ".." / "other")), ())]
    disk.pass_time(5)
    other = disk.folder.parent / "other"
    other.mkdir(exist_ok=True)
    try:
        disk.pass_time(5)
        disk.pass_time(5)
        assert disk.watched == [[str(disk.folder)], [str(disk.folder)], sorted([str(disk.folder), str(other)])]
        disk.libraries = []
        disk.pass_time(5)
        assert disk.closed == 3
        assert disk.watcher.tick(ours=True) > 0
    finally:
        other.rmdir()


def test_who_does_not_own_the_queue_does_not_watch(disk: Disk) -> None:
    assert disk.watcher.tick(ours=False) > 0
    assert disk.watched == []
    disk.write("a.jpg")
    disk.watcher.tick(ours=False)
    assert disk.closed == 1
    disk.pass_time(60)
    assert disk.reports == []


def test_a_system_that_watches_no_more_is_asked_again_later(disk: Disk) -> None:
    disk.fails = OSError(28, "inotify watch limit reached")
    assert disk.watcher.tick(ours=True) == 60
    disk.fails = None
    disk.pass_time(60)
    assert len(disk.watched) == 2
    path = disk.write("a.jpg")
    disk.pass_time(5)
    assert disk.reports == [LibraryChanges("one", present=[path])]


def test_real_files_are_seen(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "old").mkdir(parents=True)
    (folder / "old" / "x.jpg").write_bytes(b"x")
    (folder / "gone.jpg").write_bytes(b"x")
    reports: list[LibraryChanges] = []
    watcher = LibraryWatcher(
        lambda: [WatchedLibrary("one", (str(folder),), ())],
        reports.extend,
        EXTENSIONS,
        tmp_path / "media",
        stable_s=0.3,
        look_every_s=0.1,
    )

    def tick_until(done: Callable[[], bool]) -> None:
        until_s = time.monotonic() + 20
        while not done():
            watcher.tick(ours=True)
            assert time.monotonic() < until_s, reports

    def present() -> set[str]:
        return {Path(path).name for changes in reports for path in changes.present}

    def gone() -> set[str]:
        return {Path(path).name for changes in reports for path in changes.gone}

    for _ in range(3):
        watcher.tick(ours=True)
    (folder / "old" / "ä b.jpg").write_bytes(b"x")
    (folder / "gone.jpg").unlink()
    (folder / "note.txt").write_bytes(b"x")
    tick_until(lambda: present() == {"ä b.jpg"} and gone() == {"gone.jpg"})

    os.utime(folder / "old" / "x.jpg", (1, 1))
    tick_until(lambda: "x.jpg" in present())

    shutil.move(folder / "old", tmp_path / "moved")
    tick_until(lambda: "old" in gone())
    assert not any(changes.scan for changes in reports)

    shutil.move(tmp_path / "moved", folder / "back")
    tick_until(lambda: any(changes.scan for changes in reports))
    watcher.close()
