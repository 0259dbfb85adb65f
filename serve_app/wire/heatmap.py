"""A calendar of activity in Immich's spelling. Source: spec/openapi.json."""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from serve_app.services.calendar_heatmap import Heatmap, HeatmapKind
from serve_app.wire.common import Wire

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _day(text: Any) -> date | None:
    if text is None:
        return None
    try:
        if isinstance(text, str) and _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise PydanticCustomError("iso_date", "Invalid ISO date")


Day = Annotated[date | None, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class HeatmapQuery(Wire):
    """Which days, both included, and what counts."""

    first: Annotated[Day, Field(alias="from")] = None
    last: Annotated[Day, Field(alias="to")] = None
    type: HeatmapKind = HeatmapKind.UPLOAD


class DayCount(Wire):
    date: str
    count: int


class CalendarHeatmap(Wire):
    """Every day, in order."""

    first: Annotated[str, Field(alias="from")]
    last: Annotated[str, Field(alias="to")]
    series: list[DayCount]
    total_count: int


def heatmap_seen(heatmap: Heatmap) -> CalendarHeatmap:
    return CalendarHeatmap(
        first=heatmap.first.isoformat(),
        last=heatmap.last.isoformat(),
        series=[DayCount(date=day.isoformat(), count=count) for day, count in heatmap.days],
        total_count=sum(count for _, count in heatmap.days),
    )
