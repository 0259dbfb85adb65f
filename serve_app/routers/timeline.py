"""/timeline: the months, and what is in one of them. Source: spec/api.md §5."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from serve_app.deps import in_one_turn
from serve_app.services import timeline
from serve_app.wire import timeline as wire

router = APIRouter(prefix="/timeline", tags=["timeline"])


@router.get("/buckets", response_model=list[wire.BucketCount])
async def get_time_buckets(request: Request, asked: Annotated[wire.TimelineQuery, Query()]) -> Response:
    """Every month that has something, and how much."""
    return await in_one_turn(
        request,
        "asset.read",
        lambda services, caller: wire.bucket_counts(timeline.list_months(services, caller, asked.request())),
        shared=True,
        short=True,
    )


@router.get("/bucket", response_model=wire.BucketColumns)
async def get_time_bucket(request: Request, asked: Annotated[wire.BucketQuery, Query()]) -> Response:
    """What a grid of thumbnails needs of one month."""
    first_day = wire.parse_bucket(asked.time_bucket)
    return await in_one_turn(
        request,
        "asset.read",
        lambda services, caller: wire.bucket_columns(timeline.get_month(services, caller, asked.request(), first_day)),
        shared=True,
        short=True,
    )
