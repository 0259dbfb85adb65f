"""Colour profiles: the two that our pictures carry, and conversion into them.

Both are matrix profiles written here, byte for byte the same everywhere, since profiles found on disks have licences.
"""

import io
import struct
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

SRGB: Final = "srgb"
DISPLAY_P3: Final = "p3"

# Red, green and blue of each space as XYZ adapted to D50 (Bradford). IEC 61966-2-1 and SMPTE EG 432-1 with D65 white.
_COLORANTS = {
    SRGB: ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    DISPLAY_P3: ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
}
_NAMES = {SRGB: "sRGB", DISPLAY_P3: "Display P3"}
_D50 = (0.96420, 1.0, 0.82491)
_D65_TO_D50 = (1.04788, 0.02292, -0.05022, 0.02959, 0.99048, -0.01706, -0.00923, 0.01508, 0.75168)
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)

# What a profile calls the pixels of each of Pillow's modes.
_KIND_OF_MODE = {"L": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "LAB": "Lab"}

# Two profiles are one space when no colour of the probe moves further than rounding does.
_SAME_SPACE_TOLERANCE = 2


@lru_cache(maxsize=2)
def profile_bytes(space: str) -> bytes:
    """The ICC profile (version 4) of `space`: 'srgb' or 'p3'. Raises KeyError for another."""
    red, green, blue = (_xyz(colorant) for colorant in _COLORANTS[space])
    curve = b"para" + struct.pack(">IHH", 0, 3, 0) + _fixed(*_SRGB_CURVE)
    tags = {
        b"desc": _text(_NAMES[space]),
        b"cprt": _text("CC0"),
        b"wtpt": _xyz(_D50),
        b"chad": b"sf32" + bytes(4) + _fixed(*_D65_TO_D50),
        b"rXYZ": red,
        b"gXYZ": green,
        b"bXYZ": blue,
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _assemble(tags)


def _assemble(tags: dict[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    body, table, places = b"", struct.pack(">I", len(tags)), dict[bytes, int]()
    for signature, data in tags.items():
        if data not in places:  # the three curves are one
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += signature + struct.pack(">II", places[data], len(data))
    header = struct.pack(">I4xI", start + len(body), 0x04300000) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2026, 11, 24, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*_D50) + bytes(48)
    return header + table + body


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(*values)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">III", 0, 1, 12) + b"enUS" + struct.pack(">II", len(encoded), 28) + encoded


def converted(image: Image.Image, source_profile: bytes | None, space: str) -> Image.Image:
    """`image` as RGB, RGBX or RGBA pixels of `space` ('srgb' or 'p3'). `image`: one of those, L, CMYK or LAB.

    No profile, a broken one, or one of another kind than the pixels (RGB on grey) reads as sRGB. Nothing is computed
    where the source's colours already are those of `space`. May return `image` itself.
    """
    mode = "RGB" if image.mode == "RGBX" else image.mode
    if not _fits(source_profile, mode):
        if mode not in {"RGB", "RGBA", "LAB"}:
            image, mode = image.convert("RGB"), "RGB"
        source_profile = b"" if mode == "LAB" else profile_bytes(SRGB)
    assert source_profile is not None
    transform = _transform(source_profile, mode, space)
    if transform is None:
        return image
    result = ImageCms.applyTransform(image if image.mode == mode else image.convert(mode), transform)
    assert result is not None
    return result


@lru_cache(maxsize=16)
def _fits(profile: bytes | None, mode: str) -> bool:
    """Whether `profile` opens and speaks of pixels of this kind."""
    opened = _open(profile) if profile else None
    return opened is not None and opened.profile.xcolor_space.strip() == _KIND_OF_MODE[mode]


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str, space: str) -> ImageCms.ImageCmsTransform | None:
    """From `profile` (empty: CIE L*a*b*) to `space`; None where it would change nothing."""
    source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")) if mode == "LAB" else _open(profile)
    target = _open(profile_bytes(space))
    assert source is not None
    assert target is not None
    result_mode = "RGBA" if mode == "RGBA" else "RGB"
    if mode == result_mode and _changes_nothing(source, target):
        return None
    return ImageCms.buildTransform(source, target, mode, result_mode, ImageCms.Intent.RELATIVE_COLORIMETRIC)


def _changes_nothing(source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile) -> bool:
    """Judged by what happens to colours: names of profiles lie, and every maker writes its own sRGB."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(27, 27, 3)
    probe = ImageCms.buildTransform(source, target, "RGB", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    moved = ImageCms.applyTransform(Image.fromarray(cube), probe)
    return int(np.abs(np.asarray(moved).astype(np.int16) - cube).max()) <= _SAME_SPACE_TOLERANCE


def _open(profile: bytes) -> ImageCms.ImageCmsProfile | None:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (ImageCms.PyCMSError, OSError):
        return None
