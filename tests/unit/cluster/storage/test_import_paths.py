"""Import paths: which are refused, which are absent, what lies inside."""

import os
import re
from pathlib import Path

import pytest

from cluster.storage.import_paths import Insides, absence, below, is_inside, past, problem, roots


def test_import_paths_are_refused_in_immichs_words(tmp_path: Path) -> None:
    media = tmp_path / "media"
    (media / "upload").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "good").mkdir()
    (tmp_path / "link").symlink_to(media)

    def said(path: object) -> str | None:
        return problem(str(path), media)

    assert said(tmp_path / "good") is None
    assert said(f"{tmp_path}/good/") is None
    assert said(media) == said(media / "upload") == "Cannot use media upload folder for external libraries"
    assert said(tmp_path / "good" / ".." / "media") == said(tmp_path / "link") == said(media)
    assert said("photos") == f"Import path must be absolute, try {Path.cwd() / 'photos'}"
    assert said(tmp_path / "file") == said(tmp_path / "file" / "x") == "Not a directory"
    assert said(tmp_path / "missing") == said("/a\0b") == "Path does not exist (ENOENT)"


def test_an_unreadable_import_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything

    assert problem(str(tmp_path), tmp_path / "media") == "Lacking read permission for folder"


def test_roots_inside_others_are_walked_with_them() -> None:
    assert roots(["/b/c/", "/a", "/b", "/a//x/../y", "relative", "/b0", "/b"]) == ["/a", "/b", "/b0"]
    assert roots(["/x", "/"]) == ["/"]
    assert roots(["/a", "/a-b"]) == ["/a-b", "/a"]  # as /a-b/x and /a/x sort


def test_bounds_hold_everything_below_a_root() -> None:
    for root in ("/a", "/"):
        for path in ("/a/x", "/a/\U0010ffff", "/a/0"):
            assert is_inside(path, root)
            assert below(root) <= path < past(root)
    assert not is_inside("/ab/x", "/a")
    assert not below("/a") <= "/a0" < past("/a")


def test_an_absent_root_is_told_from_one_without_files(tmp_path: Path) -> None:
    assert absence(str(tmp_path), expects_files=False) is None
    assert re.search("is empty, though", absence(str(tmp_path), expects_files=True) or "")
    assert re.search("cannot be read", absence(str(tmp_path / "missing"), expects_files=False) or "")
    (tmp_path / ".anything").write_bytes(b"")
    assert absence(str(tmp_path), expects_files=True) is None


def test_what_leads_out_of_a_root_is_not_there(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for file in (root / "a.jpg", tmp_path / "b.jpg"):
        file.write_bytes(b"12345")
    (root / "link.jpg").symlink_to("a.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "b.jpg")
    (root / "folder").symlink_to(tmp_path)
    insides = Insides(str(root))

    assert [getattr(insides.stat(f"{root}/{name}"), "st_size", None) for name in ("a.jpg", "link.jpg")] == [5, 5]
    for name in ("out.jpg", "folder/b.jpg", "folder", "gone.jpg", "a.jpg/x", "../b.jpg"):
        assert insides.stat(f"{root}/{name}") is None


def test_an_error_that_says_nothing_of_the_file_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="name too long"):
        Insides(str(tmp_path)).stat(f"{tmp_path}/{'x' * 300}")
