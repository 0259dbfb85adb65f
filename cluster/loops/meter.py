"""What the queues hold and did → metrics, every ten seconds, by the rows that the statistics keep anyway.

Nothing is counted where jobs are settled, so measuring costs a busy queue nothing. Counters start at 0 with the
controller, as Prometheus expects. Of several controllers each tells of the queues that it owns.
"""

from collections.abc import Callable, Mapping, Sequence

from cluster.loops.in_flight import InFlight
from cluster.loops.loop import Loop
from cluster.metrics import (
    DURATION,
    JOBS,
    LOOP_CPU,
    LOOP_FAILURES,
    LOOP_TICKS,
    QUEUE_CALLS,
    QUEUE_HELD,
    QUEUE_JOBS,
    QUEUE_OLDEST,
    QUEUE_PAUSED,
    RUN_SECONDS,
    WAIT_SECONDS,
    Metrics,
)
from cluster.names import QueueName
from cluster.queue.states import JobState
from cluster.queue.statistics import Mark, MinuteOfJob, Readings, Tally

EVERY_S = 10.0


class Meter:
    """`read(None)`: where to begin."""

    def __init__(
        self,
        read: Callable[[Mark | None], Readings],
        metrics: Metrics,
        owned: Callable[[], set[QueueName]],
        in_flight: InFlight,
        loops: Sequence[Loop],
    ) -> None:
        self._read, self._record, self._owned = read, metrics.record, owned
        self._in_flight, self._loops = in_flight, loops
        self._mark: Mark | None = None
        self._counted: Mapping[MinuteOfJob, Tally] = {}
        self._told: set[QueueName] = set()
        self._loop_totals: dict[str, tuple[float, int, int]] = {}

    def tick(self) -> float:
        readings, owned = self._read(self._mark), self._owned()
        for queue in self._told | owned:
            self._tell_queue(queue, readings, queue in owned)
        self._told = owned
        if self._mark is not None:
            self._tell_jobs(readings, owned)
        self._mark, self._counted = readings.mark, readings.tallies
        for loop in self._loops:
            self._tell_loop(loop)
        return EVERY_S

    def _tell_queue(self, queue: QueueName, readings: Readings, ours: bool) -> None:
        """One that another controller has now shows nothing here, or it would be there twice."""
        counts = readings.counts[queue]
        for state in JobState:
            self._record(QUEUE_JOBS, getattr(counts, state) if ours else 0, queue, state)
        self._record(QUEUE_PAUSED, ours and counts.paused, queue)
        self._record(QUEUE_HELD, ours and bool(counts.wait_reason), queue)
        self._record(QUEUE_OLDEST, readings.oldest_s.get(queue, 0.0) if ours else 0.0, queue)
        self._record(QUEUE_CALLS, self._in_flight.calls_of(queue), queue)

    def _tell_jobs(self, readings: Readings, owned: set[QueueName]) -> None:
        nothing = Tally()
        for key, now in readings.tallies.items():
            _, queue, name = key
            before = self._counted.get(key, nothing)
            if queue not in owned:
                continue
            for outcome in ("done", "skipped", "failed", "retried"):
                self._record(JOBS, getattr(now, outcome) - getattr(before, outcome), queue, name, outcome)
            self._record(RUN_SECONDS, (now.run_ms - before.run_ms) / 1000, queue, name)
            self._record(WAIT_SECONDS, (now.wait_ms - before.wait_ms) / 1000, queue, name)
        for queue, name, seconds in readings.durations:
            if queue in owned:
                self._record(DURATION, seconds, name)

    def _tell_loop(self, loop: Loop) -> None:
        now = (loop.cpu_s, loop.ticks, loop.failures)
        before = self._loop_totals.get(loop.name, (0.0, 0, 0))
        for metric, new, old in zip((LOOP_CPU, LOOP_TICKS, LOOP_FAILURES), now, before, strict=True):
            self._record(metric, new - old, loop.name)
        self._loop_totals[loop.name] = now
