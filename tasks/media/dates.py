"""When a picture was taken, and in which time zone, out of what its tags say. Pure.

Rules: spec jobs-media §1.2. Where it is silent, facts about exiftool-vendored (MIT), which Immich reads tags with.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import tzfpy

from tasks.media.tag_values import position, present, text

DATE_TAGS: Final = (
    "SubSecDateTimeOriginal",
    "SubSecCreateDate",
    "DateTimeOriginal",
    "CreationDate",
    "CreateDate",
    "MediaCreateDate",
    "DateTimeCreated",
    "GPSDateTime",
    "DateTimeUTC",
    "SonyDateTime2",
    "SourceImageCreateTime",
)
_ZONE_TAGS = ("TimeZone", "OffsetTimeOriginal", "OffsetTimeDigitized", "OffsetTime", "TimeZoneOffset")
_UTC_TAGS = ("GPSDateTime", "DateTimeUTC")
_CAMERA_TAGS = tuple(tag for tag in DATE_TAGS if tag not in _UTC_TAGS)

_DATE_TIME = re.compile(
    r"(\d{4})[:/-](\d\d?)[:/-](\d\d?)[ T]+(\d\d?):(\d\d?)(?::(\d\d?)(?:[.,](\d+))?)?\s*([A-Za-z+-].*)?", re.ASCII
)
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-]?)(\d\d?)(?::?(\d\d))?(?:\s*DST)?", re.ASCII | re.IGNORECASE)
_LARGEST_OFFSET = timedelta(hours=14)  # Kiribati
_QUARTER_HOUR = timedelta(minutes=15)  # every zone's offset is a multiple


@dataclass(frozen=True, slots=True)
class Stamp:
    """A date tag's value. `offset` is what it says itself; `zone` then tells how to read it (None: not known)."""

    wall: datetime
    offset: tzinfo | None
    raw: str
    zone: tzinfo | None = None

    def instant(self) -> datetime:
        """As UTC; a wall-clock time of no known zone is taken for UTC. Raises OverflowError at the ends of time."""
        return self.wall.replace(tzinfo=self.offset or self.zone or UTC).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Dated:
    """What one file's tags say of time: the first usable date, and the zone (`Europe/Paris`, `UTC+2`, `UTC`)."""

    stamp: Stamp | None
    zone: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """`taken_at`: the instant, in UTC. `local`: the clock on the wall there, as if it were UTC. `zone`: its name."""

    taken_at: datetime
    local: datetime
    zone: str | None


def read_dates(tags: Mapping[str, Any]) -> Dated:
    """The first usable date of one file and its zone."""
    video = str(tags.get("MIMEType", "")).startswith("video/")
    zone = _find_zone(tags, video)
    return Dated(_first_stamp(tags, zone, video), zone)


def moment(original: Dated, sidecar: Dated | None) -> Moment | None:
    """When the picture was taken; None without any date. A sidecar with a date replaces date and zone, one with only
    a zone replaces that. Source: spec jobs-media §1.1."""
    source = sidecar if sidecar is not None and sidecar.stamp is not None else original
    zone = source.zone if source is sidecar else zone_without_date(original, sidecar)
    stamp = source.stamp
    if stamp is None:
        return None
    if zone is None and stamp.raw.endswith(("Z", "+00:00")):
        zone = "UTC+0"
    return moment_at(stamp.instant(), zone)


def zone_without_date(original: Dated, sidecar: Dated | None) -> str | None:
    """The zone of a picture that has no date."""
    return (sidecar.zone if sidecar else None) or original.zone


def moment_at(instant: datetime, zone: str | None) -> Moment:
    """The moment of a known instant. `zone` None: the wall clock shows UTC."""
    try:
        wall = instant.astimezone(_zone_of(zone) or UTC)
    except OverflowError:  # year 1 or 9999
        wall = instant
    return Moment(instant.astimezone(UTC), wall.replace(tzinfo=UTC), zone)


