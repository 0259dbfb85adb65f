"""Queues and jobs in Immich's spelling. Source: spec/queues.md §4–7."""

from enum import StrEnum
from typing import Any

from cluster.names import JobName, QueueName
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord, QueueCounts
from serve_app.wire.common import Wire


class Command(StrEnum):
    """What the legacy API tells a queue."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    EMPTY = "empty"
    CLEAR_FAILED = "clear-failed"


class JobStatus(StrEnum):
    """States that clients ask for; `completed` is always empty, since a finished job has no row."""

    ACTIVE = "active"
    FAILED = "failed"
    COMPLETED = "completed"
    DELAYED = "delayed"
    WAITING = "waiting"
    PAUSED = "paused"


class QueueCommand(Wire):
    command: Command
    force: bool | None = None


class QueueUpdate(Wire):
    is_paused: bool | None = None


class QueueDelete(Wire):
    failed: bool = False


class Counts(Wire):
    active: int
    completed: int
    failed: int
    delayed: int
    waiting: int
    paused: int


class LegacyStatus(Wire):
    is_active: bool
    is_paused: bool


class LegacyQueue(Wire):
    queue_status: LegacyStatus
    job_counts: Counts


class QueueSeen(Wire):
    name: QueueName
    is_paused: bool
    statistics: Counts


class JobSeen(Wire):
    id: str
    name: JobName
    data: dict[str, Any]
    timestamp: int


def counts(queue: QueueCounts) -> Counts:
    """While a queue is paused, what waits is shown as paused."""
    return Counts(
        active=queue.active,
        completed=0,
        failed=queue.failed,
        delayed=queue.delayed,
        waiting=0 if queue.paused else queue.waiting,
        paused=queue.waiting if queue.paused else 0,
    )


def legacy_queue(queue: QueueCounts) -> LegacyQueue:
    status = LegacyStatus(is_active=queue.active > 0, is_paused=queue.paused)
    return LegacyQueue(queue_status=status, job_counts=counts(queue))


def queue_seen(queue: QueueCounts) -> QueueSeen:
    return QueueSeen(name=queue.queue, is_paused=queue.paused, statistics=counts(queue))


def job_seen(job: JobRecord, shown_as: JobName) -> JobSeen:
    """A failed job carries its reason as `data.error`: Immich has no field for it."""
    data = dict(job.payload)
    if job.state is JobState.FAILED and job.error:
        data["error"] = job.error
    return JobSeen(id=str(job.job_id), name=shown_as, data=data, timestamp=round(job.enqueued_at.timestamp() * 1000))


def states_asked(statuses: list[JobStatus] | None, paused: bool) -> list[JobState]:
    """The states behind what a client asks for; none asked means all. A paused queue's waiting jobs are `paused`."""
    wanted = set(statuses or JobStatus)
    states = []
    if (JobStatus.PAUSED if paused else JobStatus.WAITING) in wanted:
        states.append(JobState.WAITING)
    for status, state in (
        (JobStatus.ACTIVE, JobState.ACTIVE),
        (JobStatus.DELAYED, JobState.DELAYED),
        (JobStatus.FAILED, JobState.FAILED),
    ):
        if status in wanted:
            states.append(state)
    return states
