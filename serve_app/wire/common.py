"""What every area of the wire shares: camelCase models and dates."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel


def wire_time(time: datetime) -> str:
    """`2024-01-02T03:04:05.678Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


WireTime = Annotated[datetime, PlainSerializer(wire_time, return_type=str)]


class Wire(BaseModel):
    """A body in Immich's spelling. Unknown fields are ignored, as Immich does."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", str_strip_whitespace=False
    )


WireId = UUID
"""Ids in paths and bodies: a value that is no UUID is a validation error."""
