"""What every area of the wire shares: camelCase models, dates, ids, and values that are left out."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, StrictStr, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

Value = TypeVar("Value")

LARGEST = 2**53 - 1
"""The largest whole number that a JavaScript client keeps exactly."""

_UUID_V4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


def wire_time(time: datetime) -> str:
    """`2024-01-02T03:04:05.678Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


HALVES = re.compile("[\ud800-\udfff]")
"""What JSON can say and no encoding can: a surrogate without its other half."""


def _uuid(text: str) -> str:
    if not _UUID_V4.fullmatch(text):
        raise PydanticCustomError("uuid_version", "Invalid UUID")
    return text.lower()


def like(pattern: str) -> Callable[[str], str]:
    """Checks that a text is as `pattern` says, a regular expression as JavaScript has them."""
    compiled = re.compile(pattern.replace("$", r"\Z"), re.ASCII)

    def check(text: str) -> str:
        if not compiled.match(text):
            message = "Invalid string: must match pattern {pattern}"
            raise PydanticCustomError("regex", message, {"pattern": f"/{pattern}/"})
        return text

    return check


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "Invalid input: text may not contain a null character")
    if not text.isascii() and HALVES.search(text):
        raise PydanticCustomError("surrogate", "Invalid input: text may not contain half of a character")
    return text


def _is_none(value: object) -> bool:
    return value is None


class Wire(BaseModel):
    """A body in Immich's spelling. Unknown fields are ignored, as Immich does."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        json_schema_serialization_defaults_required=True,
    )


WireTime = Annotated[datetime, PlainSerializer(wire_time, return_type=str)]

WireId = Annotated[StrictStr, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
"""Ids in paths and bodies: a value that is no UUID of version 4 is a validation error."""

STORABLE = AfterValidator(_without_nul)
"""After what bounds a text's length, whose message else speaks of a list."""

PlainText = Annotated[StrictStr, STORABLE]
"""Text that a database can hold."""

WhenKnown = Annotated[Value | None, Field(exclude_if=_is_none)]
"""An answer's field that is left out when there is no value."""
