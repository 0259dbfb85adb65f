"""Looking at queues, and telling them what to do."""

from dataclasses import dataclass
from datetime import datetime

from cluster.errors import BadRequest
from cluster.names import JobName, QueueName
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord, QueueCounts
from serve_app.deps import Caller, Services
from serve_app.services import audit
from tasks.registry import job_named

MOST_JOBS = 1001
"""As many per state as Immich lists."""


def list_queues(services: Services) -> dict[QueueName, QueueCounts]:
    with services.store.transaction(reading=True) as tx:
        return services.store.counts(tx)


def get_queue(services: Services, queue: QueueName) -> QueueCounts:
    return list_queues(services)[queue]


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a queue is paused, and until when; None: until somebody resumes it."""

    reason: str = ""
    until: datetime | None = None


def pause(services: Services, queue: QueueName, by: Caller, why: Pause = Pause()) -> None:
    """Start nothing more of it; what runs goes on. Survives restarts. Raises BadRequest for an end that is over."""
    if why.until is not None and why.until <= services.clock.now():
        raise BadRequest("The pause would end in the past")
    with services.database.session(durable=True) as session:
        name = audit.name_of(session, by)
        services.store.pause(session, queue, why.reason, name, why.until)
        until = "" if why.until is None else f"until {why.until.isoformat(timespec='minutes')}"
        audit.note(session, services, by, "pause", queue, ", ".join(filter(None, (until, why.reason))))


def resume(services: Services, queue: QueueName, by: Caller) -> None:
    with services.database.session(durable=True) as session:
        services.store.resume(session, queue)
        audit.note(session, services, by, "resume", queue)


def empty(services: Services, queue: QueueName, by: Caller) -> None:
    """Drop what waits."""
    with services.database.session(durable=True) as session:
        count = services.store.empty(session, queue)
        audit.note(session, services, by, "empty", queue, f"{count} waiting jobs dropped")


def clear_failed(services: Services, queue: QueueName, by: Caller) -> None:
    with services.database.session(durable=True) as session:
        count = services.store.clear_failed(session, queue)
        audit.note(session, services, by, "clear-failed", queue, f"{audit.counted(count, 'failed job')} dropped")


def set_paused(services: Services, queue: QueueName, paused: bool, by: Caller, why: Pause = Pause()) -> None:
    """The newer API's way. Raises BadRequest for the queue that it never pauses."""
    if paused and queue is QueueName.BACKGROUND_TASK:
        raise BadRequest("The BackgroundTask queue cannot be paused")
    if paused:
        pause(services, queue, by, why)
    else:
        resume(services, queue, by)


def list_jobs(services: Services, queue: QueueName, states: list[JobState]) -> list[JobRecord]:
    """Newest first."""
    with services.store.transaction(reading=True) as tx:
        return services.store.jobs(tx, queue, states, MOST_JOBS)


def is_paused(services: Services, queue: QueueName) -> bool:
    return get_queue(services, queue).paused


def shown_name(name: JobName) -> JobName:
    """The name that clients know: a job of ours shows as its parent."""
    return job_named(name).spec.wire_name or name
