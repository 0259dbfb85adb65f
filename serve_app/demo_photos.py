"""A small set of camera-like pictures for whoever has no folder at hand: the same every time, made here, with date,
camera and position as a phone or camera writes them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageDraw, ImageFont

WIDTH_PX, HEIGHT_PX = 1600, 1200
HORIZON = 0.68
FIRST_TAKEN = datetime(2024, 3, 20, 6, 40)
"""By the camera's clock: EXIF's date and time have no zone."""
APART = timedelta(days=15, hours=1)
SIDEWAYS = 6
"""EXIF's orientation "turn by a quarter": every fourth picture is stored lying, as a phone held upright does."""

Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A position in degrees, north and east positive."""

    name: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Mood:
    """Colours of the sky at the top and at the horizon, of the hills, and of the sun."""

    top: Color
    horizon: Color
    hills: Color
    sun: Color


PLACES = (
    Place("Lisbon", 38.7223, -9.1393),
    Place("Reykjavik", 64.1466, -21.9426),
    Place("Kyoto", 35.0116, 135.7681),
    Place("Cape Town", -33.9249, 18.4241),
    Place("Valparaiso", -33.0472, -71.6127),
    Place("Zermatt", 46.0207, 7.7491),
)
MOODS = (
    Mood((36, 52, 110), (250, 170, 120), (48, 42, 72), (255, 236, 190)),
    Mood((70, 140, 215), (205, 230, 245), (52, 96, 74), (255, 252, 235)),
    Mood((40, 20, 60), (225, 95, 90), (36, 20, 48), (255, 196, 130)),
    Mood((12, 18, 44), (60, 84, 130), (10, 16, 30), (232, 236, 250)),
)
CAMERAS = (("Heliostat", "Demo One"), ("Heliostat", "Demo Zoom"), ("Heliostat", "Demo Phone"))


def write_demo_photos(folder: Path) -> Iterator[Path]:
    """Write one picture for each place and mood into `folder`, which exists; yields each path when it is written."""
    for number in range(len(PLACES) * len(MOODS)):
        place, mood = PLACES[number % len(PLACES)], MOODS[number // len(PLACES)]
        path = folder / f"demo-{number + 1:02d}-{place.name.lower().replace(' ', '-')}.jpg"
        sideways = number % 4 == 3
        picture = _picture(number, place, mood, upright=sideways)
        stored = picture.transpose(Image.Transpose.ROTATE_90) if sideways else picture
        stored.save(path, quality=90, exif=_exif(number, place, SIDEWAYS if sideways else 1))
        yield path


def _picture(number: int, place: Place, mood: Mood, *, upright: bool) -> Image.Image:
    """Sky, sun, three ranges of hills and a caption."""
    width, height = (HEIGHT_PX, WIDTH_PX) if upright else (WIDTH_PX, HEIGHT_PX)
    chance = np.random.default_rng(number)
    picture = Image.fromarray(_sky(width, height, mood))
    draw = ImageDraw.Draw(picture)
    left, top, radius = chance.uniform(0.2, 0.8) * width, chance.uniform(0.15, 0.5) * height, 0.06 * width
    draw.ellipse((left - radius, top - radius, left + radius, top + radius), fill=mood.sun)
    for distance in range(3):
        draw.polygon(_hills(width, height, distance, chance), fill=_mixed(mood.horizon, mood.hills, (distance + 1) / 3))
    draw.text((width * 0.05, height * 0.9), place.name, fill=mood.sun, font=ImageFont.load_default(size=72))
    return picture


def _sky(width: int, height: int, mood: Mood) -> npt.NDArray[np.uint8]:
    """uint8 (height, width, 3): from the colour at the top to the one at the horizon, and that one below it."""
    share = np.clip(np.linspace(0, 1 / HORIZON, height), 0, 1)[:, None]
    column = np.asarray(mood.top) * (1 - share) + np.asarray(mood.horizon) * share
    return np.broadcast_to(column[:, None, :], (height, width, 3)).astype(np.uint8)


def _hills(width: int, height: int, distance: int, chance: np.random.Generator) -> list[tuple[float, float]]:
    """The outline of one range, the nearer the lower, closed along the lower edge."""
    base, swing = (0.58 + 0.14 * distance) * height, (0.09 - 0.02 * distance) * height
    phases = chance.uniform(0, 2 * math.pi, 3)
    ridge = [
        (
            x,
            base
            - swing
            * sum(
                math.sin(x / width * turns * math.pi + phase) for turns, phase in zip((2, 5, 11), phases, strict=True)
            )
            / 2,
        )
        for x in range(0, width + 1, 8)
    ]
    return [*ridge, (width, height), (0, height)]


def _mixed(first: Color, second: Color, share: float) -> Color:
    red, green, blue = (round(one * (1 - share) + two * share) for one, two in zip(first, second, strict=True))
    return red, green, blue


def _exif(number: int, place: Place, orientation: int) -> Image.Exif:
    taken = (FIRST_TAKEN + number * APART).strftime("%Y:%m:%d %H:%M:%S")
    make, model = CAMERAS[number % len(CAMERAS)]
    exif = Image.Exif()
    exif.update({ExifTags.Base.Make: make, ExifTags.Base.Model: model, ExifTags.Base.Orientation: orientation})
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.DateTimeOriginal: taken,
            ExifTags.Base.ExposureTime: 1 / (60 + 20 * number),
            ExifTags.Base.FNumber: (1.8, 2.8, 5.6)[number % 3],
            ExifTags.Base.ISOSpeedRatings: 100 * (1 + number % 4),
            ExifTags.Base.FocalLength: (24.0, 35.0, 85.0)[number % 3],
        }
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N" if place.latitude >= 0 else "S",
            ExifTags.GPS.GPSLatitude: _degrees(place.latitude),
            ExifTags.GPS.GPSLongitudeRef: "E" if place.longitude >= 0 else "W",
            ExifTags.GPS.GPSLongitude: _degrees(place.longitude),
        }
    )
    return exif


def _degrees(value: float) -> tuple[float, float, float]:
    """Degrees, minutes and seconds, unsigned."""
    minutes, seconds = divmod(round(abs(value) * 3600, 2), 60)
    degrees, minutes = divmod(minutes, 60)
    return degrees, minutes, seconds
