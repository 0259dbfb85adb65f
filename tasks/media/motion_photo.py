"""The video inside a motion photo: which tags tell of one, and its bytes on their own.

Source: spec/jobs-media.md §1.4.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.media.exiftool import ExifTool
from tasks.media.tag_values import number

logger = logging.getLogger(__name__)

_PIECE_BYTES: Final = 1 << 20
_MP4_MARK: Final = b"ftyp"


@dataclass(frozen=True, slots=True)
class MotionSource:
    """Where the video is: the value of `tag`, or (None) `length_bytes` that end `padding_bytes` before the end."""

    tag: str | None
    length_bytes: int = 0
    padding_bytes: int = 0


def motion_source(tags: Mapping[str, Any]) -> MotionSource | None:
    """None for a photo that does not say it moves, or not where its video is."""
    if not (number(tags.get("MotionPhoto")) or number(tags.get("MicroVideo"))):
        return None
    if "MotionPhotoVideo" in tags:
        return MotionSource("MotionPhotoVideo")
    if tags.get("EmbeddedVideoType") == "MotionPhoto_Data" and "EmbeddedVideoFile" in tags:
        return MotionSource("EmbeddedVideoFile")
    length, padding = _in_container(tags)
    offset = number(tags.get("MicroVideoOffset"))
    if number(tags.get("MicroVideo")) and offset:
        length = int(offset)
    return MotionSource(None, length, padding) if length > 0 else None


def _in_container(tags: Mapping[str, Any]) -> tuple[int, int]:
    """(length, padding) of Google's container directory; exiftool has called that tag by two names."""
    for name in ("ContainerDirectory", "Directory"):
        entries = tags.get(name)
        for entry in entries if isinstance(entries, list) else ():
            item = entry.get("Item") if isinstance(entry, Mapping) else None
            if isinstance(item, Mapping) and item.get("Semantic") == "MotionPhoto":
                return int(number(item.get("Length")) or 0), max(0, int(number(item.get("Padding")) or 0))
    return 0, 0


def extract_motion(exiftool: ExifTool, photo: Path, source: MotionSource, to: Path) -> bool:
    """Write the video to the file `to`. False, and no file, when it is not where the tags say, or no MP4 at all.

    Raises ProgramTimeout, OSError.
    """
    written = exiftool.extract(photo, source.tag, to) if source.tag is not None else _copy_end(photo, source, to)
    if written and not _is_mp4(to):
        logger.warning("%s says that it moves, but what it holds is no MP4", photo)
        to.unlink()
        return False
    return written


def _copy_end(photo: Path, source: MotionSource, to: Path) -> bool:
    start = photo.stat().st_size - source.length_bytes - source.padding_bytes
    if start <= 0:
        logger.warning("%s says that its video is longer than the file", photo)
        return False
    left_bytes = source.length_bytes
    with photo.open("rb") as file, to.open("wb") as video:
        file.seek(start)
        while left_bytes and (piece := file.read(min(left_bytes, _PIECE_BYTES))):
            video.write(piece)
            left_bytes -= len(piece)
    return True


def _is_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[4:8] == _MP4_MARK
