"""Named faces that a photo program noted in the picture's XMP (MWG regions) → boxes in pixels. Pure.

Source: spec/jobs-media.md §1.6.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tasks.media.tag_values import number, text

LONGEST_SIDE_PX: Final = 1_000_000
FARTHEST: Final = 10.0
"""A box reaches a little out of its picture at most; what is farther away is junk."""


@dataclass(frozen=True, slots=True)
class NamedFace:
    """Whose face, and where: pixels of the upright picture of `image_width_px` x `image_height_px`."""

    name: str
    image_width_px: int
    image_height_px: int
    x1_px: int
    y1_px: int
    x2_px: int
    y2_px: int


def named_faces(tags: Mapping[str, Any], orientation: str | None) -> tuple[NamedFace, ...]:
    """The regions that have a name and a box; those of a file that does not say what size they apply to are none.

    `orientation`: EXIF's number, by which the regions are turned along with the picture.
    """
    info = tags.get("RegionInfo")
    if not isinstance(info, Mapping) or not isinstance(info.get("AppliedToDimensions"), Mapping):
        return ()
    size = info["AppliedToDimensions"]
    width, height = number(size.get("W")), number(size.get("H"))
    regions = info.get("RegionList")
    if not width or not height or not 1 <= min(width, height) <= max(width, height) <= LONGEST_SIDE_PX:
        return ()
    if not isinstance(regions, list):
        return ()
    return tuple(_faces(regions, int(width), int(height), int(orientation or 1)))


def _faces(regions: list[Any], width_px: int, height_px: int, orientation: int) -> Iterator[NamedFace]:
    upright = (height_px, width_px) if orientation >= 5 else (width_px, height_px)
    for region in regions:
        if not isinstance(region, Mapping) or not isinstance(area := region.get("Area"), Mapping):
            continue
        name = (text(region.get("Name")) or "").strip()
        sides = [number(area.get(side)) for side in ("X", "Y", "W", "H")]
        if not name or any(side is None or abs(side) > FARTHEST for side in sides):
            continue
        x, y, w, h = _turned(*(float(side) for side in sides if side is not None), orientation=orientation)
        edges = ((x - w / 2) * upright[0], (y - h / 2) * upright[1], (x + w / 2) * upright[0], (y + h / 2) * upright[1])
        yield NamedFace(name, *upright, *(math.floor(edge) for edge in edges))


def _turned(x: float, y: float, w: float, h: float, *, orientation: int) -> tuple[float, float, float, float]:
    """Centre and size, as fractions of the stored picture → of the upright one."""
    match orientation:
        case 2:
            return 1 - x, y, w, h
        case 3:
            return 1 - x, 1 - y, w, h
        case 4:
            return x, 1 - y, w, h
        case 5:
            return y, x, h, w
        case 6:
            return 1 - y, x, h, w
        case 7:
            return 1 - y, 1 - x, h, w
        case 8:
            return y, 1 - x, h, w
        case _:
            return x, y, w, h
