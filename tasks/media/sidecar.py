"""XMP sidecars: where one may lie beside an original, and how what a person said is written into one.

Source: spec/pipeline.md §5.
"""

import html
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tasks.media.dates import moment_at

WRITABLE: Final = frozenset(
    {"description", "date_time_original", "time_zone", "latitude", "longitude", "rating", "tags"},
)
"""What a sidecar of ours says, as columns of `asset_exif`. A lens is lockable, too, but stays in the database."""


def sidecar_to_write(original: Path, linked: Path | None) -> Path:
    """Where a sidecar of `original` is written."""
    return linked or Path(f"{original}.xmp")


def find_sidecar(original: Path, linked: Path | None, roots: Sequence[Path]) -> Path | None:
    """The first readable candidate: the linked one, `a.jpg.xmp`, `a.xmp`. A link that leads out of `roots` is none."""
    candidates = [linked, Path(f"{original}.xmp"), original.with_suffix(".xmp")]
    return next((path for path in candidates if path is not None and is_readable(path, roots)), None)


def is_readable(path: Path, roots: Sequence[Path]) -> bool:
    """Whether `path` is a file that may be read, and lies below one of `roots` even when links are followed."""
    try:
        real = path.resolve(strict=True)
        is_file = stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError):  # gone, not allowed, or links in a circle
        return False
    return is_file and os.access(real, os.R_OK) and any(real.is_relative_to(root.resolve()) for root in roots)


def assignments(values: Mapping[str, Any]) -> list[str]:
    """exiftool's arguments that put `values` (columns of `WRITABLE`) into an XMP file; they go with its option `-E`.

    A date goes with its zone, so `time_zone` alone says nothing.
    """
    return [f"-{tag}{sign}={_escaped(value)}" for tag, sign, value in _tags(values)]


def _tags(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Tag, a sign before `=`, value. `^` leaves an empty value where there would be none: it hides the original's."""
    if "description" in values:
        text = str(values["description"] or "")
        for tag in ("XMP-dc:Description", "XMP-tiff:ImageDescription"):
            yield tag, "" if text else "^", text
    if values.get("date_time_original") is not None:
        yield "XMP-exif:DateTimeOriginal", "", date_with_zone(values["date_time_original"], values.get("time_zone"))
    for name, tag in (("latitude", "XMP-exif:GPSLatitude"), ("longitude", "XMP-exif:GPSLongitude")):
        if name in values:
            yield tag, "", "" if values[name] is None else repr(float(values[name]))
    if "rating" in values:
        yield "XMP-xmp:Rating", "", str(values["rating"] or 0)
    if "tags" in values:
        for tag in values["tags"] or [""]:
            yield "XMP-digiKam:TagsList", "", tag


def date_with_zone(instant: datetime, zone: str | None) -> str:
    """`2023-12-24T23:37:54.037+02:00`: the clock on the wall and its distance from UTC; without a zone, UTC's alone."""
    wall = moment_at(instant, zone).local
    text = wall.replace(tzinfo=None).isoformat(timespec="milliseconds" if wall.microsecond else "seconds")
    if zone is None:
        return text
    minutes = round((wall - instant).total_seconds() / 60)
    return f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _escaped(value: str) -> str:
    """An argument stands on one line, and its outer blanks are dropped: both go as character references."""
    escaped = html.escape(value, quote=False).replace("\r", "&#13;").replace("\n", "&#10;")
    inner = escaped.strip()
    before = len(escaped) - len(escaped.lstrip())
    return "&#32;" * before + inner + "&#32;" * (len(escaped) - before - len(inner)) if inner else escaped
