"""The container of HEIC and AVIF: built box by box, so that every field has a known answer."""

from pathlib import Path

import pytest

from tasks.media.boxes import BrokenBoxes, PrimaryItem, read_primary_item
from tasks.media.heif import _orientation


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def full(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, bytes([version]) + flags.to_bytes(3, "big") + content)


def number(*values: int, size: int = 2) -> bytes:
    return b"".join(value.to_bytes(size, "big") for value in values)


def container(properties: list[bytes], *, data_bytes: int = 50, location_version: int = 0) -> bytes:
    """A file whose only item has these properties and lies at byte 16."""
    extra = number(0) if location_version else b""
    iloc = number(0x4400) + number(1) + number(1) + extra + number(0) + number(1) + number(16, data_bytes, size=4)
    ipma = (
        number(1, size=4) + number(1) + bytes([len(properties)]) + bytes(0x80 | i + 1 for i in range(len(properties)))
    )
    meta = full(
        b"meta",
        full(b"pitm", number(1))
        + full(b"iloc", iloc, location_version)
        + box(b"iprp", box(b"ipco", b"".join(properties)) + full(b"ipma", ipma)),
    )
    head, data = box(b"ftyp", b""), box(b"mdat", bytes(data_bytes))
    return head + data + meta


ISPE = full(b"ispe", number(400, 300, size=4))


def written(folder: Path, data: bytes) -> Path:
    path = folder / "a.avif"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("location_version", [0, 1])
def test_properties_of_the_main_picture(tmp_path: Path, location_version: int) -> None:
    properties = [
        ISPE,
        box(b"av1C", bytes([0x81, 0x00, 0x40, 0x00])),
        box(b"irot", b"\x01"),
        box(b"imir", b"\x01"),
        box(b"colr", b"nclx" + number(9, 16, 9) + b"\x80"),
        box(b"colr", b"prof" + b"PROFILE"),
    ]
    found = read_primary_item(written(tmp_path, container(properties, location_version=location_version)))
    assert found == PrimaryItem(400, 300, 10, 1, 1, b"PROFILE", 9, 16)


def test_a_file_that_ends_before_its_data_is_truncated(tmp_path: Path) -> None:
    whole = container([ISPE], data_bytes=50)
    lying = whole.replace(number(16, 50, size=4), number(16, len(whole), size=4))
    with pytest.raises(BrokenBoxes, match="truncated"):
        read_primary_item(written(tmp_path, lying))


@pytest.mark.parametrize("kept", [0, 6, 20, 70, 100, 150])
def test_a_file_that_ends_before_its_index_is_truncated(tmp_path: Path, kept: int) -> None:
    with pytest.raises(BrokenBoxes, match="truncated"):
        read_primary_item(written(tmp_path, container([ISPE])[:kept]))


def test_what_follows_the_data_is_none_of_our_business(tmp_path: Path) -> None:
    """Phones append trailers that are no boxes."""
    data = container([ISPE]) + b"\x00\x00\x00\x01SEFT trailer"
    assert read_primary_item(written(tmp_path, data)).width_px == 400


def test_a_box_that_leaves_its_parent_is_broken(tmp_path: Path) -> None:
    broken = container([ISPE]).replace(len(ISPE).to_bytes(4, "big") + b"ispe", (9999).to_bytes(4, "big") + b"ispe")
    with pytest.raises(BrokenBoxes, match="beyond"):
        read_primary_item(written(tmp_path, broken))


@pytest.mark.parametrize(
    ("turns_left", "mirror", "orientation"),
    [(0, None, 1), (1, None, 8), (2, None, 3), (3, None, 6), (0, 1, 2), (0, 0, 4), (1, 1, 7), (1, 0, 5), (3, 1, 5)],
)
def test_turns_and_mirrors_as_exif_says_them(turns_left: int, mirror: int | None, orientation: int) -> None:
    """EXIF 5 is mirrored along the main diagonal: a quarter turn left, then top and bottom exchanged."""
    assert _orientation(PrimaryItem(turns_left=turns_left, mirror=mirror)) == orientation
