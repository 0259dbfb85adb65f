"""Fifty files that a person's disk may hold and no decoder can: each with what must become of it.

Whole files of every kind are made first, then hurt. All is drawn from fixed seeds.
"""

import io
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image

from tests.e2e.photos import png_bomb
from tests.programs import program
from tests.unit.tasks.media.test_raw import dng


class End(StrEnum):
    """What must become of a file. `READ`: it is hurt or misnamed, but a decoder truly reads all of its pixels."""

    REFUSED = "refused at the door"
    FAILED = "a failed job"
    READ = "read after all"


@dataclass(frozen=True)
class CorruptFile:
    """`name` as the client sends it, `shown` as the server may call it, `word`: what its reason must say."""

    name: str
    content: bytes
    end: End = End.FAILED
    word: str = ""
    shown: str = ""

    @property
    def shown_name(self) -> str:
        return self.shown or self.name


def corrupt_files(folder: Path) -> list[CorruptFile]:
    """`folder` is for ffmpeg."""
    whole = whole_files(folder)
    found = [
        *cut_short(whole),
        *beginnings(whole),
        *zeros(),
        *garbage(),
        *wrong_extensions(whole),
        *bombs(),
        *hurt_inside(whole),
        *odd_names(),
    ]
    assert len({file.content for file in found if file.content}) == len([file for file in found if file.content])
    return found


def pixels() -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return np.random.default_rng(41).integers(0, 256, (240, 320, 3)).astype(np.uint8)


def with_pillow(picture_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, picture_format)
    return buffer.getvalue()


def whole_files(folder: Path) -> dict[str, bytes]:
    """Suffix → a file that every part of the server reads."""
    heic = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels())).save(heic, quality=90)
    formats = {
        "jpg": "JPEG",
        "png": "PNG",
        "webp": "WEBP",
        "gif": "GIF",
        "bmp": "BMP",
        "tif": "TIFF",
        "jp2": "JPEG2000",
    }
    return {
        **{suffix: with_pillow(name) for suffix, name in formats.items()},
        "heic": heic.getvalue(),
        "avif": bytes(imagecodecs.avif_encode(pixels(), level=90, speed=10)),
        "jxl": bytes(imagecodecs.jpegxl_encode(pixels(), level=90)),
        "dng": dng(),
        "mp4": clip(folder / "whole.mp4"),
        "mkv": clip(folder / "whole.mkv"),
    }


def clip(path: Path) -> bytes:
    """Two seconds of test picture."""
    made = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=2"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run([program("ffmpeg"), "-v", "error", "-nostdin", "-y", *made, *coded], check=True)
    return path.read_bytes()


def noise(size_bytes: int, seed: int) -> bytes:
    return bytes(np.random.default_rng(seed).integers(0, 256, size_bytes, np.uint8))


def cut_short(whole: dict[str, bytes]) -> Iterator[CorruptFile]:
    """A copy that did not finish."""
    for suffix, content in whole.items():
        # Matroska can be played while it is still written, so its first half is a film
        end = End.READ if suffix == "mkv" else End.FAILED
        yield CorruptFile(f"half.{suffix}", content[: len(content) // 2], end)


def beginnings(whole: dict[str, bytes]) -> Iterator[CorruptFile]:
    """Only the first bytes: enough to know what it was to be."""
    for suffix in ("jpg", "png", "heic", "webp", "mp4"):
        yield CorruptFile(f"beginning.{suffix}", whole[suffix][:64])


def zeros() -> Iterator[CorruptFile]:
    """What a file system leaves after a power cut, and nothing at all."""
    for length, suffix in enumerate(("jpg", "png", "heic", "webp", "nef", "mp4"), start=5000):
        yield CorruptFile(f"zeros.{suffix}", bytes(length))
    for suffix in ("jpg", "mp4"):
        yield CorruptFile(f"empty.{suffix}", b"", End.REFUSED, "empty")


def garbage() -> Iterator[CorruptFile]:
    for seed, suffix in enumerate(("jpg", "png", "heic", "gif", "cr2", "mov"), start=50):
        yield CorruptFile(f"garbage.{suffix}", noise(6000, seed))


def wrong_extensions(whole: dict[str, bytes]) -> Iterator[CorruptFile]:
    """The content of one kind under the name of another."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("letter.txt", "Dear diary, this is no photo.")
    yield CorruptFile("really_text.jpg", b"Dear diary, this is no photo.\n" * 50)
    yield CorruptFile("really_html.png", b"<!doctype html><title>404</title><p>Not found" * 20)
    yield CorruptFile("really_zip.heic", archive.getvalue())
    yield CorruptFile("really_pdf.webp", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n")
    yield CorruptFile("really_program.mp4", b"\x7fELF\x02\x01\x01" + noise(3000, 60))
    yield CorruptFile("really_jpeg.mp4", whole["jpg"] + b"1")
    yield CorruptFile("really_mp4.jpg", whole["mp4"] + b"2")
    # the content decides, so the name does no harm
    yield CorruptFile("really_jpeg.heic", whole["jpg"] + b"3", End.READ)
    yield CorruptFile("really_png.jpg", whole["png"] + b"4", End.READ)


def bombs() -> Iterator[CorruptFile]:
    """Small files that would fill the memory."""
    side = 60_000
    yield CorruptFile("bomb.png", png_bomb(side, side), word="60000 x 60000")
    tags = [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, 100)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    tiff = b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)
    yield CorruptFile("bomb.tif", tiff, word="60000 x 60000")
    bmp = struct.pack("<IIIIiiHHIIiiII", 200, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    yield CorruptFile("bomb.bmp", b"BM" + bmp + bytes(99), word="60000 x 60000")
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}"/>'
    yield CorruptFile("bomb.svg", svg.encode(), word="60000 x 60000")
    lols = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    laughs = (
        f'<!DOCTYPE svg [{lols}]><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>&l9;</text></svg>'
    )
    yield CorruptFile("laughs.svg", laughs.encode())


def hurt_inside(whole: dict[str, bytes]) -> Iterator[CorruptFile]:
    """Whole in length, with a hole in the middle."""
    for suffix in ("jpg", "png", "mp4"):
        content = bytearray(whole[suffix])
        third = len(content) // 3
        content[third : 2 * third] = bytes(third)
        # JPEG and H.264 have no checksums: their decoders go on behind the hole, as Immich's do
        yield CorruptFile(f"hole.{suffix}", bytes(content), End.FAILED if suffix == "png" else End.READ)


def odd_names() -> Iterator[CorruptFile]:
    """Broken files whose names try something."""
    yield CorruptFile("two\nlines\t-execute rm 💥 ü.jpg", noise(500, 70), shown="twolines-execute rm 💥 ü.jpg")
    yield CorruptFile("../../../etc/passwd.png", noise(500, 71), shown="passwd.png")
    yield CorruptFile("C:\\Windows\\system.webp", noise(500, 72), shown="system.webp")
    yield CorruptFile("a folder.jpg/", noise(500, 73), shown="a folder.jpg")
    yield CorruptFile("-rf.jpg", noise(500, 74))
    yield CorruptFile("$(reboot) `id` %s {0}.jpg", noise(500, 75))
