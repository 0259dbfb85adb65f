"""A camera file made on the spot: a DNG with a mosaic of one colour and, when wanted, a preview of another."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.media.image import Thumbnails, render_image
from tests.unit.tasks.media.pictures import preview

WIDTH, HEIGHT = 640, 480

SHORT, LONG, BYTE, RATIONAL, SIGNED_RATIONAL, ASCII = 3, 4, 1, 5, 10, 2


def dng(orientation: int = 1, preview_size: tuple[int, int] | None = None) -> bytes:
    """Little-endian, uncompressed, 16 bits, RGGB; the sensor saw much green in the upper half and nothing below."""
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint16)
    mosaic[: HEIGHT // 2] = 12_000
    mosaic[0 : HEIGHT // 2 : 2, 1::2] = mosaic[1 : HEIGHT // 2 : 2, 0::2] = 40_000
    jpeg = io.BytesIO()
    if preview_size:
        Image.new("RGB", preview_size, (200, 30, 30)).save(jpeg, "JPEG", quality=95)

    sensor = {
        254: (LONG, [0]),
        256: (LONG, [WIDTH]),
        257: (LONG, [HEIGHT]),
        258: (SHORT, [16]),
        259: (SHORT, [1]),
        262: (SHORT, [32803]),
        273: (LONG, [0]),
        277: (SHORT, [1]),
        278: (LONG, [HEIGHT]),
        279: (LONG, [mosaic.nbytes]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]),
        50714: (SHORT, [0]),
        50717: (LONG, [65535]),
    }
    camera = {
        271: (ASCII, list(b"Heliostat\x00")),
        272: (ASCII, list(b"Mosaic\x00")),
        274: (SHORT, [orientation]),
        50706: (BYTE, [1, 4, 0, 0]),
        50708: (ASCII, list(b"Heliostat Mosaic\x00")),
        50721: (SIGNED_RATIONAL, [value for entry in (1, 0, 0, 0, 1, 0, 0, 0, 1) for value in (entry, 1)]),
        50728: (RATIONAL, [1, 1] * 3),
        50778: (SHORT, [21]),
    }
    if not preview_size:
        return assembled([sensor | camera], mosaic.tobytes(), b"")
    embedded = {
        254: (LONG, [1]),
        256: (LONG, [preview_size[0]]),
        257: (LONG, [preview_size[1]]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [7]),
        262: (SHORT, [6]),
        273: (LONG, [1]),
        277: (SHORT, [3]),
        278: (LONG, [preview_size[1]]),
        279: (LONG, [len(jpeg.getvalue())]),
        330: (LONG, [0]),
    }
    return assembled([embedded | camera, sensor], mosaic.tobytes(), jpeg.getvalue())


def assembled(directories: list[dict[int, tuple[int, list[int]]]], mosaic: bytes, jpeg: bytes) -> bytes:
    """TIFF: 8 bytes of header, mosaic, preview, then the directories; 273 and 330 are filled in here."""
    data = {0: 8, 1: 8 + len(mosaic)}
    offset = 8 + len(mosaic) + len(jpeg)
    offset += offset % 2
    placed: list[bytes] = []
    for tags in reversed(directories):
        tags = dict(tags)
        tags[273] = (LONG, [data[tags[273][1][0]]])
        if 330 in tags:
            tags[330] = (LONG, [offset - len(placed[0])])
        block = directory(tags, offset)
        placed.append(block)
        offset += len(block)
    first = offset - len(placed[-1])
    body = mosaic + jpeg
    return b"II*\x00" + struct.pack("<I", first) + body + bytes(len(body) % 2) + b"".join(placed)


def directory(tags: dict[int, tuple[int, list[int]]], offset: int) -> bytes:
    code = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", SIGNED_RATIONAL: "i"}
    beyond = offset + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{code[kind]}", *values)
        count = len(values) // 2 if kind in {RATIONAL, SIGNED_RATIONAL} else len(values)
        if len(packed) > 4:
            place = struct.pack("<I", beyond + len(extra))
            extra += packed + bytes(len(packed) % 2)
        else:
            place = packed.ljust(4, b"\x00")
        entries += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(tags)) + entries + bytes(4) + extra


def rendered(folder: Path, data: bytes, size_px: int, extract_embedded: bool) -> tuple[Thumbnails, Image.Image]:
    source = folder / "a.dng"
    source.write_bytes(data)
    made = render_image(
        source, [preview(folder, size_px)], name="a.dng", is_srgb=False, extract_embedded=extract_embedded
    )
    with Image.open(made.files[0].path) as image:
        image.load()
        return made, image


def is_red(image: Image.Image) -> bool:
    r, g, b = image.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return bool(r > 150 and g < 90 and b < 90)


@pytest.mark.parametrize("size_px", [480, 100])
def test_the_sensors_data_is_developed(tmp_path: Path, size_px: int) -> None:
    made, image = rendered(tmp_path, dng(), size_px, extract_embedded=False)
    assert (made.width_px, made.height_px) == (WIDTH, HEIGHT)
    assert image.height == size_px
    upper, lower = (
        image.crop((0, 0, image.width, size_px // 3)),
        image.crop((0, size_px * 2 // 3, image.width, size_px)),
    )
    r, g, b = upper.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert g > r + 40
    assert g > b + 40
    assert max(lower.resize((1, 1)).getpixel((0, 0))) < 20  # type: ignore[type-var, arg-type]


def test_the_cameras_orientation_is_applied(tmp_path: Path) -> None:
    made, image = rendered(tmp_path, dng(orientation=6), 480, extract_embedded=False)
    assert (made.width_px, made.height_px) == image.size == (HEIGHT, WIDTH)
    right = image.crop((HEIGHT * 2 // 3, 0, HEIGHT, WIDTH)).resize((1, 1)).getpixel((0, 0))
    left = image.crop((0, 0, HEIGHT // 3, WIDTH)).resize((1, 1)).getpixel((0, 0))
    assert sum(right) > sum(left) + 100  # type: ignore[arg-type]


def test_a_large_enough_preview_is_taken_when_wanted(tmp_path: Path) -> None:
    _, image = rendered(tmp_path, dng(preview_size=(400, 300)), 300, extract_embedded=True)
    assert image.size == (400, 300)
    assert is_red(image)


def test_a_preview_is_turned_as_the_camera_lay(tmp_path: Path) -> None:
    made, image = rendered(tmp_path, dng(orientation=6, preview_size=(400, 300)), 300, extract_embedded=True)
    assert image.size == (300, 400)
    assert (made.width_px, made.height_px) == (HEIGHT, WIDTH)


@pytest.mark.parametrize(("preview_size", "extract"), [((400, 299), True), ((400, 300), False)])
def test_a_small_or_unwanted_preview_is_left_aside(
    tmp_path: Path, preview_size: tuple[int, int], extract: bool
) -> None:
    _, image = rendered(tmp_path, dng(preview_size=preview_size), 300, extract_embedded=extract)
    assert not is_red(image)
