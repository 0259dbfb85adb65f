"""Photos and clips as a camera leaves them, made on the spot, and what exiftool says of a file."""

import json
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import piexif
from PIL import Image

from tests.programs import program

TAKEN = "2021:07:14 18:30:05"
PARIS = (48.8566, 2.3522)


def photo(width: int = 1600, height: int = 1200, *, orientation: int = 1) -> bytes:
    """A JPEG from a camera in Paris, red on the left and blue on the right, with sensor noise's worth of detail."""
    image = Image.linear_gradient("L").resize((width, height))
    image = Image.merge(
        "RGB",
        (
            image.rotate(90, expand=False).resize((width, height)),
            image,
            image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        ),
    )
    exif = {
        "0th": {
            piexif.ImageIFD.Make: b"Helio",
            piexif.ImageIFD.Model: b"Stat 1",
            piexif.ImageIFD.Orientation: orientation,
            piexif.ImageIFD.ImageDescription: b"By the river",
        },
        "Exif": {
            piexif.ExifIFD.DateTimeOriginal: TAKEN.encode(),
            piexif.ExifIFD.OffsetTimeOriginal: b"+02:00",
            piexif.ExifIFD.FNumber: (28, 10),
            piexif.ExifIFD.ISOSpeedRatings: 200,
            piexif.ExifIFD.ExposureTime: (1, 250),
        },
        "GPS": {
            piexif.GPSIFD.GPSLatitudeRef: b"N",
            piexif.GPSIFD.GPSLatitude: degrees(PARIS[0]),
            piexif.GPSIFD.GPSLongitudeRef: b"E",
            piexif.GPSIFD.GPSLongitude: degrees(PARIS[1]),
        },
    }
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=piexif.dump(exif))
    return buffer.getvalue()


def degrees(value: float) -> tuple[tuple[int, int], ...]:
    return ((int(value), 1), (int(value % 1 * 60), 1), (round(value * 60 % 1 * 60 * 1000), 1000))


def clip(path: Path) -> Path:
    """Two seconds of test picture with a tone, made by ffmpeg."""
    made = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=2", "-f", "lavfi", "-i", "sine=duration=2"]
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest", str(path)]
    subprocess.run([program("ffmpeg"), "-v", "error", *made, *coded], check=True)
    return path


def exiftool(path: Path) -> dict[str, Any]:
    """What the program says when it is asked afresh, numbers as numbers."""
    asked = [program("exiftool"), "-json", "-n", str(path)]
    said: list[dict[str, Any]] = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    return said[0]
