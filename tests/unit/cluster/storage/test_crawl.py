"""A walk finds what is wanted, in the order of paths, from wherever it is told to begin."""

import os
import tracemalloc
from pathlib import Path

import pytest

from cluster.storage import crawl
from cluster.storage.crawl import Walk, Wanted
from cluster.storage.globs import Exclusions

JPEG = frozenset({".jpg", ".mp4"})


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def walk(root: Path, *patterns: str, after: str = "", skipped_folder: str = "") -> list[str]:
    wanted = Wanted(Exclusions(patterns), JPEG, skipped_folder)
    return [path[len(str(root)) + 1 :] for path in Walk(str(root), wanted, after and f"{root}/{after}")]


def test_files_come_in_the_order_of_whole_paths(tmp_path: Path) -> None:
    make(
        tmp_path,
        "a/b.jpg",
        "a.jpg",
        "a-b/c.jpg",
        "a/a/z.jpg",
        "a0.jpg",
        "B.jpg",
        "é.jpg",
        "z.jpg",
        "a b.jpg",
        "\U0001f600.jpg",
    )

    found = walk(tmp_path)

    assert found == sorted(found)
    assert len(found) == 10


def test_a_walk_goes_on_after_any_of_its_files(tmp_path: Path) -> None:
    make(tmp_path, *(f"{a}/{b}.jpg" for a in ("a", "a-b", "a.b", "a0", "b") for b in range(3)), "a.jpg", "b.jpg")
    everything = walk(tmp_path)

    for at, path in enumerate(everything):
        assert walk(tmp_path, after=path) == everything[at + 1 :]
    assert walk(tmp_path, after="a/1.gone.jpg") == [path for path in everything if path > "a/1.gone.jpg"]


def test_a_folder_larger_than_memory_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawl, "ENTRIES_AT_ONCE", 7)
    make(tmp_path, *(f"{number:03}.jpg" for number in range(50)), *(f"{n:03}/x.jpg" for n in range(50)), "0490.jpg")

    found = walk(tmp_path)

    assert found == sorted(found)
    assert len(found) == 101
    assert walk(tmp_path, after="020/x.jpg") == [path for path in found if path > "020/x.jpg"]


def test_only_wanted_files_are_found(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("a.JPG", "b.Mp4", "c.txt", "jpg", ".jpg", ".hidden.jpg", ".hidden/a.jpg", "@eaDir/a.jpg", "raw/a.jpg"),
        *("deep/raw/b.jpg", "raw2/a.jpg", "a.jpg.txt", "deep/#1 (a) [b] & ü.jpg"),
    )
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")

    found = walk(tmp_path, "**/@eaDir/**", "**/RAW/**")

    assert found == ["a.JPG", "b.Mp4", "deep/#1 (a) [b] & ü.jpg", "raw2/a.jpg"]


def test_the_same_rules_hold_for_a_single_path(tmp_path: Path) -> None:
    wanted = Wanted(Exclusions(["**/raw/**"]), JPEG)

    assert wanted.file("/p/.x/a.jpg", "/p/.x")  # the import path itself may be hidden
    assert not wanted.file("/p/.x/a.jpg", "/p")
    assert not wanted.file("/p/a.txt", "/p")
    assert not wanted.file("/p/raw/a.jpg", "/p")


def test_a_root_within_an_excluded_folder_holds_nothing(tmp_path: Path) -> None:
    make(tmp_path, "raw/a.jpg")

    assert walk(tmp_path / "raw", "**/raw/**") == []


def test_links_never_lead_out_nor_round(tmp_path: Path) -> None:
    make(tmp_path, "outside/secret.jpg", "in/seen.jpg", "in/.objects/annexed.jpg")
    root = tmp_path / "in"
    (root / "out.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "round").symlink_to(root)
    (root / "again.jpg").symlink_to("seen.jpg")
    (root / "annexed.jpg").symlink_to(".objects/annexed.jpg")
    (root / "broken.jpg").symlink_to("nothing.jpg")
    (root / "self.jpg").symlink_to("self.jpg")

    assert walk(root) == ["annexed.jpg", "seen.jpg"]


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    make(tmp_path, "real/a.jpg", "real/.b.jpg")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "b.jpg").symlink_to(".b.jpg")

    assert walk(tmp_path / "link") == ["a.jpg", "b.jpg"]


def test_the_media_folder_is_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "media/thumbs/a.jpg", "b.jpg", "deep/media/c.jpg")

    assert walk(tmp_path, skipped_folder=str(tmp_path / "media")) == ["b.jpg", "deep/media/c.jpg"]


def test_names_that_no_database_takes_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.jpg")).write_bytes(b"x")
    deep = "/".join(["d" * 250] * 8)  # 2,000 bytes, each level within what the system allows
    (tmp_path / deep).mkdir(parents=True)
    folder = os.open(tmp_path / deep, os.O_DIRECTORY)
    try:
        for _ in range(3):
            os.mkdir("e" * 250, dir_fd=folder)
            inner = os.open("e" * 250, os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        os.close(os.open("far.jpg", os.O_CREAT, dir_fd=folder))
    finally:
        os.close(folder)
    wanted = Walk(str(tmp_path), Wanted(Exclusions([]), JPEG))

    assert list(wanted) == [str(tmp_path / "a.jpg")]
    assert wanted.unreadable == 2


def test_a_walk_holds_a_part_of_a_large_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, *(f"{number:05}.jpg" for number in range(4_000)))
    monkeypatch.setattr(crawl, "ENTRIES_AT_ONCE", 300)
    tracemalloc.start()

    found = sum(1 for _ in Walk(str(tmp_path), Wanted(Exclusions([]), JPEG)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == 4_000
    assert peak_bytes < 120_000  # the names alone are more than twice as much
