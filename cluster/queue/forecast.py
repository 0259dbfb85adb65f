"""How long a queue will still take, from what its jobs took lately. Pure.

A job of a type takes a fixed time and some more for each megabyte of its file: both are fitted to the jobs that ended
last, of photos and of videos apart. What stands in the line, and what will follow it, at that price, divided by how
many milliseconds of work are done in a millisecond, is what is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def work_s(waiting_ms: float, waiting: int, active_ms: float, active: int, done: float = 0.5) -> float:
    """Seconds of work in `waiting` jobs and in `active` ones, by what one of each costs; of the latter that share is
    `done` on average."""
    return (waiting_ms * waiting + active_ms * active * (1 - done)) / 1000


@dataclass(frozen=True, slots=True)
class Ends:
    """What had ended up to `at_s`: jobs, and the milliseconds that they took."""

    at_s: float
    ended: int
    run_ms: int


def rates_of(seen: Sequence[Ends]) -> tuple[float, float]:
    """Jobs a second, and seconds of work a second, by looks in order; 0.0 where nothing ended.

    Where it can be, it is measured from one end to another: who is in the middle of a job has done work that nobody
    counted yet. What passed since the last end counts as far as it is longer than a job takes: then nothing moves.
    """
    grown = [after for before, after in pairwise(seen) if after.ended > before.ended]
    if not grown:
        return 0.0, 0.0
    first, last = grown[0] if len(grown) > 1 else seen[0], grown[-1]
    ended, run_s = last.ended - first.ended, (last.run_ms - first.run_ms) / 1000
    still_s = max(0.0, seen[-1].at_s - last.at_s - run_s / ended)
    passed_s = max(1.0, last.at_s - first.at_s + still_s)
    return ended / passed_s, run_s / passed_s


@dataclass(frozen=True, slots=True)
class Line:
    """What a queue has to do and how fast it does it. `work_left_s`: None where nothing like it was ever measured;
    `speed`: measured seconds of work in a second, 0 where nothing ended lately; `active`: jobs that were taken, of
    which the workers run no more than `at_once`."""

    work_left_s: float | None
    speed: float
    active: int
    at_once: int

    @property
    def seconds_left(self) -> float | None:
        """None while nothing moves. Each that runs does a second of work in a second, which counts while nothing ended,
        and which bounds what was measured: the end of a long job brings work of many minutes at once."""
        speed = min(self.speed or self.active, self.at_once)
        return None if self.work_left_s is None or speed == 0 else self.work_left_s / speed


def whole_left_s(lines: Sequence[Line], speed: float) -> float | None:
    """Seconds until all lines are empty. `speed`: of all workers, measured over all lines, those that are empty by now
    as well: who has no work there helps another line. But no line is through before as many as it may have at once have
    done its own work."""
    works = [line.work_left_s for line in lines if line.work_left_s is not None]
    begun = sum(min(line.active, line.at_once) for line in lines if line.speed == 0)
    fastest = max(speed, begun)
    if len(works) < len(lines) or fastest == 0:
        return None
    return max(sum(works) / fastest, *(work / line.at_once for work, line in zip(works, lines, strict=True)))
