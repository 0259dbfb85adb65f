"""What a settlement adds to the per-minute statistics and to the short history, and what a meter reads of them. Pure:
every store counts by it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cluster.names import JobName, QueueName
from cluster.queue.job import Lease
from cluster.queue.store import Continue, Fail, Finish, QueueCounts, Retry, Settlement

HISTORY_PER_QUEUE = 20
"""Done and skipped jobs of one queue that one call of `settle` remembers; failed ones are all remembered."""


@dataclass(slots=True)
class Tally:
    """Counts and summed milliseconds of one job type."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    retried: int = 0
    run_ms: int = 0
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """A line of the history: `outcome` is done, skipped or failed."""

    lease: Lease
    outcome: str
    reason: str
    node: str
    duration_ms: int
    wait_ms: int


MinuteOfJob = tuple[int, QueueName, JobName]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far was read: statistics from `minute` on may still change, history above `history_id` is new."""

    minute: int
    history_id: int


@dataclass(frozen=True, slots=True)
class Readings:
    """`oldest_s`: age of the job that each queue starts next; `tallies`: of the minutes from the mark on; `durations`:
    jobs of the history above the mark and their seconds. `mark`: for the next reading."""

    counts: Mapping[QueueName, QueueCounts]
    oldest_s: Mapping[QueueName, float]
    tallies: Mapping[MinuteOfJob, Tally]
    durations: Sequence[tuple[QueueName, JobName, float]]
    mark: Mark


def waited_ms(lease: Lease, duration_ms: int, now_ms: int) -> int:
    """From being enqueued to now, less the work itself."""
    return max(0, now_ms - int(lease.enqueued_at.timestamp() * 1000) - duration_ms)


def tallies(settlements: Iterable[Settlement], now_ms: int) -> dict[tuple[QueueName, JobName], Tally]:
    """Per job type, what these settlements count for. Release and Defer count nothing."""
    result: dict[tuple[QueueName, JobName], Tally] = defaultdict(Tally)
    for settlement in settlements:
        lease = settlement.lease
        match settlement:
            case Finish(skipped=skipped, duration_ms=duration_ms):
                tally = result[lease.queue, lease.name]
                tally.skipped += skipped
                tally.done += not skipped
                tally.run_ms += duration_ms
                tally.wait_ms += waited_ms(lease, duration_ms, now_ms)
            case Fail(attempt=attempt):
                tally = result[lease.queue, lease.name]
                tally.failed += 1
                tally.run_ms += attempt.duration_ms
                tally.wait_ms += waited_ms(lease, attempt.duration_ms, now_ms)
            case Retry(attempt=attempt):
                tally = result[lease.queue, lease.name]
                tally.retried += 1
                tally.run_ms += attempt.duration_ms
            case Continue(duration_ms=duration_ms):
                result[lease.queue, lease.name].run_ms += duration_ms
    return result


def history(settlements: Iterable[Settlement], now_ms: int) -> Iterator[Ended]:
    """The lines worth keeping, at most `HISTORY_PER_QUEUE` done or skipped ones per queue."""
    kept: dict[QueueName, int] = defaultdict(int)
    for settlement in settlements:
        lease = settlement.lease
        if isinstance(settlement, Fail):
            attempt = settlement.attempt
            wait_ms = waited_ms(lease, attempt.duration_ms, now_ms)
            yield Ended(lease, "failed", attempt.message, attempt.node, attempt.duration_ms, wait_ms)
        elif isinstance(settlement, Finish) and kept[lease.queue] < HISTORY_PER_QUEUE:
            kept[lease.queue] += 1
            outcome = "skipped" if settlement.skipped else "done"
            wait_ms = waited_ms(lease, settlement.duration_ms, now_ms)
            yield Ended(lease, outcome, settlement.reason, settlement.node, settlement.duration_ms, wait_ms)
