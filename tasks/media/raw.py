"""Cameras' own formats, read by LibRaw: the preview that the camera put in when it is wanted and large enough, else
the sensor's data, at half size when that is enough."""

import io
from pathlib import Path

import rawpy
from PIL import Image
from PIL.ExifTags import Base

from cluster.errors import UnsupportedMedia
from tasks.media.color import SRGB, profile_bytes
from tasks.media.picture import Picture, in_eight_bits
from tasks.media.request import Request

_SRGB_GAMMA = (2.4, 12.92)

# LibRaw's flip, the quarter turns that make the picture upright, as EXIF's orientation.
_ORIENTATION_OF_FLIP = {0: 1, 3: 3, 5: 8, 6: 6}


def read_raw(source: Path, request: Request) -> Picture:
    """Decode `source`. Raises UnsupportedMedia when LibRaw does not know the camera, and whatever rawpy does."""
    try:
        raw = rawpy.imread(str(source))
    except rawpy.LibRawFileUnsupportedError as error:
        raise UnsupportedMedia(request.label, "LibRaw does not know this kind of camera file") from error
    with raw:
        width, height = raw.sizes.width, raw.sizes.height
        request.check_pixels(width, height)
        orientation = _ORIENTATION_OF_FLIP.get(raw.sizes.flip, 1)
        if request.embedded_edge_px is not None:
            embedded = _embedded(raw, request)
            if embedded is not None:
                image, own_orientation, profile = embedded
                return Picture(image, width, height, own_orientation or orientation, profile)
        return Picture(_developed(raw, request), width, height, orientation, profile_bytes(request.space))


def _embedded(raw: rawpy.RawPy, request: Request) -> tuple[Image.Image, int | None, bytes | None] | None:
    """(pixels, its own orientation when it has one, its profile), or None when there is none or it is too small."""
    try:
        preview = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    if preview.format != rawpy.ThumbFormat.JPEG or not isinstance(preview.data, bytes):
        return None
    try:
        image = Image.open(io.BytesIO(preview.data), formats=["JPEG"])
        if min(image.size) < (request.embedded_edge_px or 0):
            return None
        request.check_decoded_pixels(*image.size)
        image.load()
    except OSError:  # the sensor's data may still be good
        return None
    return in_eight_bits(image), image.getexif().get(Base.Orientation), image.info.get("icc_profile")


def _developed(raw: rawpy.RawPy, request: Request) -> Image.Image:
    """Sensor data → RGB in the colours that will be written, as the sensor lay."""
    width, height = raw.sizes.width, raw.sizes.height
    half_is_enough = request.short_edge_px is not None and min(width, height) // 2 >= request.short_edge_px
    request.check_decoded_pixels(width, height)
    space = rawpy.ColorSpace.sRGB if request.space == SRGB else rawpy.ColorSpace.P3D65
    pixels = raw.postprocess(
        half_size=half_is_enough, use_camera_wb=True, output_color=space, gamma=_SRGB_GAMMA, output_bps=8, user_flip=0
    )
    return Image.fromarray(pixels)