def parse_stamp(value: Any) -> Stamp | None:
    """`2023:12:24 23:37:54.037+02:00` and its kin, to the millisecond; None for a date alone, zeros and junk."""
    if not isinstance(value, str) or (found := _DATE_TIME.fullmatch(value.strip())) is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    millisecond = int(((found[7] or "") + "000")[:3])
    suffix = (found[8] or "").strip()
    offset = _offset_of(suffix)
    if suffix and offset is None and not suffix.isalpha():
        return None
    try:
        wall = datetime(year, month, day, hour, minute, second, millisecond * 1000)
    except ValueError:
        return None
    return Stamp(wall, offset, value.strip())


def _first_stamp(tags: Mapping[str, Any], zone: str | None, video: bool) -> Stamp | None:
    for tag in DATE_TAGS:
        if (said := parse_stamp(tags.get(tag))) is None:
            continue
        # The clock of a video's container shows UTC, wherever the camera was.
        read_in = UTC if video or tag in _UTC_TAGS else _zone_of(zone)
        stamp = replace(said, zone=read_in)
        try:
            stamp.instant()
        except OverflowError:
            continue
        return stamp
    return None


def _find_zone(tags: Mapping[str, Any], video: bool) -> str | None:
    return (
        _zone_said(tags)
        or _zone_of_position(tags)
        or _zone_of_date_stamps(tags)
        or ("UTC" if video else None)
        or _zone_from_utc_difference(tags)
    )


def _zone_said(tags: Mapping[str, Any]) -> str | None:
    for tag in _ZONE_TAGS:
        value = present(tags, tag)
        if tag == "TimeZoneOffset" and isinstance(value, str):
            value = value.split(" ")[0]  # a second number is about ModifyDate
        if (said := text(value)) is None:
            continue
        if (offset := _offset_of(said.strip())) is not None:
            return _name_of_offset(offset)
        if "/" in said and _zone_of(said.strip()) is not None:
            return said.strip()
    return None


def _zone_of_position(tags: Mapping[str, Any]) -> str | None:
    place = position(tags)
    if place is None:
        return None
    latitude, longitude = place
    name = tzfpy.get_tz(longitude, latitude)
    return name if name and _zone_of(name) is not None else None


def _zone_of_date_stamps(tags: Mapping[str, Any]) -> str | None:
    """The offset that a camera's date carries. UTC does not count: it says where the file was written, not the wall."""
    for tag in _CAMERA_TAGS:
        stamp = parse_stamp(tags.get(tag))
        if stamp is not None and stamp.offset is not None and stamp.offset.utcoffset(None):
            return _name_of_offset(stamp.offset)
    return None


def _zone_from_utc_difference(tags: Mapping[str, Any]) -> str | None:
    """Camera clock minus satellite clock, to the next quarter of an hour."""
    utc = next((stamp for tag in _UTC_TAGS if (stamp := parse_stamp(tags.get(tag)))), None)
    camera = next((stamp for tag in _CAMERA_TAGS if (stamp := parse_stamp(tags.get(tag)))), None)
    if utc is None or camera is None or camera.offset is not None:
        return None
    difference = round((camera.wall - utc.wall) / _QUARTER_HOUR) * _QUARTER_HOUR
    return _name_of_offset(timezone(difference)) if abs(difference) <= _LARGEST_OFFSET else None


def _offset_of(said: str) -> tzinfo | None:
    """`Z`, `UTC`, `+02:00`, `-0330`, `UTC+2`, `2` → a fixed offset; None for anything else, names included."""
    if said.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    if (found := _OFFSET.fullmatch(said)) is None:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    if offset > _LARGEST_OFFSET or offset % _QUARTER_HOUR:
        return None
    return timezone(-offset if found[1] == "-" else offset)


def _name_of_offset(offset: tzinfo) -> str:
    """`UTC`, `UTC+2`, `UTC-3:30`: as Immich's clients spell it."""
    delta = offset.utcoffset(None) or timedelta()
    if not delta:
        return "UTC"
    hours, minutes = divmod(abs(delta) // timedelta(minutes=1), 60)
    return f"UTC{'-' if delta < timedelta() else '+'}{hours}" + (f":{minutes:02}" if minutes else "")


@lru_cache(maxsize=512)
def _zone_of(name: str | None) -> tzinfo | None:
    """The zone that a name of ours, or of the tz database, stands for; None for no name or an unknown one."""
    if name is None:
        return None
    if (offset := _offset_of(name)) is not None:
        return offset
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder of the database, or no name at all
        return None
