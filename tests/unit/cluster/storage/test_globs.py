"""Exclusion patterns against paths, with picomatch's answers. Expected values: its documentation, and Immich's spec."""

import time

import pytest

from cluster.storage.globs import Exclusions, PatternTooLarge


@pytest.mark.parametrize(
    ("pattern", "excluded", "kept"),
    [
        ("**/*.tif", ["/photos/a.tif", "/photos/deep/er/a.TIF", "/a.tIf"], ["/photos/a.tiff", "/photos/tif"]),
        (
            "**/raw/**",
            ["/photos/raw/1.jpg", "/photos/x/raw/y/1.jpg", "/photos/raw"],
            ["/photos/raw2/1.jpg", "/p/crawl/1"],
        ),
        ("**/Raw", ["/photos/raw/1.jpg"], ["/photos/rawer/1.jpg"]),
        (
            "/photos/private/**",
            ["/photos/private/a.jpg", "/photos/private"],
            ["/x/photos/private/a.jpg", "/photos/private2/a"],
        ),
        ("/photos/*/a.jpg", ["/photos/x/a.jpg"], ["/photos/a.jpg", "/photos/x/y/a.jpg"]),
        (
            "/photos/**/a.jpg",
            ["/photos/a.jpg", "/photos/x/a.jpg", "/photos/x/y/a.jpg"],
            ["/photos/b.jpg", "/photosa.jpg"],
        ),
        ("/**/x/**/y.jpg", ["/x/y.jpg", "/a/x/b/c/y.jpg"], ["/a/xb/y.jpg"]),
        ("**", ["/anything/at.all"], []),
        ("**/**/**/a?.jpg", ["/a1.jpg", "/x/y/z/a9.JPG"], ["/a.jpg", "/a12.jpg"]),
        ("**/IMG_[0-9][0-9].jpg", ["/x/IMG_07.jpg"], ["/x/IMG_7.jpg", "/x/IMG_ab.jpg"]),
        ("**/[!a-c]*.jpg", ["/x/dog.jpg"], ["/x/ant.jpg", "/x/Cat.jpg"]),
        ("**/[^x].jpg", ["/p/y.jpg"], ["/p/x.jpg"]),
        ("**/*.{tif,jp{2,x}}", ["/a.tif", "/a.jp2", "/a.jpx"], ["/a.jpg", "/a.{tif,jp2}"]),
        ("**/day{1..3}/**", ["/p/day2/a.jpg"], ["/p/day4/a.jpg"]),
        ("**/disk{a..c}.jpg", ["/p/diskb.jpg"], ["/p/diskd.jpg"]),
        ("**/{one}.jpg", ["/p/{one}.jpg"], ["/p/one.jpg"]),
        ("**/@(raw|old)/**", ["/p/raw/a", "/p/old/a"], ["/p/rawold/a"]),
        ("**/+(ab).jpg", ["/p/ab.jpg", "/p/abab.jpg"], ["/p/.jpg", "/p/aba.jpg"]),
        ("**/a?(b).jpg", ["/p/a.jpg", "/p/ab.jpg"], ["/p/abb.jpg"]),
        ("**/*(xy)z.jpg", ["/p/z.jpg", "/p/xyxyz.jpg"], ["/p/xz.jpg"]),
        ("**/!(keep).jpg", ["/p/other.jpg", "/p/keeper.jpg"], ["/p/keep.jpg"]),
        ("**/._*", ["/p/._a.jpg", "/._"], ["/p/a._jpg"]),
        ("**/#recycle/**", ["/p/#recycle/a.jpg"], ["/p/recycle/a.jpg"]),
        (r"**/a\*b.jpg", ["/p/a*b.jpg"], ["/p/axb.jpg"]),
        (r"**/\{a,b\}.jpg", ["/p/{a,b}.jpg"], ["/p/a.jpg"]),
        ("**/a+b (1).jpg", ["/p/a+b (1).jpg"], ["/p/aab (1).jpg", "/p/a+b 1.jpg"]),
        ("**/[draft.jpg", ["/p/[draft.jpg"], ["/p/d.jpg"]),
        ("**/$^.|jpg", ["/p/$^.|jpg"], ["/p/jpg"]),
        ("**/*", ["/p/a.jpg"], []),
        ("*.jpg", ["a.jpg"], ["/a.jpg"]),
        ("**/[z-a].jpg", [], ["/p/m.jpg"]),
    ],
)
def test_a_pattern_excludes_what_picomatch_matches(pattern: str, excluded: list[str], kept: list[str]) -> None:
    exclusions = Exclusions([pattern])

    assert [path for path in [*excluded, *kept] if exclusions.excludes(path)] == excluded


def test_the_defaults_leave_photos_alone() -> None:
    exclusions = Exclusions(["**/@eaDir/**", "**/._*", "**/#recycle/**", "**/#snapshot/**", "**/.stversions/**"])

    assert not exclusions.excludes("/photos/2024 (München)/a & b [1].jpg")
    assert exclusions.excludes("/photos/2024/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg")


def test_names_are_asked_one_by_one_on_a_walk() -> None:
    exclusions = Exclusions(["**/raw/**", "/photos/private/**"])

    assert exclusions.excludes_name("raw", "/photos/raw")
    assert exclusions.excludes_name("private", "/photos/private")
    assert not exclusions.excludes_name("a.jpg", "/photos/a.jpg")


def test_no_patterns_exclude_nothing() -> None:
    assert not Exclusions([]).excludes("/a.jpg")


def test_braces_without_end_are_refused() -> None:
    with pytest.raises(PatternTooLarge):
        Exclusions(["{1..100}{1..100}"])


@pytest.mark.parametrize("pattern", ["**/" * 40 + "x", "**/" + "*a" * 12 + "b", "/" + "**/a/" * 8 + "b"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    exclusions = Exclusions([pattern])
    started_s = time.process_time()

    exclusions.excludes("/" + "a/" * 40 + "a" * 60)

    assert time.process_time() - started_s < 2
