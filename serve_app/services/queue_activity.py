"""What moves in the queues: counts, throughput, graphs, how long it will still take."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Literal

from sqlalchemy.orm import Session

from cluster.db.queries import queue_activity
from cluster.db.queries.queue_activity import InLine, Minute
from cluster.db.queries.system import read_config
from cluster.names import QUEUE_OF_JOB, SEQUENTIAL_QUEUES, JobName, QueueName
from cluster.queue.forecast import Ends, Line, Prices, price_of, rates_of, whole_left_s, work_s
from cluster.queue.store import QueueCounts
from cluster.system_config import concurrency_of
from serve_app.deps import Services
from tasks.pipeline import BRANCHES, chain_behind

GRAPH_MINUTES = 30
RATE_S = 20.0
PRICED_FOR_S, UNKNOWN_FOR_S = 20.0, 5.0
"""Prices and lines are read again after this long: they change slowly and cost twenty times what the counts do; sooner
while something was never measured. A line that has become another meanwhile is read again at once, as what was first in
it is no sample of the rest; all lines are, when much work has gone from them: what one foretold may stand in another by
then, unlike what that one had."""
OTHER_LINE = 0.2
MEGABYTE = 1e6
FEW = 20
"""While fewer jobs than this have ended, those at work are asked how far they are."""


@dataclass(frozen=True, slots=True)
class Activity:
    """One queue as it moves; see `wire.queue_activity`. `work_left_s`: what one worker would take for what waits and
    runs, and for what will come from other queues' lines, None where nothing like it was measured yet; `speed`:
    seconds of work done in a second, lately; `at_once`: jobs that the workers may run at the same time."""

    counts: QueueCounts
    jobs_per_second: float
    work_left_s: float | None
    speed: float
    at_once: int
    oldest_waiting_at: datetime | None
    per_minute: tuple[int, ...]
    failed_per_minute: tuple[int, ...]

    @property
    def seconds_left(self) -> float | None:
        """None while nothing moves, or nothing is left."""
        return None if self.counts.paused or not self.work_left_s else self.line.seconds_left

    @property
    def line(self) -> Line:
        return Line(self.work_left_s, self.speed, self.counts.active, self.at_once)


@dataclass(frozen=True, slots=True)
class Look:
    """Every queue in order; `seconds_left`: until all are empty but those that are paused or cannot run; None while
    nothing moves, something is unknown or nothing is left."""

    queues: Mapping[QueueName, Activity]
    seconds_left: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one job of a queue costs on average, of those that wait and of those at work, as it was looked at last,
    when it had so many `jobs`: milliseconds in each queue, its own and those of the jobs that will follow; None where
    nothing like it was ever measured."""

    at_s: float
    jobs: int
    waiting_ms: Mapping[QueueName, float | None]
    active_ms: Mapping[QueueName, float | None]

    @property
    def is_known(self) -> bool:
        return None not in self.waiting_ms.values() and None not in self.active_ms.values()


