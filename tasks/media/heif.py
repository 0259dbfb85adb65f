"""HEIC and AVIF. libheif reads HEIC; our libheif has no AV1 decoder, so imagecodecs' libavif reads AVIF."""

from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

from tasks.media.boxes import PrimaryItem, read_primary_item
from tasks.media.color import DISPLAY_P3, profile_bytes
from tasks.media.hdr import DISPLAY_P3_PRIMARIES, is_hdr, tone_mapped
from tasks.media.picture import Picture, in_eight_bits, samples_in_eight_bits
from tasks.media.request import Request

# EXIF's orientation after n quarter turns anticlockwise; then also with top and bottom, or left and right, exchanged.
_TURNED = (1, 8, 3, 6)
_THEN_MIRRORED = {0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}


def read_heic(source: Path, request: Request) -> Picture:
    """Decode with libheif, which turns the picture as its container says. Raises BrokenBoxes when the file is cut
    short, and whatever pillow-heif does."""
    if not request.process_invalid:
        read_primary_item(source)
    pillow_heif.options.DECODE_THREADS = 1  # a job owns the cores that it asked for, no more
    heif_file = pillow_heif.open_heif(source, convert_hdr_to_8bit=True)
    width, height = heif_file.size
    request.check_pixels(width, height)
    request.check_decoded_pixels(width, height)
    image = in_eight_bits(heif_file.to_pillow())
    return Picture(image, width, height, profile=heif_file.info.get("icc_profile"))


def read_avif(source: Path, request: Request) -> Picture:
    """Decode with libavif, which leaves turning to us; HDR is tone-mapped. Raises as `read_heic`."""
    item = read_primary_item(source)
    request.check_pixels(item.width_px, item.height_px)
    request.check_decoded_pixels(item.width_px, item.height_px)
    samples = imagecodecs.avif_decode(request.read_bytes(source), index=0, numthreads=1)
    height, width = samples.shape[:2]
    image, profile = _displayable(samples, item)
    return Picture(image, width, height, _orientation(item), profile)


def _displayable(samples: NDArray[np.generic], item: PrimaryItem) -> tuple[Image.Image, bytes | None]:
    """Pixels, and the profile that they are in."""
    if item.profile is None and is_hdr(item.transfer) and samples.ndim == 3:
        return Image.fromarray(tone_mapped(samples, item.bits, item.transfer, item.primaries)), profile_bytes(
            DISPLAY_P3
        )
    image = Image.fromarray(samples_in_eight_bits(samples, item.bits).squeeze())
    if item.profile is None and item.primaries == DISPLAY_P3_PRIMARIES:
        return in_eight_bits(image), profile_bytes(DISPLAY_P3)
    return in_eight_bits(image), item.profile


def _orientation(item: PrimaryItem) -> int:
    if item.mirror is None:
        return _TURNED[item.turns_left]
    return _THEN_MIRRORED[item.mirror][item.turns_left]
