"""How long a queue will still take, from what its jobs took lately. Pure.

A job of a type takes a fixed time and some more for each megabyte of its file: both are fitted to the jobs that ended
last. What stands in the line, at that price, divided by how many milliseconds of work are done in a millisecond, is
what is left.
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


def work_ms(jobs: Sequence[tuple[str, float]], prices: Mapping[str, Price], usual_ms: float) -> float:
    """Milliseconds of work in jobs, given as (type, megabytes). `usual_ms`: of a type that was not measured."""
    return sum(prices[name].of(size) if name in prices else usual_ms for name, size in jobs)


def seconds_of_work(line_ms: float, sampled: int, waiting: int, active: int) -> float:
    """`line_ms`: work in the `sampled` first of `waiting` jobs; each of the `active` ones is half done on average."""
    each_ms = line_ms / sampled if sampled else 0.0
    return (each_ms * waiting + each_ms * active / 2) / 1000


def seconds_left(work_s: float, speed: float) -> float | None:
    """`speed`: seconds of work that are done in a second, by all workers together; None where nothing moves."""
    return work_s / speed if speed > 0 else None
