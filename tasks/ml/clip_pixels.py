"""What a CLIP model sees of a picture: a small square, cut and scaled as in its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cluster.errors import SourceMissing, TooLarge, UnreadableImage

Pixels = NDArray[np.uint8]

MOST_PIXELS = 200_000_000
"""A preview has some two million; this is a panorama's."""
FORMATS = ("JPEG", "WEBP")
"""What previews are written as."""
DRAFT = 2
"""A JPEG is decoded at the smallest of its scales that has so many times the square's side: less would be blurred."""

RESAMPLING: Mapping[str, Image.Resampling] = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}


@dataclass(frozen=True, slots=True)
class View:
    """`squash`: the whole picture is pressed into the square; otherwise the middle of it is cut out."""

    side_px: int
    resampling: Image.Resampling
    squash: bool


def pixels_of_file(path: Path, view: View) -> Pixels:
    """As `pixels_of`, of an upright JPEG or WebP file. Raises SourceMissing, UnreadableImage and TooLarge: no retry
    will help. What the disk refuses is raised as it is."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise TooLarge(path, f"{image.width} x {image.height} are more than {MOST_PIXELS} pixels")
            image.draft("RGB", (DRAFT * view.side_px, DRAFT * view.side_px))
            return pixels_of(image.convert("RGB"), view)
    except FileNotFoundError as error:
        raise SourceMissing(path, "the preview is not on disk") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise UnreadableImage(path, str(error)) from error
    except OSError as error:
        if error.errno is not None:  # the disk, not the picture
            raise
        raise UnreadableImage(path, str(error)) from error


def pixels_of(image: Image.Image, view: View) -> Pixels:
    """uint8 (side, side, 3) of an RGB picture."""
    left, top, width, height = 0.0, 0.0, float(image.width), float(image.height)
    if not view.squash:
        short = min(width, height)
        left, top, width, height = (width - short) / 2, (height - short) / 2, short, short
    square = image.resize((view.side_px, view.side_px), view.resampling, box=(left, top, left + width, top + height))
    return np.asarray(square)
