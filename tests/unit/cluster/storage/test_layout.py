"""Where files lie: Immich's layout, and no way out of it."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import PathEscapes
from cluster.storage.layout import StorageLayout, inside

ROOT = Path("/media")
LAYOUT = StorageLayout(ROOT)
USER = UUID("11111111-2222-4333-8444-555555555555")
ASSET = UUID("abcdef01-2345-4678-89ab-cdef01234567")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (LAYOUT.upload_path(USER, ASSET, ".jpg"), f"upload/{USER}/ab/cd/{ASSET}.jpg"),
        (LAYOUT.upload_path(USER, ASSET, ""), f"upload/{USER}/ab/cd/{ASSET}"),
        (LAYOUT.thumbnail_path(USER, ASSET, "thumbnail", "webp"), f"thumbs/{USER}/ab/cd/{ASSET}_thumbnail.webp"),
        (
            LAYOUT.thumbnail_path(USER, ASSET, "preview", "jpeg", edited=True),
            f"thumbs/{USER}/ab/cd/{ASSET}_preview_edited.jpeg",
        ),
        (LAYOUT.person_thumbnail_path(USER, ASSET), f"thumbs/{USER}/ab/cd/{ASSET}.jpeg"),
        (LAYOUT.encoded_video_path(USER, ASSET), f"encoded-video/{USER}/ab/cd/{ASSET}.mp4"),
        (LAYOUT.motion_video_path(USER, ASSET), f"encoded-video/{USER}/ab/cd/{ASSET}-MP.mp4"),
        (LAYOUT.profile_path(USER, ASSET, ".png"), f"profile/{USER}/{ASSET}.png"),
    ],
)  # fmt: skip
def test_paths_are_immichs(path: Path, expected: str) -> None:
    assert path == ROOT / expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: LAYOUT.upload_path("..", ASSET, ".jpg"),
        lambda: LAYOUT.upload_path("../../etc", ASSET, ".jpg"),
        lambda: LAYOUT.upload_path(USER, ASSET, ".jpg/../../x"),
        lambda: LAYOUT.upload_path(USER, "/etc/passwd", ""),
        lambda: LAYOUT.upload_path(USER, "", ""),
        lambda: LAYOUT.upload_path(USER, "..ab", ""),
        lambda: LAYOUT.upload_path(USER, ASSET, "\0.jpg"),
        lambda: LAYOUT.profile_path(USER, "..", ""),
        lambda: LAYOUT.nested(ROOT / "thumbs", "", "abcd"),
    ],
)
def test_a_name_that_leads_out_is_refused(make: Callable[[], Path]) -> None:
    with pytest.raises(PathEscapes):
        make()


@given(st.text(alphabet="./ab\0", max_size=8), st.text(alphabet="./ab\0", max_size=8))
def test_no_name_leads_out(owner: str, name: str) -> None:
    root = ROOT / "upload"
    try:
        path = LAYOUT.nested(root, owner, name)
    except PathEscapes:
        return
    assert path.is_relative_to(root / owner)
    assert ".." not in path.parts
    assert path.name == name


def test_inside_tells_below_from_beside() -> None:
    assert inside(ROOT, ROOT / "a" / ".." / "b") == ROOT / "b"
    for outside in (ROOT, ROOT / "..", ROOT / "../media2/x", Path("/media2/x"), Path("media/x"), ROOT / "a/../.."):
        with pytest.raises(PathEscapes):
            inside(ROOT, outside)
