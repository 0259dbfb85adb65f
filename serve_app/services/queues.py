"""Looking at queues, and telling them what to do."""

from collections.abc import Callable
from typing import Any

from cluster.errors import BadRequest
from cluster.names import JobName, QueueName
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord, QueueCounts
from serve_app.deps import Services
from tasks.registry import job_named

MOST_JOBS = 1001
"""As many per state as Immich lists."""


def list_queues(services: Services) -> dict[QueueName, QueueCounts]:
    with services.store.transaction(reading=True) as tx:
        return services.store.counts(tx)


def get_queue(services: Services, queue: QueueName) -> QueueCounts:
    return list_queues(services)[queue]


def pause(services: Services, queue: QueueName) -> None:
    """Start nothing more of it; what runs goes on. Survives restarts."""
    _do(services, lambda tx: services.store.pause(tx, queue))


def resume(services: Services, queue: QueueName) -> None:
    _do(services, lambda tx: services.store.resume(tx, queue))


def empty(services: Services, queue: QueueName) -> None:
    """Drop what waits."""
    _do(services, lambda tx: services.store.empty(tx, queue))


def clear_failed(services: Services, queue: QueueName) -> None:
    _do(services, lambda tx: services.store.clear_failed(tx, queue))


def set_paused(services: Services, queue: QueueName, paused: bool) -> None:
    """The newer API's way. Raises BadRequest for the queue that it never pauses."""
    if paused and queue is QueueName.BACKGROUND_TASK:
        raise BadRequest("The BackgroundTask queue cannot be paused")
    (pause if paused else resume)(services, queue)


def list_jobs(services: Services, queue: QueueName, states: list[JobState]) -> list[JobRecord]:
    """Newest first."""
    with services.store.transaction(reading=True) as tx:
        return services.store.jobs(tx, queue, states, MOST_JOBS)


def is_paused(services: Services, queue: QueueName) -> bool:
    return get_queue(services, queue).paused


def shown_name(name: JobName) -> JobName:
    """The name that clients know: a job of ours shows as its parent."""
    return job_named(name).spec.wire_name or name


def _do(services: Services, change: Callable[[Any], object]) -> None:
    with services.database.session(durable=True) as session:
        change(session)
