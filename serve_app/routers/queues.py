"""/queues: queues and their jobs. Admins only. Source: spec/queues.md §7."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from cluster.names import QueueName
from serve_app.deps import Caller, Services, ServicesOf, allow, in_one_turn
from serve_app.services import queues
from serve_app.wire.queue import (
    JobSeen,
    JobStatus,
    QueueDelete,
    QueueSeen,
    QueueUpdate,
    job_seen,
    queue_seen,
    states_asked,
)

router = APIRouter(prefix="/queues", tags=["queues"])

Reader = Annotated[Caller, Depends(allow("queue.read", admin=True))]


@router.get("", response_model=list[QueueSeen])
async def get_queues(request: Request) -> Response:
    """Every queue, with its counts."""

    def seen(services: Services, _: Caller) -> list[QueueSeen]:
        return [queue_seen(queue) for queue in queues.list_queues(services).values()]

    return await in_one_turn(request, "queue.read", seen, admin=True, short=True)


@router.get("/{name}")
def get_queue(name: QueueName, caller: Reader, services: ServicesOf) -> QueueSeen:
    """One queue."""
    return queue_seen(queues.get_queue(services, name))


@router.put("/{name}")
def update_queue(
    name: QueueName,
    body: QueueUpdate,
    caller: Annotated[Caller, Depends(allow("queue.update", admin=True))],
    services: ServicesOf,
) -> QueueSeen:
    """Pause or resume."""
    if body.is_paused is not None:
        why = queues.Pause(body.reason, body.until)
        queues.set_paused(services, name, body.is_paused, caller, why)
    return queue_seen(queues.get_queue(services, name))


@router.get("/{name}/jobs")
def get_queue_jobs(
    name: QueueName,
    caller: Annotated[Caller, Depends(allow("queueJob.read", admin=True))],
    services: ServicesOf,
    status: Annotated[list[JobStatus] | None, Query()] = None,
) -> list[JobSeen]:
    """Its jobs, newest first; those of some states, or all."""
    states = states_asked(status, queues.is_paused(services, name))
    return [job_seen(job, queues.shown_name(job.name)) for job in queues.list_jobs(services, name, states)]


@router.delete("/{name}/jobs", status_code=204)
def empty_queue(
    name: QueueName,
    caller: Annotated[Caller, Depends(allow("queueJob.delete", admin=True))],
    services: ServicesOf,
    body: Annotated[QueueDelete | None, Body()] = None,
) -> None:
    """Drop what waits; with `failed`, what failed too."""
    queues.empty(services, name, caller)
    if body is not None and body.failed:
        queues.clear_failed(services, name, caller)
