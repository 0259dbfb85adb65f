"""Which file is an asset's sidecar, and what is written into it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.media.sidecar import assignments, date_with_zone, find_sidecar, is_readable, sidecar_to_write

NEW_YEAR = datetime(2023, 12, 31, 23, 30, tzinfo=UTC)


def test_the_linked_one_wins_then_the_long_name_then_the_short_one(tmp_path: Path) -> None:
    original, linked = tmp_path / "a.jpg", tmp_path / "elsewhere.xmp"
    long_name, short_name = tmp_path / "a.jpg.xmp", tmp_path / "a.xmp"
    for path in (short_name, long_name, linked):
        assert path != find_sidecar(original, linked, [tmp_path])
        path.touch()
        assert path == find_sidecar(original, linked, [tmp_path])


def test_folders_broken_links_and_links_that_lead_out_are_not_readable(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside.xmp"
    root.mkdir()
    outside.touch()
    (root / "folder.xmp").mkdir()
    (root / "broken.xmp").symlink_to(root / "nothing")
    (root / "circle.xmp").symlink_to(root / "circle.xmp")
    (root / "out.xmp").symlink_to(outside)
    (root / "good.xmp").touch()
    (root / "within.xmp").symlink_to(root / "good.xmp")
    readable = {path.name for path in root.iterdir() if is_readable(path, [root])}
    assert readable == {"good.xmp", "within.xmp"}
    assert not is_readable(root / "good.xmp", [])


def test_a_new_sidecar_has_the_long_name() -> None:
    assert sidecar_to_write(Path("/m/a.jpg"), None) == Path("/m/a.jpg.xmp")
    assert sidecar_to_write(Path("/m/a.jpg"), Path("/m/b.xmp")) == Path("/m/b.xmp")


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        ("Europe/Paris", "2024-01-01T00:30:00+01:00"),
        ("UTC-3:30", "2023-12-31T20:00:00-03:30"),
        ("UTC", "2023-12-31T23:30:00+00:00"),
        (None, "2023-12-31T23:30:00"),
    ],
)
def test_a_date_is_the_clock_on_the_wall_with_its_offset(zone: str | None, written: str) -> None:
    assert date_with_zone(NEW_YEAR, zone) == written


def test_milliseconds_are_written_where_there_are_any() -> None:
    assert date_with_zone(NEW_YEAR.replace(microsecond=37_000), "UTC") == "2023-12-31T23:30:00.037+00:00"


def test_a_value_is_one_line_whatever_it_says() -> None:
    said = assignments({"description": " a<b>\r\n& 'c' "})
    assert said == [
        "-XMP-dc:Description=&#32;a&lt;b&gt;&#13;&#10;&amp; 'c'&#32;",
        "-XMP-tiff:ImageDescription=&#32;a&lt;b&gt;&#13;&#10;&amp; 'c'&#32;",
    ]


def test_nothing_said_empties_and_no_rating_is_zero() -> None:
    assert assignments({"description": "", "rating": None, "tags": [], "latitude": None, "time_zone": "UTC"}) == [
        "-XMP-dc:Description^=",
        "-XMP-tiff:ImageDescription^=",
        "-XMP-exif:GPSLatitude=",
        "-XMP-xmp:Rating=0",
        "-XMP-digiKam:TagsList=",
    ]
