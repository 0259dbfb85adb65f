"""/jobs: the older way to look at queues and to tell them what to do. Admins only. Source: spec/queues.md §5, §6."""

from typing import Annotated, assert_never

from fastapi import APIRouter, Depends, Request, Response

from cluster.names import QueueName
from serve_app.deps import Caller, Services, ServicesOf, allow, in_one_turn
from serve_app.services import queues
from serve_app.services.start_queue import ManualJob, run_manual_job, start_queue
from serve_app.wire.common import Wire
from serve_app.wire.queue import Command, LegacyQueue, LegacyQueues, QueueCommand, legacy_queue, legacy_queues

router = APIRouter(prefix="/jobs", tags=["jobs"])

Creator = Annotated[Caller, Depends(allow("job.create", admin=True))]


class NewManualJob(Wire):
    """Which job."""

    name: ManualJob


@router.get("", response_model=LegacyQueues)
async def get_queues_legacy(request: Request) -> Response:
    """Every queue, with its counts."""
    return await in_one_turn(
        request, "job.read", lambda services, _: legacy_queues(queues.list_queues(services)), admin=True, short=True
    )


@router.post("", status_code=204)
def create_job(body: NewManualJob, caller: Creator, services: ServicesOf) -> None:
    """Start a job by its name."""
    run_manual_job(services, body.name, caller)


@router.put("/{name}")
def run_queue_command_legacy(name: QueueName, body: QueueCommand, caller: Creator, services: ServicesOf) -> LegacyQueue:
    """Tell a queue what to do. Answers how it is then."""
    _run(services, name, body, caller)
    return legacy_queue(queues.get_queue(services, name))


def _run(services: Services, queue: QueueName, body: QueueCommand, caller: Caller) -> None:
    match body.command:
        case Command.START:
            start_queue(services, queue, body.force, caller)
        case Command.PAUSE:
            queues.pause(services, queue, caller)
        case Command.RESUME:
            queues.resume(services, queue, caller)
        case Command.EMPTY:
            queues.empty(services, queue, caller)
        case Command.CLEAR_FAILED:
            queues.clear_failed(services, queue, caller)
        case _:
            assert_never(body.command)
