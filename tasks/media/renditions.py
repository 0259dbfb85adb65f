"""What to make of a picture and what was made: the values, and the writing of the files.

A rendition never carries EXIF, GPS or comments of its source, only a colour profile.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from cluster.errors import NoSpace
from tasks.media.color import profile_bytes
from tasks.media.thumbhash import LONGEST_SIDE_PX, thumbhash

# What the formats' own size fields can hold.
LONGEST_SIDE_OF_FORMAT_PX: Final = {"jpeg": 65_500, "webp": 16_383}

# Opaque pixels that Pillow writes without making a copy first.
_MODES_OF_FORMAT: Final = {"jpeg": {"RGB", "RGBX"}, "webp": {"RGB"}}

# Method 2 takes half the time of libwebp's default 4 for 2 % more bytes on photos.
_WEBP_METHOD = 2

_FULL_CHROMA_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Rendition:
    """One file to make. `path`: the complete name to write to. `format`: 'jpeg' or 'webp'.
    `size_px`: length of the short edge, never enlarged; None keeps every pixel. `quality`: 1–100."""

    kind: str
    path: Path
    format: str
    size_px: int | None
    quality: int
    progressive: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """One file that was made. `is_transparent`: it has pixels that let the background through."""

    kind: str
    path: Path
    width_px: int
    height_px: int
    size_bytes: int
    is_transparent: bool
    is_progressive: bool


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """The files in the order they were asked for, the hash, and the upright size of the source."""

    files: tuple[Rendered, ...]
    thumbhash: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Where decoding stops. `max_pixels`: as the header says, before anything is allocated; `max_decoded_pixels`:
    what is held in memory, four bytes each (a JPEG shrinks while it is read, most formats do not);
    `max_file_bytes`: for decoders that want the whole file in memory; `program_timeout_s`: for each program."""

    max_pixels: int = 512_000_000
    max_decoded_pixels: int = 268_000_000
    max_file_bytes: int = 1 << 30
    program_timeout_s: float = 120.0


def size_outside(width_px: int, height_px: int, short_edge_px: int | None, longest_px: int) -> tuple[int, int]:
    """The size whose short edge is `short_edge_px`, with neither edge enlarged nor over `longest_px`."""
    scale = min(1.0, longest_px / max(width_px, height_px))
    if short_edge_px is not None:
        scale = min(scale, short_edge_px / min(width_px, height_px))
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def write_renditions(
    image: Image.Image, renditions: Sequence[Rendition], space: str, source_size_px: tuple[int, int]
) -> Thumbnails:
    """Write every rendition of `image`: upright RGB, RGBX or RGBA pixels in `space` ('srgb' or 'p3'), as large as the
    largest rendition. Each smaller one is made from the next larger. `source_size_px`: upright width and height.

    Raises NoSpace, and OSError as the disk gives it; half a file is never left behind.
    """
    made: dict[int, Rendered] = {}
    largest_first = sorted(enumerate(renditions), key=lambda item: -(item[1].size_px or 1 << 31))
    for index, rendition in largest_first:
        image = shrunk(image, source_size_px, rendition.size_px, LONGEST_SIDE_OF_FORMAT_PX[rendition.format])
        made[index] = _write(image, rendition, space)
    files = tuple(made[index] for index in range(len(renditions)))
    return Thumbnails(files, _hash(image), *source_size_px)


def shrunk(
    image: Image.Image, source_size_px: tuple[int, int], short_edge_px: int | None, longest_px: int | None = None
) -> Image.Image:
    """`image` in the size of `size_outside`; itself where it has that size, never enlarged. The size is worked out
    from the source's, so that it does not drift when one rendition is made from another."""
    size = size_outside(*source_size_px, short_edge_px, longest_px or max(source_size_px))
    if size[0] > image.width or size[1] > image.height:
        size = size_outside(*image.size, short_edge_px, longest_px or max(image.size))
    # Averaging whole blocks of pixels first, down to twice the size, shows no difference and halves the time.
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def has_transparency(image: Image.Image) -> bool:
    if image.mode != "RGBA":
        return False
    darkest, _ = image.getchannel("A").getextrema()
    assert isinstance(darkest, int | float)
    return darkest < 255


def _write(image: Image.Image, rendition: Rendition, space: str) -> Rendered:
    transparent = rendition.format == "webp" and has_transparency(image)
    if not transparent and image.mode not in _MODES_OF_FORMAT[rendition.format]:
        image = _on_black(image)
    image.info.clear()  # a comment in here would be written into the file
    rendition.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with rendition.path.open("wb") as file:
            match rendition.format:
                case "jpeg":
                    image.save(
                        file,
                        "JPEG",
                        quality=rendition.quality,
                        subsampling=_subsampling(rendition.quality),
                        progressive=rendition.progressive,
                        icc_profile=profile_bytes(space),
                    )
                case "webp":
                    image.save(
                        file,
                        "WEBP",
                        quality=rendition.quality,
                        method=_WEBP_METHOD,
                        icc_profile=profile_bytes(space),
                    )
                case unknown:
                    raise ValueError(f"no such picture format: {unknown}")
    except BaseException as error:
        rendition.path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpace(f"no space left for {rendition.path}") from error
        raise
    return Rendered(
        kind=rendition.kind,
        path=rendition.path,
        width_px=image.width,
        height_px=image.height,
        size_bytes=rendition.path.stat().st_size,
        is_transparent=transparent,
        is_progressive=rendition.progressive and rendition.format == "jpeg",
    )


def _subsampling(quality: int) -> str:
    return "4:4:4" if quality >= _FULL_CHROMA_QUALITY else "4:2:0"


def _on_black(image: Image.Image) -> Image.Image:
    """JPEG knows no alpha; what was transparent turns black, as in Immich."""
    if not has_transparency(image):
        return image.convert("RGB")
    flat = Image.new("RGB", image.size)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _hash(image: Image.Image) -> bytes:
    scale = min(1.0, LONGEST_SIDE_PX / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    small = small.convert("RGB") if small.mode == "RGBX" else small  # its fourth byte is no alpha
    return thumbhash(np.asarray(small.convert("RGBA")))
