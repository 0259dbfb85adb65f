"""What a CLIP model sees of a picture: a small square, cut and scaled as in its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.ml.picture import Pixels, opened_picture

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
    """As `pixels_of`, of an upright JPEG or WebP file. Raises what `opened_picture` raises."""
    with opened_picture(path) as image:
        image.draft("RGB", (DRAFT * view.side_px, DRAFT * view.side_px))
        return pixels_of(image.convert("RGB"), view)


def pixels_of(image: Image.Image, view: View) -> Pixels:
    """uint8 (side, side, 3) of an RGB picture."""
    left, top, width, height = 0.0, 0.0, float(image.width), float(image.height)
    if not view.squash:
        short = min(width, height)
        left, top, width, height = (width - short) / 2, (height - short) / 2, short, short
    square = image.resize((view.side_px, view.side_px), view.resampling, box=(left, top, left + width, top + height))
    return np.asarray(square)
