"""The timeline in Immich's spelling: what may be asked, and a month as columns. Source: spec/api.md §5."""

import base64
import math
import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from cluster.db.queries.timeline import Box, TimelineAsset, TimelineFilter
from serve_app.services.timeline import Month, TimelineRequest
from serve_app.wire.asset import Visibility
from serve_app.wire.common import WhenKnown, Wire, WireId, wire_time

_BUCKET = re.compile(r"(\d{4})-(\d\d)-(\d\d)(T.*)?", re.ASCII | re.DOTALL)


def parse_bucket(text: str) -> date:
    """`2024-03-01`, also with a time behind it → the first day of that month. Raises ValueError."""
    match = _BUCKET.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day = map(int, match.groups()[:3])
    return date(year, month, day).replace(day=1)


def parse_box(text: str) -> Box:
    """`west,south,east,north` in degrees. Raises ValueError."""
    west, south, east, north = map(float, text.split(","))
    if not all(map(math.isfinite, (west, south, east, north))):
        raise ValueError(text)
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError(text)
    return Box(west, south, east, north)


def _bucket(text: str) -> str:
    try:
        parse_bucket(text)
    except ValueError:
        raise PydanticCustomError("bucket", "Invalid time bucket: expected YYYY-MM-DD") from None
    return text


def _box(text: str) -> str:
    try:
        parse_box(text)
    except ValueError:
        raise PydanticCustomError("box", "Invalid bounding box: expected west,south,east,north in degrees") from None
    return text


BucketName = Annotated[str, AfterValidator(_bucket)]


class TimelineQuery(Wire):
    """What both routes take."""

    user_id: WireId | None = None
    album_id: WireId | None = None
    person_id: WireId | None = None
    tag_id: WireId | None = None
    is_favorite: bool | None = None
    is_trashed: bool | None = None
    visibility: Visibility | None = None
    with_stacked: bool = False
    with_partners: bool = False
    with_coordinates: bool = False
    order: Literal["asc", "desc"] = "desc"
    order_by: Literal["takenAt", "createdAt"] = "takenAt"
    bbox: Annotated[str, AfterValidator(_box)] | None = None

    def request(self) -> TimelineRequest:
        return TimelineRequest(
            wanted=TimelineFilter(
                owner_id=self.user_id,
                album_id=self.album_id,
                person_id=self.person_id,
                tag_id=self.tag_id,
                favorite=self.is_favorite,
                trashed=bool(self.is_trashed),
                visibility=self.visibility,
                primaries=self.with_stacked,
                box=None if self.bbox is None else parse_box(self.bbox),
                by_arrival=self.order_by == "createdAt",
            ),
            descending=self.order == "desc",
            with_partners=self.with_partners,
            with_coordinates=self.with_coordinates,
        )


class BucketQuery(TimelineQuery):
    """And one month."""

    time_bucket: BucketName


class BucketCount(Wire):
    """A month, by its first day."""

    time_bucket: str
    count: int


class BucketColumns(Wire):
    """One entry per asset in every list, in the same order. `thumbhash` is base64, `duration` milliseconds, `ratio`
    width by height. `stack`: its id and how many are in it, as texts."""

    id: list[str]
    owner_id: list[str]
    ratio: list[float]
    is_favorite: list[bool]
    visibility: list[Visibility]
    is_trashed: list[bool]
    is_image: list[bool]
    thumbhash: list[str | None]
    file_created_at: list[str]
    created_at: list[str]
    local_offset_hours: list[float]
    duration: list[int | None]
    projection_type: list[str | None]
    live_photo_video_id: list[str | None]
    city: list[str | None]
    country: list[str | None]
    latitude: WhenKnown[list[float | None]] = None
    longitude: WhenKnown[list[float | None]] = None
    stack: WhenKnown[list[list[str] | None]] = None


def bucket_counts(counted: Sequence[tuple[str, int]]) -> list[BucketCount]:
    return [BucketCount(time_bucket=f"{month}-01", count=count) for month, count in counted]


def bucket_columns(month: Month) -> BucketColumns:
    rows = month.rows
    return BucketColumns(
        id=[row.id for row in rows],
        owner_id=[row.owner_id for row in rows],
        ratio=[_ratio(row) for row in rows],
        is_favorite=[row.is_favorite and row.owner_id == month.viewer_id for row in rows],
        visibility=[row.visibility for row in rows],  # type: ignore[misc]  # the column knows these words alone
        is_trashed=[row.deleted_at is not None for row in rows],
        is_image=[row.type == "IMAGE" for row in rows],
        thumbhash=[None if row.thumbhash is None else base64.b64encode(row.thumbhash).decode() for row in rows],
        file_created_at=[wire_time(row.file_created_at) for row in rows],
        created_at=[wire_time(row.created_at) for row in rows],
        local_offset_hours=[_offset_hours(row) for row in rows],
        duration=[row.duration_ms for row in rows],
        projection_type=[row.projection_type for row in rows],
        live_photo_video_id=[row.live_photo_video_id for row in rows],
        city=[row.city if month.with_places else None for row in rows],
        country=[row.country if month.with_places else None for row in rows],
        latitude=[row.latitude for row in rows] if month.with_coordinates else None,
        longitude=[row.longitude for row in rows] if month.with_coordinates else None,
        stack=None if month.stack_sizes is None else [_stack(row, month.stack_sizes) for row in rows],
    )


def _ratio(row: TimelineAsset) -> float:
    return round(row.width_px / row.height_px, 3) if row.width_px and row.height_px else 1.0


def _offset_hours(row: TimelineAsset) -> float:
    seconds = (row.local_date_time - row.file_created_at).total_seconds()
    return round(seconds / 3600, 4)


def _stack(row: TimelineAsset, sizes: dict[str, int]) -> list[str] | None:
    return None if row.stack_id is None else [row.stack_id, str(sizes.get(row.stack_id, 0))]
