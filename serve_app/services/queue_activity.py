"""What moves in the queues: counts, throughput, graphs, how long it will still take."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from cluster.db.queries import queue_activity
from cluster.db.queries.queue_activity import InLine, Minute
from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.forecast import Prices, price_of, seconds_left, work_s
from cluster.queue.store import QueueCounts
from serve_app.deps import Services
from tasks.pipeline import BRANCHES, chain_behind

GRAPH_MINUTES = 30
RATE_S = 20.0
PRICED_FOR_S = 5.0
"""Prices and lines are read again after this long: they change slowly and cost more than the counts. A line that has
become another meanwhile is read again at once, as what was first in it is no sample of the rest."""
OTHER_LINE = 0.2
MEGABYTE = 1e6
FEW = 20
"""While fewer jobs than this have ended, those at work are asked how far they are."""


@dataclass(frozen=True, slots=True)
class Activity:
    """One queue as it moves; see `wire.queue_activity`. `work_left_s`: what one worker would take for what waits and
    runs, and for what will come from other queues' lines, None where nothing like it was measured yet; `speed`:
    seconds of work done in a second, lately."""

    counts: QueueCounts
    jobs_per_second: float
    work_left_s: float | None
    speed: float
    oldest_waiting_at: datetime | None
    per_minute: tuple[int, ...]
    failed_per_minute: tuple[int, ...]

    @property
    def seconds_left(self) -> float | None:
        """None while nothing moves, or nothing is left."""
        if self.counts.paused or not self.work_left_s:
            return None
        return seconds_left(self.work_left_s, self.speed)


@dataclass(frozen=True, slots=True)
class Totals:
    """What a queue did up to some moment."""

    at_s: float
    ended: int
    run_ms: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one job in the line of a queue costs on average, as it was looked at last, when it had so many `jobs`:
    milliseconds in each queue, its own and those of the jobs that will follow; None where nothing like it was ever
    measured."""

    at_s: float
    jobs: int
    each_ms: Mapping[QueueName, float | None]


@dataclass(slots=True)
class Observer:
    """Looks at the queues again and again; what lies between two looks gives the throughput. One serves everybody who
    asks an API process: what only one of them had seen would give each another rate."""

    services: Services
    _since_minute: int = 0
    _totals: dict[QueueName, deque[Totals]] = field(default_factory=dict)
    _forecasts: dict[QueueName, Forecast] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> dict[QueueName, Activity]:
        """Every queue in order. The first look knows the rate of this minute and the one before alone."""
        with self._turn:
            return self._look()

    def _look(self) -> dict[QueueName, Activity]:
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
            return {
                queue: self._activity(count, minutes.get(queue, []), oldest, work[queue], now_s)
                for queue, count in counts.items()
            }

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
            oldest_waiting_at=None if since is None else datetime.fromtimestamp(since / 1000, UTC),
            per_minute=tuple(row.ended if row else 0 for row in graph),
            failed_per_minute=tuple(row.failed if row else 0 for row in graph),
        )

    def _rates(self, queue: QueueName, minutes: list[Minute], now_s: float, *, busy: bool) -> tuple[float, float]:
        """Jobs a second, and seconds of work a second, lately; of the time alone since there was something to do."""
        total = Totals(now_s, sum(row.ended + row.failed for row in minutes), sum(row.run_ms for row in minutes))
        seen = self._totals.setdefault(queue, deque())
        if not busy:
            seen.clear()
            seen.append(total)
            return 0.0, 0.0
        if not seen:
            seen.append(self._before_the_first_look(total, minutes))
        seen.append(total)
        while len(seen) > 2 and seen[1].at_s <= now_s - RATE_S:
            seen.popleft()
        # From one end on: a line that just began to move has work in hand that is counted when it ends.
        first = next((one for one in seen if one.ended > seen[0].ended), total)
        since = first if total.ended > first.ended else seen[0]
        passed_s = max(1.0, total.at_s - since.at_s)
        return (total.ended - since.ended) / passed_s, (total.run_ms - since.run_ms) / passed_s / 1000

    @staticmethod
    def _before_the_first_look(total: Totals, minutes: list[Minute]) -> Totals:
        """As if it had been looked at when the last minute began: so the first answer has a rate, if a poor one."""
        begin = int(total.at_s // 60) - 1
        lately = [row for row in minutes if row.minute >= begin]
        ended, run_ms = sum(row.ended + row.failed for row in lately), sum(row.run_ms for row in lately)
        return Totals(begin * 60.0, total.ended - ended, total.run_ms - run_ms)

    def _work_left_s(
        self, session: Session, counts: Mapping[QueueName, QueueCounts], now_s: float
    ) -> dict[QueueName, float | None]:
        """By queue: what stands in its own line, and what will come to it from the lines of others."""
        left: dict[QueueName, float | None] = dict.fromkeys(counts, 0.0)
        busy = [count for count in counts.values() if count.waiting + count.active]
        if stale := [one for one in busy if self._is_stale(one, now_s)]:
            self._look_at_lines(session, stale, now_s)
        for count in busy:
            for queue, each_ms in self._forecasts[count.queue].each_ms.items():
                known = left[queue]
                if known is None or each_ms is None:
                    left[queue] = None
                elif queue is count.queue:
                    left[queue] = known + work_s(each_ms, count.waiting, count.active)
                else:
                    left[queue] = known + each_ms * (count.waiting + count.active) / 1000
        return left

    def _is_stale(self, count: QueueCounts, now_s: float) -> bool:
        last = self._forecasts.get(count.queue)
        if last is None or now_s - last.at_s > PRICED_FOR_S:
            return True
        return abs(count.waiting + count.active - last.jobs) > OTHER_LINE * last.jobs

    def _look_at_lines(self, session: Session, lines: Sequence[QueueCounts], now_s: float) -> None:
        ended = queue_activity.ended_since(session, int(now_s // 60) - GRAPH_MINUTES)
        prices: dict[QueueName, Prices | None] = {}
        for count in lines:
            line = queue_activity.some_in_line(session, count.queue, count.waiting)
            each_ms: dict[QueueName, float | None] = {}
            for job in line:
                for name, times in jobs_of(job, ended):
                    where = QUEUE_OF_JOB[name]
                    if where not in prices:
                        prices[where] = read_prices(session, where, now_s)
                    known, price = each_ms.get(where, 0.0), prices[where]
                    if known is None or price is None:
                        each_ms[where] = None
                    else:
                        cost_ms = price.of(name, job.is_video, job.size_bytes / MEGABYTE)
                        each_ms[where] = known + times * cost_ms / len(line)
            self._forecasts[count.queue] = Forecast(now_s, count.waiting + count.active, each_ms)


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
