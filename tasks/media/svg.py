"""SVG, drawn by resvg, which runs no scripts and knows no network. It would open files that a drawing names, and those
could be somebody else's, so every reference that leaves the drawing is taken out first."""

import io
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import resvg_py
from PIL import Image

from cluster.errors import TooLarge
from tasks.media.picture import Picture, in_eight_bits
from tasks.media.renditions import size_outside
from tasks.media.request import Request

_LIMIT_BYTES = 32 << 20
_PIXELS_PER_UNIT = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
_LENGTH = re.compile(r"\s*(\d*\.?\d+(?:[eE][+-]?\d+)?)\s*([a-z]*)\s*")
_SIDE_WITHOUT_SIZE_PX = 100.0


def read_svg(source: Path, request: Request) -> Picture:
    """Draw `source` in its own size, smaller where less is needed. Raises ParseError, ValueError, TooLarge."""
    if source.stat().st_size > _LIMIT_BYTES:
        raise TooLarge(request.label, f"a drawing of more than {_LIMIT_BYTES} bytes")
    root = ElementTree.fromstring(source.read_bytes())  # noqa: S314 - expat bounds entity expansion and fetches nothing
    if not root.tag.endswith("svg"):
        raise ValueError(f"not a drawing but <{root.tag}>")
    _remove_references(root)
    width, height = _size(root)
    request.check_pixels(width, height)
    drawn = size_outside(width, height, request.short_edge_px, max(width, height))
    request.check_decoded_pixels(*drawn)
    root.set("width", str(drawn[0]))
    root.set("height", str(drawn[1]))
    if root.get("viewBox") is None:
        root.set("viewBox", f"0 0 {width} {height}")
    png = resvg_py.svg_to_bytes(svg_string=ElementTree.tostring(root, encoding="unicode"))
    with Image.open(io.BytesIO(bytes(png)), formats=["PNG"]) as image:
        image.load()
        return Picture(in_eight_bits(image), width, height)


def _remove_references(root: ElementTree.Element) -> None:
    """Keep links within the drawing and data that it carries itself."""
    for element in root.iter():
        for attribute in [name for name in element.attrib if name.rpartition("}")[2] == "href"]:
            if not element.attrib[attribute].strip().startswith(("#", "data:")):
                del element.attrib[attribute]


def _size(root: ElementTree.Element) -> tuple[int, int]:
    """Natural width and height in pixels, at 96 to the inch."""
    box = [float(number) for number in re.findall(r"-?\d*\.?\d+(?:[eE][+-]?\d+)?", root.get("viewBox", ""))]
    box_width, box_height = (box[2], box[3]) if len(box) == 4 else (_SIDE_WITHOUT_SIZE_PX, _SIDE_WITHOUT_SIZE_PX)
    width, height = _pixels(root.get("width")), _pixels(root.get("height"))
    if width is None and height is None:
        width, height = box_width, box_height
    elif width is None:
        assert height is not None
        width = height * box_width / box_height if box_height else height
    elif height is None:
        height = width * box_height / box_width if box_width else width
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise ValueError(f"a drawing of {width:g} x {height:g}")
    return max(1, round(width)), max(1, round(height))


def _pixels(length: str | None) -> float | None:
    """A length in pixels; None for none, and for percentages and fonts' units, which depend on where it is shown."""
    found = _LENGTH.fullmatch(length or "")
    return float(found[1]) * _PIXELS_PER_UNIT[found[2]] if found and found[2] in _PIXELS_PER_UNIT else None
