"""What moves in the queues, as our own pages and commands see it: Immich has nothing like it."""

from typing import Literal

from cluster.names import QueueName
from serve_app.services.queue_activity import Activity, Look
from serve_app.wire.common import Wire, WireTime


class QueueActivity(Wire):
    """One queue now. `waiting` counts what a pause holds back, too.

    `jobs_per_second`: over the last 20 seconds. `seconds_left`: by measured prices, null while nothing moves:
    `work_left_s`, what one worker alone would take (null while nothing like it was measured), by `speed`, the seconds
    of work that are done in a second, or by the jobs at work, `at_once` at most, while nothing ended.
    `per_minute`: jobs that ended in each of the last 30 minutes, this one last; `failed_per_minute` likewise.
    """

    name: QueueName
    is_paused: bool
    paused_reason: str
    paused_by: str
    paused_until: WireTime | None
    wait_reason: str
    active: int
    waiting: int
    delayed: int
    failed: int
    jobs_per_second: float
    seconds_left: float | None
    work_left_s: float | None
    speed: float
    at_once: int
    oldest_waiting_at: WireTime | None
    per_minute: list[int]
    failed_per_minute: list[int]


def queue_activity(queue: QueueName, seen: Activity) -> QueueActivity:
    counts = seen.counts
    return QueueActivity(
        name=queue,
        is_paused=counts.paused,
        paused_reason=counts.paused_reason,
        paused_by=counts.paused_by,
        paused_until=counts.paused_until,
        wait_reason=counts.wait_reason,
        active=counts.active,
        waiting=counts.waiting,
        delayed=counts.delayed,
        failed=counts.failed,
        jobs_per_second=round(seen.jobs_per_second, 2),
        seconds_left=None if seen.seconds_left is None else round(seen.seconds_left),
        work_left_s=None if seen.work_left_s is None else round(seen.work_left_s, 1),
        speed=round(seen.speed, 2),
        at_once=seen.at_once,
        oldest_waiting_at=seen.oldest_waiting_at,
        per_minute=list(seen.per_minute),
        failed_per_minute=list(seen.failed_per_minute),
    )


class AllActivity(Wire):
    """All queues together. `seconds_left`: until all that can run are empty, by what stands in them now; null while
    nothing moves."""

    name: Literal["all"] = "all"
    seconds_left: float | None


def each_activity(seen: Look) -> list[QueueActivity]:
    return [queue_activity(queue, activity) for queue, activity in seen.queues.items()]


def all_activity(seen: Look) -> AllActivity:
    return AllActivity(seconds_left=None if seen.seconds_left is None else round(seen.seconds_left))
