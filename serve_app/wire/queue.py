"""Queues and jobs in Immich's spelling. Source: spec/queues.md §4–7."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StrictBool, StrictStr, WithJsonSchema

from cluster.names import OWN_JOBS, JobName, QueueName
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord, QueueCounts
from serve_app.wire.common import STORABLE, Wire


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
    """`force`: all assets; off: those that miss something; not given: as the queue understands it."""

    command: Command
    force: StrictBool | None = None


class QueueUpdate(Wire):
    """What is to change of a queue. `reason` and `until` go with a pause; Immich has neither."""

    is_paused: StrictBool | None = None
    reason: Annotated[StrictStr, Field(max_length=200), STORABLE] = ""
    until: AwareDatetime | None = None


class QueueDelete(Wire):
    """`failed`: failed jobs, too."""

    failed: StrictBool = False


class Counts(Wire):
    """Jobs by state. What waits in a paused queue is `paused`."""

    active: int
    completed: int
    failed: int
    delayed: int
    waiting: int
    paused: int


class LegacyStatus(Wire):
    """Whether something runs, and whether more may start."""

    is_active: bool
    is_paused: bool


class LegacyQueue(Wire):
    """A queue in the older API."""

    queue_status: LegacyStatus
    job_counts: Counts


class LegacyQueues(Wire):
    """Every queue by its name."""

    thumbnail_generation: LegacyQueue
    metadata_extraction: LegacyQueue
    video_conversion: LegacyQueue
    face_detection: LegacyQueue
    facial_recognition: LegacyQueue
    smart_search: LegacyQueue
    duplicate_detection: LegacyQueue
    background_task: LegacyQueue
    storage_template_migration: LegacyQueue
    migration: LegacyQueue
    search: LegacyQueue
    sidecar: LegacyQueue
    library: LegacyQueue
    notifications: LegacyQueue
    backup_database: LegacyQueue
    ocr: LegacyQueue
    workflow: LegacyQueue
    integrity_check: LegacyQueue
    editor: LegacyQueue


class QueueSeen(Wire):
    """A queue in the newer API. `wait_reason`, which Immich has not: why nothing of it can start (no node, no mount, no
    weights), else why the first job that was put off was; empty when there is neither."""

    name: QueueName
    is_paused: bool
    statistics: Counts
    wait_reason: str


WIRE_JOBS = [name.value for name in JobName if name not in OWN_JOBS]


class JobSeen(Wire):
    """A job in a list. `timestamp`: milliseconds since 1970 when it was enqueued."""

    id: str
    name: Annotated[JobName, WithJsonSchema({"type": "string", "enum": WIRE_JOBS})]
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


def legacy_queues(queues: Mapping[QueueName, QueueCounts]) -> LegacyQueues:
    return LegacyQueues.model_validate({name.value: legacy_queue(queue) for name, queue in queues.items()})


def queue_seen(queue: QueueCounts) -> QueueSeen:
    return QueueSeen(name=queue.queue, is_paused=queue.paused, statistics=counts(queue), wait_reason=queue.wait_reason)


def job_seen(job: JobRecord, shown_as: JobName) -> JobSeen:
    """A job that failed or was put off carries the reason as `data.error`, an active one how far it is (0 to 1) as
    `data.progress`: Immich has no fields for them."""
    data = dict(job.payload)
    if job.state is JobState.ACTIVE and job.progress is not None:
        data["progress"] = round(job.progress, 3)
    if job.state in (JobState.FAILED, JobState.DELAYED) and job.error:
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
