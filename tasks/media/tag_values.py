"""Values of tags, made safe: files say anything, so what is not of the expected kind counts as absent."""

import math
from collections.abc import Mapping
from typing import Any, Final

INT32_MAX: Final = 2**31 - 1
_SAYS_NOTHING = frozenset({"", "undef", "null", "undefined"})


def present(tags: Mapping[str, Any], *names: str) -> Any | None:
    """The first of these tags that has a value. A dot reaches into a structure: `Device.Manufacturer`."""
    for name in names:
        value: Any = tags
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, list):
            value = next((item for item in value if item is not None), None)
        if value is not None and not (isinstance(value, str) and value.strip() in _SAYS_NOTHING):
            return value
    return None


def text(value: Any | None) -> str | None:
    """The value as text that a database can store; None for nothing, and for structures."""
    match value:
        case bool() | None:
            return None
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else None
        case str():
            # PostgreSQL stores no NUL, and nothing encodes half of a surrogate pair
            return value.replace("\0", "").encode(errors="replace").decode()
        case _:
            return None


def number(value: Any | None) -> float | None:
    """A finite number of at most 32 bits; None for text, lists and anything beyond."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= INT32_MAX else None


def position(tags: Mapping[str, Any]) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees; None when one is missing or not on Earth, or both are zero: no fix."""
    latitude, longitude = number(tags.get("GPSLatitude")), number(tags.get("GPSLongitude"))
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    return (latitude, longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
