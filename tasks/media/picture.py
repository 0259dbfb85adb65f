"""A decoded picture on its way from a decoder to its renditions."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class Picture:
    """`image`: L, RGB, RGBX, RGBA, CMYK or LAB, perhaps already smaller than the source; `orientation`: EXIF's 1–8, not
    yet applied; `width_px`, `height_px`: of the source, likewise not yet turned."""

    image: Image.Image
    width_px: int
    height_px: int
    orientation: int = 1
    profile: bytes | None = None

    @property
    def upright_size_px(self) -> tuple[int, int]:
        turned = self.orientation >= 5
        return (self.height_px, self.width_px) if turned else (self.width_px, self.height_px)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply EXIF's orientation; a number outside 1–8 means nothing."""
    transpose = _TRANSPOSE.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def in_eight_bits(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as L, RGB, RGBA, CMYK or LAB. Deeper samples are scaled, where Pillow itself would clip."""
    match image.mode:
        case "RGB" | "L" if "transparency" in image.info:
            return image.convert("RGBA")
        case "L" | "RGB" | "RGBA" | "CMYK" | "LAB":
            return image
        case "1":
            return image.convert("L")
        case "P" | "PA":
            return image.convert("RGBA" if image.has_transparency_data else "RGB")
        case "LA" | "La" | "RGBa":
            return image.convert("RGBA")
        case "I" | "F" | "I;16" | "I;16B" | "I;16L" | "I;16N":
            return Image.fromarray(samples_in_eight_bits(np.asarray(image)))
        case _:
            return image.convert("RGB")


def samples_in_eight_bits(samples: NDArray[np.generic], bits: int | None = None) -> NDArray[np.uint8]:
    """Scale samples to uint8, same shape. `bits`: how many of an integer's count; None reads it off the type, and for
    32-bit integers and floats off the brightest sample (0–1, 0–255, 0–65535, or what the file holds)."""
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    if bits is None and samples.dtype == np.uint16:
        bits = 16
    if bits is not None:
        shift = max(0, bits - 8)
        high: NDArray[np.uint8] = np.minimum(samples.astype(np.uint32) >> shift, 255).astype(np.uint8)
        return high
    values = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    brightest = float(values.max(initial=0))
    known = [limit for limit in (1.0, 255.0, 65535.0) if brightest <= limit]
    full = (known[0] if samples.dtype.kind == "f" else max(known[0], 255.0)) if known else brightest
    scaled: NDArray[np.uint8] = np.clip(values * (255 / full) + 0.5, 0, 255).astype(np.uint8)
    return scaled
