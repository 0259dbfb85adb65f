"""How long a queue will still take, from what its jobs took lately. Pure.

A job of a type takes a fixed time and some more for each megabyte of its file: both are fitted to the jobs that ended
last, of photos and of videos apart. What stands in the line, and what will follow it, at that price, divided by how
many milliseconds of work are done in a millisecond, is what is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ENOUGH = 8
"""Fewer measurements than this say nothing of how the time grows with the file."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a job of one type takes: milliseconds, and milliseconds for each megabyte of its file."""

    base_ms: float
    per_megabyte_ms: float = 0.0

    def of(self, megabytes: float) -> float:
        return self.base_ms + self.per_megabyte_ms * megabytes


def price_of(measured: Sequence[tuple[float, float]]) -> Price | None:
    """The price that fits pairs of (megabytes, milliseconds) best, by least squares; None where there are none.

    Neither part is ever negative: a line that would be is replaced by the mean.
    """
    if not measured:
        return None
    count = len(measured)
    mean_x = sum(x for x, _ in measured) / count
    mean_y = sum(y for _, y in measured) / count
    spread = sum((x - mean_x) ** 2 for x, _ in measured)
    if count < ENOUGH or spread == 0:
        return Price(mean_y)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in measured) / spread
    base = mean_y - slope * mean_x
    if slope < 0:
        return Price(mean_y)
    if base < 0:
        return Price(0.0, mean_y / mean_x)
    return Price(base, slope)


@dataclass(frozen=True, slots=True)
class Prices:
    """What the jobs of one queue take: by type and whether the file is a video, and `usual_ms` for the others."""

    by_kind: Mapping[tuple[str, bool], Price]
    usual_ms: float

    def of(self, name: str, is_video: bool, megabytes: float) -> float:
        price = self.by_kind.get((name, is_video))
        return self.usual_ms if price is None else price.of(megabytes)


def work_s(each_ms: float, waiting: int, active: int) -> float:
    """Seconds of work in `waiting` jobs of `each_ms`, and in `active` ones that are half done on average."""
    return each_ms * (waiting + active / 2) / 1000


def seconds_left(work_s: float, speed: float) -> float | None:
    """`speed`: seconds of work that are done in a second, by all workers together; None where nothing moves."""
    return work_s / speed if speed > 0 else None
