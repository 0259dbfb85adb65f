"""Files that are not what they claim to be end with an error that names them and the reason, and take no memory."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import psutil
import pytest
from PIL import Image

from cluster.errors import HeliostatError, SourceMissing, TooLarge, UnreadableImage, UnsupportedMedia
from tasks.media.image import Limits, Thumbnails, render_image
from tests.shared_media import media_dir
from tests.unit.tasks.media.pictures import are_corners, preview, quarters, thumbnail

GENEROUS = Limits()


def render(source: Path, folder: Path, *, process_invalid: bool = False, limits: Limits = GENEROUS) -> Thumbnails:
    wanted = [preview(folder), thumbnail(folder)]
    return render_image(source, wanted, name=source.name, is_srgb=True, process_invalid=process_invalid, limits=limits)


def noise() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 256, (240, 320, 3)).astype(np.uint8)


def with_pillow(picture_format: str) -> Callable[[], bytes]:
    def encode() -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(noise()).save(buffer, picture_format)
        return buffer.getvalue()

    return encode


def heic() -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(noise())).save(buffer, quality=90)
    return buffer.getvalue()


ENCODERS: dict[str, Callable[[], bytes]] = {
    "jpg": with_pillow("JPEG"),
    "png": with_pillow("PNG"),
    "webp": with_pillow("WEBP"),
    "gif": with_pillow("GIF"),
    "bmp": with_pillow("BMP"),
    "tiff": with_pillow("TIFF"),
    "jp2": with_pillow("JPEG2000"),
    "heic": heic,
    "avif": lambda: bytes(imagecodecs.avif_encode(noise(), level=90, speed=10)),
    "jxl": lambda: bytes(imagecodecs.jpegxl_encode(noise(), level=90)),
}


@cache
def encoded(suffix: str) -> bytes:
    return ENCODERS[suffix]()


@pytest.mark.parametrize("suffix", [*ENCODERS, "dng", "svg"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 3000, b"not a picture at all " * 50, b"PK\x03\x04" + bytes(500)],
    ids=["empty", "zeros", "text", "zip"],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path: Path, suffix: str, content: bytes) -> None:
    source = tmp_path / f"bad.{suffix}"
    source.write_bytes(content)
    with pytest.raises((UnreadableImage, UnsupportedMedia), match=rf"bad\.{suffix}"):
        render(source, tmp_path)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").touch()
    with pytest.raises(UnreadableImage, match="empty"):
        render(tmp_path / "bad.jpg", tmp_path)


@pytest.mark.parametrize("suffix", ENCODERS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_file_fails(tmp_path: Path, suffix: str, share: float) -> None:
    data = encoded(suffix)
    source = tmp_path / f"cut.{suffix}"
    source.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnreadableImage, match=rf"cut\.{suffix}"):
        render(source, tmp_path)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("suffix", ENCODERS)
def test_the_whole_file_does_not(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"whole.{suffix}"
    source.write_bytes(encoded(suffix))
    assert render(source, tmp_path).width_px == 320


@pytest.mark.parametrize("suffix", ENCODERS)
def test_flipped_bytes_give_an_error_of_ours_or_a_picture(tmp_path: Path, suffix: str) -> None:
    data = bytearray(encoded(suffix))
    random = np.random.default_rng(7)
    for attempt in range(12):
        damaged = bytearray(data)
        for place in random.integers(4, len(data), 8):
            damaged[place] = int(random.integers(0, 256))
        source = tmp_path / f"hurt{attempt}.{suffix}"
        source.write_bytes(damaged)
        try:
            render(source, tmp_path)
        except HeliostatError as error:
            assert isinstance(error, UnreadableImage | TooLarge)  # noqa: PT017 - either end is allowed


def test_a_damaged_jpeg_passes_where_damage_is_allowed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(quarters(640, 480)).save(buffer, "JPEG", quality=95)
    source = tmp_path / "cut.jpg"
    source.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 9 // 10])
    with pytest.raises(UnreadableImage, match=r"cut\.jpg"):
        render(source, tmp_path)
    made = render(source, tmp_path, process_invalid=True)
    with Image.open(made.files[0].path) as image:
        upper = image.crop((0, 0, 640, 240)).resize((64, 24))
        assert image.size == (640, 480)
    assert upper.getpixel((5, 5)) == pytest.approx((230, 30, 30), abs=12)
    with pytest.raises(UnreadableImage):
        render(source, tmp_path)  # the permission does not outlive its call


def test_a_real_heic_that_is_cut_short_fails(tmp_path: Path) -> None:
    whole = next((media_dir() / "formats" / "heic").glob("*.heic")).read_bytes()
    source = tmp_path / "cut.heic"
    for share in (0.02, 0.3, 0.7, 0.99):
        source.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableImage, match="truncated"):
            render(source, tmp_path)


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff_bomb(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 100)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


def bmp_bomb(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 200, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(99)


def svg_bomb(width: int, height: int) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"/>'.encode()


@pytest.mark.parametrize(
    ("name", "bomb"), [("a.png", png_bomb), ("a.tiff", tiff_bomb), ("a.bmp", bmp_bomb), ("a.svg", svg_bomb)]
)
def test_a_bomb_is_refused_before_memory_is_taken(tmp_path: Path, name: str, bomb: Callable[[int, int], bytes]) -> None:
    source = tmp_path / name
    source.write_bytes(bomb(60_000, 60_000))
    before = psutil.Process().memory_info().rss
    with pytest.raises(TooLarge, match=r"60000 x 60000"):
        render(source, tmp_path)
    assert psutil.Process().memory_info().rss - before < 100 << 20


@pytest.mark.parametrize("suffix", ENCODERS)
def test_every_decoder_keeps_the_limit(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"large.{suffix}"
    source.write_bytes(encoded(suffix))
    with pytest.raises(TooLarge, match="320 x 240"):
        render(source, tmp_path, limits=Limits(max_pixels=320 * 240 - 1))
    with pytest.raises(TooLarge, match="320 x 240"):
        render(source, tmp_path, limits=Limits(max_decoded_pixels=320 * 240 - 1))


@pytest.mark.parametrize("suffix", ["avif", "jxl"])
def test_decoders_that_want_the_whole_file_refuse_large_ones(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"large.{suffix}"
    source.write_bytes(encoded(suffix))
    with pytest.raises(TooLarge, match="bytes"):
        render(source, tmp_path, limits=Limits(max_file_bytes=100))


def test_a_file_that_is_not_there_is_missing_not_broken(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="gone"):
        render(tmp_path / "gone.jpg", tmp_path)


def test_the_error_names_the_original_where_the_stored_name_says_nothing(tmp_path: Path) -> None:
    source = tmp_path / "0b7f"
    source.write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"0b7f \(IMG_1\.JPG\)"):
        render_image(source, [thumbnail(tmp_path)], name="IMG_1.JPG", is_srgb=True)


def test_a_good_picture_after_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(encoded("png")[:500])
    with pytest.raises(UnreadableImage):
        render(tmp_path / "bad.png", tmp_path)
    Image.fromarray(quarters()).save(tmp_path / "good.png")
    made = render(tmp_path / "good.png", tmp_path)
    with Image.open(made.files[0].path) as image:
        assert are_corners(image)
