"""A picture file → its thumbnails: decoded once, the preview made from that, the thumbnail from the preview.

Source: spec jobs-media §2; sizes are of the short edge, colours are carried or converted, orientation is applied.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tasks.media.color import DISPLAY_P3, SRGB, converted
from tasks.media.decode import decode
from tasks.media.picture import upright
from tasks.media.renditions import Limits, Rendered, Rendition, Thumbnails, shrunk, write_renditions
from tasks.media.request import Request

__all__ = ["Limits", "Rendered", "Rendition", "Thumbnails", "decoded", "render_image"]

_DEFAULT_LIMITS = Limits()


def render_image(
    source: Path,
    renditions: Sequence[Rendition],
    *,
    name: str,
    is_srgb: bool,
    colorspace: str = DISPLAY_P3,
    extract_embedded: bool = False,
    process_invalid: bool = False,
    limits: Limits = _DEFAULT_LIMITS,
) -> Thumbnails:
    """Make every rendition of the picture in `source`, and its hash.

    `name`: the original file name, since a stored file may have no suffix. `is_srgb`: what the metadata says of the
    source; such pictures are written as sRGB, others in `colorspace` ('srgb' or 'p3'). `extract_embedded`: use a camera
    file's own preview when it is large enough. `process_invalid`: take what can be read of damaged files.

    Raises as `decode` and `write_renditions` do.
    """
    space = SRGB if is_srgb else colorspace
    embedded_edge_px = _embedded_edge(renditions) if extract_embedded else None
    short_edge_px = _short_edge_needed(renditions)
    request = _request(source, name, short_edge_px, space, process_invalid, limits, embedded_edge_px)
    image, upright_size_px = _upright(source, name, request)
    return write_renditions(image, renditions, space, upright_size_px)


def decoded(
    source: Path,
    *,
    name: str,
    short_edge_px: int | None,
    space: str,
    extract_embedded: bool = False,
    process_invalid: bool = False,
    limits: Limits = _DEFAULT_LIMITS,
) -> Image.Image:
    """The upright picture in `space` ('srgb' or 'p3'), its short edge at most `short_edge_px` long (None: as it is).

    Raises as `decode` does.
    """
    embedded_edge_px = short_edge_px if extract_embedded else None
    request = _request(source, name, short_edge_px, space, process_invalid, limits, embedded_edge_px)
    return _upright(source, name, request)[0]


def _short_edge_needed(renditions: Sequence[Rendition]) -> int | None:
    """None when one of them keeps every pixel."""
    sizes = [rendition.size_px for rendition in renditions]
    return None if None in sizes else max((size for size in sizes if size is not None), default=None)


def _embedded_edge(renditions: Sequence[Rendition]) -> int:
    """A preview inside a camera file must be as good as the preview that is asked for."""
    return max((rendition.size_px or 0 for rendition in renditions), default=0)


def _request(
    source: Path,
    name: str,
    short_edge_px: int | None,
    space: str,
    process_invalid: bool,
    limits: Limits,
    embedded_edge_px: int | None,
) -> Request:
    label = f"{source}" if source.name == name else f"{source} ({name})"
    return Request(label, short_edge_px, space, limits, process_invalid, embedded_edge_px)


def _upright(source: Path, name: str, request: Request) -> tuple[Image.Image, tuple[int, int]]:
    """The picture as asked for, and the size of the whole one."""
    picture = decode(source, name, request)
    small = shrunk(picture.image, (picture.width_px, picture.height_px), request.short_edge_px)
    return upright(converted(small, picture.profile, request.space), picture.orientation), picture.upright_size_px
