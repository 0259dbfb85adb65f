"""How much a user took or uploaded, day by day. Source: spec/openapi.json."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from cluster.db.queries import assets
from cluster.db.tables.asset import Asset
from cluster.errors import BadRequest
from serve_app.deps import Services

USUAL = timedelta(weeks=52)
LONGEST = timedelta(days=36_525)
"""A century: each day is a line of the answer."""


class HeatmapKind(StrEnum):
    """What counts; the values are the wire's."""

    UPLOAD = "Upload"
    TAKEN = "Taken"


@dataclass(frozen=True, slots=True)
class Heatmap:
    """Every day from `first` to `last`, both included, and how much there was."""

    first: date
    last: date
    days: list[tuple[date, int]]


def calendar_heatmap(
    services: Services, user_id: str, kind: HeatmapKind, first: date | None, last: date | None
) -> Heatmap:
    """Of a year up to today, unless said otherwise. Uploads by UTC, pictures by the clocks where they were taken; what
    is locked, hidden or in the trash does not count. Raises BadRequest. Blocks."""
    last = last or services.clock.now().date()
    first = first or _earlier(last, USUAL - timedelta(days=1))
    if first > last:
        issue: dict[str, object] = {"code": "custom", "path": ["from"], "message": "from must be before to"}
        raise BadRequest("Validation failed", [issue])
    if last - first > LONGEST:
        raise BadRequest(f"The period is longer than {LONGEST.days} days")
    column = Asset.created_at if kind is HeatmapKind.UPLOAD else Asset.local_date_time
    with services.database.reader() as session:
        counts = assets.count_by_day(session, user_id, column, *_bounds(first, last))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return Heatmap(first, last, [(day, counts.get(day.isoformat(), 0)) for day in days])


def _earlier(day: date, by: timedelta) -> date:
    return day - by if day - date.min > by else date.min


def _bounds(first: date, last: date) -> tuple[datetime, datetime]:
    start = datetime.combine(first, time.min, UTC)
    if last == date.max:
        return start, datetime.max.replace(tzinfo=UTC)
    return start, datetime.combine(last + timedelta(days=1), time.min, UTC)
