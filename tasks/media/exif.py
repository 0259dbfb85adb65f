"""Tags of a picture or video → the facts that a library keeps. Pure: tags in, values out.

What a file says may be wrong in any way; a value that is not of the expected kind is absent, never an error.
Source: spec jobs-media §1.1 (which source wins) and §1.2 (which tag becomes which fact).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tasks.media.dates import DATE_TAGS, Moment, moment, moment_at, read_dates, zone_without_date
from tasks.media.formats import is_heif_family, is_video, may_be_animated
from tasks.media.tag_values import number, position, present, text

Tags = Mapping[str, Any]

# A HEIF container counts quarter turns against the clock; EXIF's numbers say how to turn it back.
_ORIENTATION_OF_HEIF_TURNS: Final = {0: 1, 1: 8, 2: 3, 3: 6}
_ON_ITS_SIDE: Final = frozenset({"5", "6", "7", "8"})
_BIT_DEPTH_TAGS: Final = ("BitsPerSample", "ComponentBitDepth", "ImagePixelDepth", "BitDepth", "ColorBitDepth")


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """What ffprobe says of the chosen video stream. `orientation` is EXIF's number, 1–8; `fps` frames a second."""

    duration_s: float | None = None
    width_px: int | None = None
    height_px: int | None = None
    orientation: int | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class FileStat:
    """What the disk says of the file, and when the asset's row says it was made. `birth_at`: None where unknown."""

    size_bytes: int
    modified_at: datetime
    birth_at: datetime | None
    file_created_at: datetime


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """Everything extraction learns. The first block is for the asset's row, the second is `asset_exif` by column name.

    `taken_at` is an instant in UTC, `local_date_time` the clock on the wall as if UTC. `width_px` and `height_px` are
    upright, `image_width_px` and `image_height_px` as stored. `exposure_time` is text such as `1/250`.
    """

    taken_at: datetime
    local_date_time: datetime
    file_modified_at: datetime
    width_px: int | None
    height_px: int | None
    duration_ms: int | None

    file_size_bytes: int
    make: str | None
    model: str | None
    lens_model: str | None
    image_width_px: int | None
    image_height_px: int | None
    orientation: str | None
    date_time_original: datetime
    modify_date: datetime
    time_zone: str | None
    latitude: float | None
    longitude: float | None
    f_number: float | None
    focal_length: float | None
    iso: int | None
    exposure_time: str | None
    fps: float | None
    description: str
    rating: int | None
    projection_type: str | None
    profile_description: str | None
    colorspace: str | None
    bits_per_sample: int | None
    live_photo_cid: str | None
    auto_stack_id: str | None
    tags: tuple[str, ...]


def extract_facts(
    original: Tags, sidecar: Tags | None, video: VideoSummary | None, file: FileStat, *, name: str
) -> ExifFacts:
    """The facts of one asset. `name`: the original file name, whose extension decides on HEIF and animation."""
    tags = merged_tags(original, sidecar, video, name=name)
    taken = _moment(original, sidecar, file)
    orientation = _orientation(tags)
    width, height = _size(tags)
    upright = (height, width) if orientation in _ON_ITS_SIDE else (width, height)
    place = position(tags)
    return ExifFacts(
        taken_at=taken.taken_at,
        local_date_time=taken.local,
        file_modified_at=file.modified_at,
        width_px=upright[0],
        height_px=upright[1],
        duration_ms=_milliseconds(tags.get("Duration")),
        file_size_bytes=file.size_bytes,
        make=_words(tags, "Make", "Device.Manufacturer", "AndroidMake", "DeviceManufacturer"),
        model=_words(tags, "Model", "Device.ModelName", "AndroidModel", "DeviceModelName"),
        lens_model=_lens(tags),
        image_width_px=width,
        image_height_px=height,
        orientation=orientation,
        date_time_original=taken.taken_at,
        modify_date=file.modified_at,
        time_zone=taken.zone,
        latitude=place[0] if place else None,
        longitude=place[1] if place else None,
        f_number=number(present(tags, "FNumber")),
        focal_length=number(present(tags, "FocalLength")),
        iso=_whole(number(present(tags, "ISO"))),
        exposure_time=_words(tags, "ExposureTime"),
        fps=(video.fps if video else None) or number(present(tags, "VideoFrameRate")),
        description=(_words(tags, "ImageDescription", "Description") or ""),
        rating=_rating(tags),
        projection_type=(_words(tags, "ProjectionType") or "").upper() or None,
        profile_description=_words(tags, "ProfileDescription"),
        colorspace=_words(tags, "ColorSpace"),
        bits_per_sample=_bits_per_sample(tags),
        live_photo_cid=_words(tags, "ContentIdentifier", "MediaGroupUUID"),
        auto_stack_id=_words(tags, "BurstID", "BurstUUID", "CameraBurstID", "MediaUniqueID"),
        tags=_tag_list(tags),
    )


