"""The rules of thumbnails that need no picture, and what `work` leaves on disk."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from cluster.errors import UnreadableImage
from cluster.storage.files import fenced_path
from tasks.jobs.generate_thumbnails import ThumbnailInput, counts_as_srgb, files, work
from tasks.media.renditions import Rendition
from tasks.tools import Tools

TOKEN = "0123abcd"


@pytest.fixture
def tools() -> Iterator[Tools]:
    tools = Tools()
    tools.token = TOKEN
    yield tools
    tools.close()


@pytest.fixture
def given(tmp_path: Path) -> ThumbnailInput:
    Image.new("RGB", (90, 60), "teal").save(tmp_path / "original.png")
    thumbs = tmp_path / "thumbs" / "aa"
    return ThumbnailInput(
        original_path=str(tmp_path / "original.png"),
        original_file_name="IMG_7.png",
        renditions=(
            Rendition("thumbnail", thumbs / "a_thumbnail.webp", "webp", 20, 80),
            Rendition("preview", thumbs / "a_preview.jpeg", "jpeg", 40, 80),
        ),
        video=None,
        colorspace="p3",
        is_srgb=True,
        extract_embedded=False,
        process_invalid=False,
    )


# Source: spec/jobs-media.md §2, "sRGB test".
@pytest.mark.parametrize(
    ("colorspace", "profile", "bits", "expected"),
    [
        ("sRGB", None, None, True),
        (None, "sRGB IEC61966-2.1", 16, True),
        ("Uncalibrated", "Display P3", 8, False),
        ("Uncalibrated", "c2 sRGB", 8, True),
        ("Adobe RGB", None, 8, False),
        (None, None, 8, True),
        (None, None, None, True),
        (None, None, 16, False),
        ("", "", 10, False),
    ],
)
def test_what_counts_as_srgb(colorspace: str | None, profile: str | None, bits: int | None, expected: bool) -> None:
    assert counts_as_srgb(colorspace, profile, bits) is expected


def test_files_bear_the_token_until_they_are_settled(given: ThumbnailInput, tools: Tools) -> None:
    made = work(given, tools)
    finals = [one.path for one in given.renditions]
    assert files(made) == [str(path) for path in finals]
    assert not any(path.exists() for path in finals)
    written = {path for path in finals[0].parent.rglob("*") if path.is_file()}
    assert written == {fenced_path(path, TOKEN) for path in finals}
    with Image.open(fenced_path(finals[1], TOKEN)) as preview:
        assert (preview.format, preview.size) == ("JPEG", (60, 40))
    assert len(made.thumbhash) > 4


def test_a_failed_attempt_leaves_no_file(given: ThumbnailInput, tools: Tools) -> None:
    unknown_format = replace(given.renditions[0], format="bmp", path=given.renditions[0].path.with_name("last.bmp"))
    with pytest.raises((KeyError, ValueError)):
        work(replace(given, renditions=(*given.renditions, unknown_format)), tools)
    assert not [path for path in Path(given.original_path).parent.rglob("*a_*") if path.is_file()]


def test_a_broken_picture_is_named_as_its_owner_knows_it(given: ThumbnailInput, tools: Tools) -> None:
    Path(given.original_path).write_bytes(b"broken")
    with pytest.raises(UnreadableImage, match=r"IMG_7\.png"):
        work(given, tools)
