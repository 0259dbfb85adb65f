"""Small photos with known contents and full camera data, made on the spot; and a file that only looks like one."""

import struct
import zlib
from pathlib import Path

import numpy as np
import piexif
from PIL import Image

CAMERA = ("Heliostat", "Model 1")
TAKEN_AT = "2021:06:15 12:30:00"
"""By the camera's clock."""


def make_photos(folder: Path, count: int, seed: int, size: tuple[int, int] = (1600, 1200)) -> list[Path]:
    """JPEGs named by their seed and number, every one different, with camera, exposure, date and place."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_photo(folder / f"photo_{seed}_{number:04d}.jpg", seed, number, size) for number in range(count)]


def _photo(path: Path, seed: int, number: int, size: tuple[int, int]) -> Path:
    width, height = size
    chance = np.random.default_rng([seed, number])
    coarse = chance.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    exif = {
        "0th": {piexif.ImageIFD.Make: CAMERA[0], piexif.ImageIFD.Model: CAMERA[1], piexif.ImageIFD.Orientation: 6},
        "Exif": {
            piexif.ExifIFD.DateTimeOriginal: TAKEN_AT,
            piexif.ExifIFD.ExposureTime: (1, 250),
            piexif.ExifIFD.FNumber: (28, 10),
            piexif.ExifIFD.ISOSpeedRatings: 100 + number,
        },
        "GPS": {
            piexif.GPSIFD.GPSLatitudeRef: "N",
            piexif.GPSIFD.GPSLatitude: ((48, 1), (8, 1), (1500, 100)),
            piexif.GPSIFD.GPSLongitudeRef: "E",
            piexif.GPSIFD.GPSLongitude: ((11, 1), (34, 1), (3000, 100)),
        },
    }
    image.save(path, "JPEG", quality=85, exif=piexif.dump(exif))
    return path


def png_bomb(width: int, height: int) -> bytes:
    """A few hundred bytes that call themselves gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")