def merged_tags(original: Tags, sidecar: Tags | None, video: VideoSummary | None, *, name: str) -> dict[str, Any]:
    """Original < ffprobe < sidecar, after each has lost what it must not say. Dates are merged by `dates`."""
    tags = {key: value for key, value in original.items() if key not in DATE_TAGS}
    if is_heif_family(name):
        turns = number(tags.get("Rotation"))
        tags["Orientation"] = _ORIENTATION_OF_HEIF_TURNS.get(int(turns)) if turns is not None else None
    if video is not None or not (may_be_animated(name) or is_video(name)):
        tags.pop("Duration", None)
    if video is not None:
        said = {
            "Duration": video.duration_s,
            "ImageWidth": video.width_px,
            "ImageHeight": video.height_px,
            "Orientation": video.orientation,
        }
        tags |= {key: value for key, value in said.items() if value is not None}
    # The sidecar's own file type is not the photo's.
    about_the_file = {"Duration", "MIMEType", "SourceFile", "Warning", "Error", *DATE_TAGS}
    return tags | {key: value for key, value in (sidecar or {}).items() if key not in about_the_file}


def _moment(original: Tags, sidecar: Tags | None, file: FileStat) -> Moment:
    dated, beside = read_dates(original), read_dates(sidecar) if sidecar else None
    known = moment(dated, beside)
    if known is not None:
        return known
    # Some file systems answer 1970 when they do not know the time of birth.
    born = [file.birth_at] if file.birth_at is not None and file.birth_at.timestamp() != 0 else []
    earliest = moment_at(min([file.file_created_at, file.modified_at, *born]), None)
    return Moment(earliest.taken_at, earliest.local, zone_without_date(dated, beside))


def _words(tags: Tags, *names: str) -> str | None:
    """The first of these tags that says something, as trimmed text."""
    words = text(present(tags, *names))
    return words.strip() or None if words is not None else None


def _lens(tags: Tags) -> str | None:
    lens = _words(tags, "LensID", "LensType", "LensSpec", "LensModel")
    return None if lens is None or lens == "----" or lens.startswith("Unknown") else lens


def _size(tags: Tags) -> tuple[int | None, int | None]:
    """(width, height) in pixels as stored; both or neither."""
    composite = re.fullmatch(r"(\d{1,9})[x ](\d{1,9})", str(tags.get("ImageSize", "")))
    if composite and int(composite[1]) and int(composite[2]):
        return int(composite[1]), int(composite[2])
    width, height = _whole(number(tags.get("ImageWidth"))), _whole(number(tags.get("ImageHeight")))
    return (width, height) if width and height and width > 0 and height > 0 else (None, None)


def _orientation(tags: Tags) -> str | None:
    value = number(tags.get("Orientation"))
    return str(int(value)) if value is not None and value in range(1, 9) else None


def _milliseconds(seconds: Any) -> int | None:
    value = number(seconds)
    return round(value * 1000) if value is not None and value >= 0 else None


def _whole(value: float | None) -> int | None:
    return math.floor(value + 0.5) if value is not None else None


def _rating(tags: Tags) -> int | None:
    value = number(present(tags, "Rating"))
    return _whole(value) if value is not None and 1 <= value <= 5 else None


def _bits_per_sample(tags: Tags) -> int | None:
    """Bits of one channel. `8 8 8` counts as 8; a number for all three channels together is divided."""
    for name in _BIT_DEPTH_TAGS:
        leading = re.match(r"\s*(\d{1,4})", str(present(tags, name)))
        if leading:
            bits = int(leading[1])
            return bits // 3 if bits >= 24 and bits % 3 == 0 else bits
    return None


def _tag_list(tags: Tags) -> tuple[str, ...]:
    """Each tag as a path with `/` between parent and child, in the file's order, none twice."""
    for name in ("TagsList", "HierarchicalSubject", "Keywords"):
        value = tags.get(name)
        words = [text(item) for item in (value if isinstance(value, list) else [value])]
        said = [word.strip() for word in words if word is not None and word.strip()]
        if name == "HierarchicalSubject":
            said = [word.replace("/", "\0").replace("|", "/").replace("\0", "|") for word in said]
        if said:
            return tuple(dict.fromkeys(said))
    return ()
