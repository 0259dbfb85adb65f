"""Pictures made on the spot, with a known answer in each corner, for the tests of this folder."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.media.image import Rendition

# Top left, top right, bottom left, bottom right of every picture made here.
CORNERS = ((230, 30, 30), (30, 200, 30), (30, 30, 220), (220, 210, 40))


def quarters(width: int = 64, height: int = 48) -> NDArray[np.uint8]:
    """uint8 (height, width, 3): four even fields, so that turning, mirroring and wrong channels show."""
    pixels = np.empty((height, width, 3), np.uint8)
    top, left = slice(None, height // 2), slice(None, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    pixels[top, left], pixels[top, right], pixels[bottom, left], pixels[bottom, right] = CORNERS
    return pixels


def corners_of(image: Image.Image) -> list[tuple[int, ...]]:
    """The colours of the four fields, as far from each other's edge as can be."""
    rgb = np.asarray(image.convert("RGB"))
    height, width = rgb.shape[:2]
    y, x = max(1, height // 8), max(1, width // 8)
    return [tuple(int(v) for v in rgb[at]) for at in ((y, x), (y, -1 - x), (-1 - y, x), (-1 - y, -1 - x))]


def are_corners(image: Image.Image, tolerance: int = 12, order: tuple[int, ...] = (0, 1, 2, 3)) -> bool:
    """Whether the fields of `quarters` lie in this order, whatever a lossy format did to them."""
    found = np.array(corners_of(image))
    return bool((np.abs(found - np.array(CORNERS)[list(order)]) <= tolerance).all())


def save(path: Path, pixels: NDArray[Any] | Image.Image, picture_format: str, **options: Any) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, picture_format, **options)
    return path


def preview(folder: Path, size_px: int | None = 1440, **changes: Any) -> Rendition:
    return Rendition(
        **{"kind": "preview", "path": folder / "p", "format": "jpeg", "size_px": size_px, "quality": 95} | changes
    )


def thumbnail(folder: Path, size_px: int | None = 250, **changes: Any) -> Rendition:
    return Rendition(
        **{"kind": "thumbnail", "path": folder / "t", "format": "webp", "size_px": size_px, "quality": 90} | changes
    )
