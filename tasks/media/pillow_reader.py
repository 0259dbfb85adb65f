"""Pictures that Pillow reads: JPEG, PNG, GIF, WebP, BMP, TIFF, PSD, JPEG 2000; of each the first frame or page."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import simplejpeg
from PIL import Image, ImageFile, JpegImagePlugin
from PIL.ExifTags import Base

from tasks.media.picture import Picture, in_eight_bits
from tasks.media.renditions import size_outside
from tasks.media.request import Request

# The compressed file is held in memory; larger ones are read piece by piece.
_QUICK_LIMIT_BYTES = 64 << 20


def read_with_pillow(source: Path, pillow_format: str, request: Request) -> Picture:
    """Decode `source`; a JPEG no larger than `request` needs. Raises whatever Pillow does, and TooLarge."""
    with _pillow_rules(request.process_invalid), Image.open(source, formats=[pillow_format]) as image:
        width, height = image.size
        request.check_pixels(width, height)
        if isinstance(image, JpegImagePlugin.JpegImageFile) and request.short_edge_px is not None:
            image.draft(None, size_outside(width, height, request.short_edge_px, max(width, height)))
        request.check_decoded_pixels(*image.size)
        pixels = _quick_pixels(source, image) or _loaded(image)
        orientation = image.getexif().get(Base.Orientation, 1)  # after loading: a TIFF is turned by that, and says so
        return Picture(
            image=pixels,
            width_px=width,
            height_px=height,
            orientation=orientation if orientation in range(1, 9) else 1,
            profile=image.info.get("icc_profile"),
        )


def _quick_pixels(source: Path, image: Image.Image) -> Image.Image | None:
    """A JPEG's pixels in the size that `image` was drafted to, as RGBX; None when this is for Pillow.

    simplejpeg reads by the same library as Pillow, in one go and into the memory that is worked on: a tenth of the CPU
    of a thumbnail less. What it complains about is left to Pillow, which knows what may pass.
    """
    if image.format not in {"JPEG", "MPO"} or image.mode != "RGB" or source.stat().st_size > _QUICK_LIMIT_BYTES:
        return None
    width, height = image.size
    try:
        pixels = simplejpeg.decode_jpeg(source.read_bytes(), "RGBX", min_width=width, min_height=height)
    except ValueError:
        return None
    if pixels.shape[:2] != (height, width):
        return None
    return Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)


def _loaded(image: Image.Image) -> Image.Image:
    image.load()
    return in_eight_bits(image)


@contextmanager
def _pillow_rules(process_invalid: bool) -> Iterator[None]:
    """Our limits in place of Pillow's own, and whether damaged files pass: both are global there, so they are set for
    one call and put back."""
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, process_invalid
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata; what matters arrives as an exception
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
