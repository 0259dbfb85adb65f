"""Cron expression → the times that it stands for, in a time zone. Pure: which expressions are right is said by
`config_values`, the time and the zone come in as arguments.

Where clocks are put forward, what falls into the missing hour happens as much later: 02:30 is 03:30. Where they are put
back, what belongs to an hour of the day happens in the first of the two; what belongs to every hour, in both.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from cluster.config_values import read_cron

A_DAY, A_MINUTE = timedelta(days=1), timedelta(minutes=1)
FORESIGHT = timedelta(days=366 * 8)
"""The 29th of February is at most eight years away."""


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was read. A day must fit both `days` and `weekdays` (0 is Sunday), or, where both leave some
    out, one of them."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @property
    def on_whole_minutes(self) -> bool:
        return self.seconds == {0}

    def latest(self, after: datetime, until: datetime, zone: tzinfo | None) -> datetime | None:
        """The last time later than `after` and not later than `until`, in UTC; None when there is none.

        `zone` None: the machine's own.
        """
        day, first_day = until.astimezone(zone).date(), after.astimezone(zone).date() - A_DAY
        while day >= first_day:
            if self._fits(day):
                between = [
                    time
                    for minute in self._minutes(day, zone)
                    if after - A_MINUTE < minute <= until
                    for time in (minute + timedelta(seconds=second) for second in self.seconds)
                    if after < time <= until
                ]
                if between:
                    return max(between)
            day -= A_DAY
        return None

    def next(self, after: datetime, zone: tzinfo | None) -> datetime | None:
        """The first time later than `after`, in UTC; None when there is none within `FORESIGHT`.

        `zone` None: the machine's own.
        """
        day = after.astimezone(zone).date() - A_DAY
        last_day = day + FORESIGHT
        while day <= last_day:
            if self._fits(day):
                later = [
                    time
                    for minute in self._minutes(day, zone)
                    if minute > after - A_MINUTE
                    for time in (minute + timedelta(seconds=second) for second in self.seconds)
                    if time > after
                ]
                if later:
                    return min(later)
            day += A_DAY
        return None

    def _fits(self, day: date) -> bool:
        in_days, in_weekdays = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        either = len(self.days) < 31 and len(self.weekdays) < 7
        return day.month in self.months and (in_days or in_weekdays if either else in_days and in_weekdays)

    def _minutes(self, day: date, zone: tzinfo | None) -> Iterator[datetime]:
        """In UTC, in no order, some perhaps twice."""
        for hour in self.hours:
            for minute in self.minutes:
                wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                # not `astimezone`, which disagrees with itself about a missing hour of the machine's own zone
                time, second_time = (
                    datetime.fromtimestamp(one.timestamp(), UTC) for one in (wall, wall.replace(fold=1))
                )
                yield time
                # in a missing hour, `fold` turns the time back instead
                if len(self.hours) == 24 and second_time > time:
                    yield second_time


@lru_cache(maxsize=64)
def parse_cron(expression: str) -> Cron:
    """An expression of 5 fields, or 6 with the seconds first. Raises ValueError."""
    return Cron(*read_cron(expression))
