"""What moves in the queues: counts, throughput, graphs, how long it will still take."""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from cluster.db.queries import queue_activity
from cluster.db.queries.queue_activity import Measured, Minute
from cluster.names import QueueName
from cluster.queue.forecast import Price, price_of, seconds_left, seconds_of_work, work_ms
from cluster.queue.store import QueueCounts
from serve_app.deps import Services

GRAPH_MINUTES = 30
RATE_S = 20.0
PRICED_FOR_S = 5.0
"""Prices and lines are read again after this long: they change slowly and cost more than the counts."""
MEGABYTE = 1e6
FEW = 20
"""While fewer jobs than this have ended, those at work are asked how far they are."""


@dataclass(frozen=True, slots=True)
class Activity:
    """One queue as it moves; see `wire.queue_activity`. `work_left_s`: what one worker would take for what waits
    and runs, None where nothing like it was measured yet; `speed`: seconds of work done in a second, lately."""

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


@dataclass(slots=True)
class Forecast:
    """What the line of a queue costs, as it was looked at last. `line_ms` None: nothing like it was ever measured."""

    at_s: float
    line_ms: float | None
    sampled: int


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
            return {
                queue: self._activity(session, count, minutes.get(queue, []), oldest, now_s)
                for queue, count in counts.items()
            }

    def _activity(
        self,
        session: Session,
        counts: QueueCounts,
        minutes: list[Minute],
        oldest: Mapping[QueueName, int],
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
            work_left_s=self._work_left_s(session, counts, now_s),
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
        passed_s = max(1.0, total.at_s - seen[0].at_s)
        return (total.ended - seen[0].ended) / passed_s, (total.run_ms - seen[0].run_ms) / passed_s / 1000

    @staticmethod
    def _before_the_first_look(total: Totals, minutes: list[Minute]) -> Totals:
        """As if it had been looked at when the last minute began: so the first answer has a rate, if a poor one."""
        begin = int(total.at_s // 60) - 1
        lately = [row for row in minutes if row.minute >= begin]
        ended, run_ms = sum(row.ended + row.failed for row in lately), sum(row.run_ms for row in lately)
        return Totals(begin * 60.0, total.ended - ended, total.run_ms - run_ms)

    def _work_left_s(self, session: Session, counts: QueueCounts, now_s: float) -> float | None:
        if not counts.waiting + counts.active:
            return 0.0
        forecast = self._forecasts.get(counts.queue)
        if forecast is None or now_s - forecast.at_s > PRICED_FOR_S:
            forecast = self._forecasts[counts.queue] = self._forecast(session, counts.queue, now_s)
        if forecast.line_ms is None:
            return None
        return seconds_of_work(forecast.line_ms, forecast.sampled, counts.waiting, counts.active)

    @staticmethod
    def _forecast(session: Session, queue: QueueName, now_s: float) -> Forecast:
        ended = queue_activity.measured(session, queue)
        if len(ended) < FEW:
            ended += queue_activity.under_way(session, queue, round(now_s * 1000))
        if not ended:
            return Forecast(now_s, None, 0)
        prices = prices_of(ended)
        usual_ms = sum(one.duration_ms for one in ended) / len(ended)
        line = [(str(one.name), one.size_bytes / MEGABYTE) for one in queue_activity.next_in_line(session, queue)]
        if not line:  # the last ones are at work
            line = [(str(one.name), one.size_bytes / MEGABYTE) for one in ended]
        return Forecast(now_s, work_ms(line, prices, usual_ms), len(line))


def prices_of(ended: list[Measured]) -> dict[str, Price]:
    """By job type."""
    by_name: dict[str, list[tuple[float, float]]] = {}
    for one in ended:
        by_name.setdefault(str(one.name), []).append((one.size_bytes / MEGABYTE, float(one.duration_ms)))
    prices = {name: price_of(pairs) for name, pairs in by_name.items()}
    return {name: price for name, price in prices.items() if price is not None}