@dataclass(slots=True)
class Observer:
    """Looks at the queues again and again; what lies between two looks gives the throughput. One serves everybody who
    asks an API process: what only one of them had seen would give each another rate."""

    services: Services
    _since_minute: int = 0
    _totals: dict[QueueName | Literal["all"], deque[Ends]] = field(default_factory=dict)
    _forecasts: dict[QueueName, Forecast] = field(default_factory=dict)
    _known_s: float = 0.0
    _at_once: dict[QueueName, int] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> Look:
        """The first look knows the rate of this minute and the one before alone."""
        with self._turn:
            return self._look()

    def _look(self) -> Look:
        now = self.services.clock.now()
        now_s, minute = now.timestamp(), int(now.timestamp() // 60)
        if minute - self._since_minute > 4 * GRAPH_MINUTES:
            self._since_minute = minute - GRAPH_MINUTES
            self._totals.clear()
        with self.services.database.reader() as session:
            counts = self.services.store.counts(session)
            minutes: dict[QueueName, list[Minute]] = {}
            for row in queue_activity.minutes_since(session, self._since_minute):
                minutes.setdefault(row.queue, []).append(row)
            waiting = [queue for queue, count in counts.items() if count.waiting]
            oldest = queue_activity.waiting_since_ms(session, waiting)
            work = self._work_left_s(session, counts, now_s)
        queues = {
            queue: self._activity(count, minutes.get(queue, []), oldest, work[queue], now_s)
            for queue, count in counts.items()
        }
        lines = [one.line for one in queues.values() if not _stands_still(one.counts)]
        moving = any(count.waiting + count.active for count in counts.values())
        _, speed = self._rates("all", list(chain(*minutes.values())), now_s, busy=moving)
        return Look(queues, whole_left_s(lines, speed) if any(line.work_left_s != 0 for line in lines) else None)

    def _activity(
        self,
        counts: QueueCounts,
        minutes: list[Minute],
        oldest: Mapping[QueueName, int],
        work_left_s: float | None,
        now_s: float,
    ) -> Activity:
        queue, last = counts.queue, int(now_s // 60)
        ended, speed = self._rates(queue, minutes, now_s, busy=counts.waiting + counts.active > 0)
        since = oldest.get(queue)
        by_minute = {row.minute: row for row in minutes}
        graph = [by_minute.get(minute) for minute in range(last - GRAPH_MINUTES + 1, last + 1)]
        return Activity(
            counts,
            jobs_per_second=ended,
            work_left_s=work_left_s,
            speed=speed,
            at_once=self._at_once.get(queue, 1),
            oldest_waiting_at=None if since is None else datetime.fromtimestamp(since / 1000, UTC),
            per_minute=tuple(row.ended if row else 0 for row in graph),
            failed_per_minute=tuple(row.failed if row else 0 for row in graph),
        )

    def _rates(
        self, key: QueueName | Literal["all"], minutes: list[Minute], now_s: float, *, busy: bool
    ) -> tuple[float, float]:
        """Jobs a second, and seconds of work a second, lately; of the time alone since there was something to do."""
        total = Ends(now_s, sum(row.ended + row.failed for row in minutes), sum(row.run_ms for row in minutes))
        seen = self._totals.setdefault(key, deque())
        if not busy:
            seen.clear()
            seen.append(total)
            return 0.0, 0.0
        if not seen:
            seen.append(self._before_the_first_look(total, minutes))
        seen.append(total)
        while len(seen) > 2 and seen[1].at_s <= now_s - RATE_S:
            seen.popleft()
        return rates_of(seen)

    @staticmethod
    def _before_the_first_look(total: Ends, minutes: list[Minute]) -> Ends:
        """As if it had been looked at when the last minute began: so the first answer has a rate, if a poor one."""
        begin = int(total.at_s // 60) - 1
        lately = [row for row in minutes if row.minute >= begin]
        ended, run_ms = sum(row.ended + row.failed for row in lately), sum(row.run_ms for row in lately)
        return Ends(begin * 60.0, total.ended - ended, total.run_ms - run_ms)

    def _work_left_s(
        self, session: Session, counts: Mapping[QueueName, QueueCounts], now_s: float
    ) -> dict[QueueName, float | None]:
        """By queue: what stands in its own line, and what will come to it from the lines of others."""
        busy = [count for count in counts.values() if count.waiting + count.active]
        if stale := [one for one in busy if self._is_stale(one, now_s)]:
            self._look_at_lines(session, stale, now_s)
        left = self._foretold(busy)
        if known_s(left) < (1 - OTHER_LINE) * self._known_s:
            self._look_at_lines(session, busy, now_s)
            left, self._known_s = self._foretold(busy), 0.0
        self._known_s = max(self._known_s, known_s(left))
        return dict.fromkeys(counts, 0.0) | left

    def _foretold(self, busy: Sequence[QueueCounts]) -> dict[QueueName, float | None]:
        left: dict[QueueName, float | None] = {}
        for count in busy:
            forecast = self._forecasts[count.queue]
            for queue in forecast.waiting_ms.keys() | forecast.active_ms.keys():
                known, waiting, active = (
                    left.get(queue, 0.0),
                    forecast.waiting_ms.get(queue, 0.0),
                    forecast.active_ms.get(queue, 0.0),
                )
                if known is None or waiting is None or active is None:
                    left[queue] = None
                else:
                    done = 0.5 if queue is count.queue else 0.0
                    left[queue] = known + work_s(waiting, count.waiting, active, count.active, done)
        return left

    def _is_stale(self, count: QueueCounts, now_s: float) -> bool:
        last = self._forecasts.get(count.queue)
        if last is None or now_s - last.at_s > (PRICED_FOR_S if last.is_known else UNKNOWN_FOR_S):
            return True
        return abs(count.waiting + count.active - last.jobs) > OTHER_LINE * last.jobs

    def _look_at_lines(self, session: Session, lines: Sequence[QueueCounts], now_s: float) -> None:
        ended = queue_activity.ended_since(session, int(now_s // 60) - GRAPH_MINUTES)
        config = read_config(session, self.services.settings)
        prices: dict[QueueName, Prices | None] = {}

        def each_ms(jobs: Sequence[InLine]) -> dict[QueueName, float | None]:
            each: dict[QueueName, float | None] = {}
            for job in jobs:
                for name, times in jobs_of(job, ended):
                    where = QUEUE_OF_JOB[name]
                    if where not in prices:
                        prices[where] = read_prices(session, where, now_s)
                    known, price = each.get(where, 0.0), prices[where]
                    if known is None or price is None:
                        each[where] = None
                    else:
                        cost_ms = price.of(name, job.is_video, job.size_bytes / MEGABYTE)
                        each[where] = known + times * cost_ms / len(jobs)
            return each

        for count in lines:
            waiting = each_ms(queue_activity.some_in_line(session, count.queue, count.waiting))
            active = each_ms(queue_activity.some_at_work(session, count.queue))
            # Both change between two looks, and who has just been taken is like those that wait.
            self._forecasts[count.queue] = Forecast(
                now_s, count.waiting + count.active, waiting or active, active or waiting
            )
        for queue in {count.queue for count in lines} | prices.keys():
            nodes = queue_activity.nodes_of(session, queue)
            self._at_once[queue] = concurrency_of(config, queue) * (1 if queue in SEQUENTIAL_QUEUES else max(1, nodes))


def known_s(left: Mapping[QueueName, float | None]) -> float:
    return sum(work for work in left.values() if work is not None)


def jobs_of(job: InLine, ended: Mapping[JobName, int]) -> Iterator[tuple[JobName, float]]:
    """It, and what will follow it: job types and how many, where `ended` jobs of each type tell how many there are."""
    behind = chain_behind(job.name, job.payload.get("source"), bool(job.payload.get("notify")), job.is_video)
    for name in (job.name, *behind):
        yield name, 1.0
        for after, then in BRANCHES:
            if after is name and ended.get(then):
                yield then, ended[then] / max(1, ended.get(after, 0))


def read_prices(session: Session, queue: QueueName, now_s: float) -> Prices | None:
    """By the jobs that ended last; None where none ever did, and none at work says how far it is."""
    ended = queue_activity.measured(session, queue)
    if len(ended) < FEW:
        ended += queue_activity.under_way(session, queue, round(now_s * 1000))
    if not ended:
        return None
    by_kind: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for one in ended:
        by_kind.setdefault((one.name, one.is_video), []).append((one.size_bytes / MEGABYTE, float(one.duration_ms)))
    prices = {kind: price for kind, pairs in by_kind.items() if (price := price_of(pairs)) is not None}
    return Prices(prices, sum(one.duration_ms for one in ended) / len(ended))


def _stands_still(counts: QueueCounts) -> bool:
    """Whether nothing of it starts: a reason to wait is one job's own where others run."""
    return counts.paused or bool(counts.wait_reason and not counts.active)
