"""/queues/{name}/…: single jobs of a queue, and /failures: what failed of one's own assets. Ours.

Immich lists jobs without what became of them; its clients never ask here.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from cluster.db.queries.job_details import Sought
from cluster.names import QueueName
from cluster.queue.job import JobId
from serve_app.deps import Caller, Services, ServicesOf, allow
from serve_app.services import failed_jobs
from serve_app.services.queues import shown_name
from serve_app.wire.common import LARGEST, WireId
from serve_app.wire.job_details import (
    AttemptSeen,
    Changed,
    EndedSeen,
    FailedChoice,
    FailedPage,
    KindOfFailure,
    RunningSeen,
    ShortText,
    attempt_seen,
    ended_seen,
    failed_seen,
    running_seen,
)

router = APIRouter(include_in_schema=False)

Reader = Annotated[Caller, Depends(allow("queueJob.read", admin=True))]
Updater = Annotated[Caller, Depends(allow("queueJob.update", admin=True))]
Deleter = Annotated[Caller, Depends(allow("queueJob.delete", admin=True))]
Number = Annotated[int, Path(ge=1, le=LARGEST)]
Before = Annotated[int | None, Query(ge=1, le=LARGEST)]
Size = Annotated[int, Query(ge=1, le=200)]
PAGE = 50
DOWNLOAD_PAGE = 500


def sought(
    name: QueueName,
    error_class: Annotated[ShortText, Query(alias="errorClass")] = "",
    node: Annotated[ShortText, Query()] = "",
    file: Annotated[ShortText, Query()] = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sought:
    """What a query asks for."""
    return Sought(name, error_class, node, file, since, until)


@router.get("/queues/{name}/running")
def get_running_jobs(name: QueueName, caller: Reader, services: ServicesOf) -> list[RunningSeen]:
    """What workers hold now."""
    return [running_seen(job, shown_name(job.name)) for job in failed_jobs.running_jobs(services, name)]


@router.delete("/queues/{name}/running/{id}", status_code=204)
def cancel_job(name: QueueName, id: Number, caller: Deleter, services: ServicesOf) -> None:
    """End a job that runs. It is not tried again."""
    failed_jobs.cancel(services, name, JobId(id), caller)


@router.get("/queues/{name}/recent")
def get_recent_jobs(name: QueueName, caller: Reader, services: ServicesOf) -> list[EndedSeen]:
    """Some of the jobs that ended lately, newest first."""
    return [ended_seen(job, shown_name(job.name)) for job in failed_jobs.recent_jobs(services, name)]


@router.get("/queues/{name}/failures")
def get_failed_jobs(
    caller: Reader,
    services: ServicesOf,
    which: Annotated[Sought, Depends(sought)],
    before: Before = None,
    size: Size = PAGE,
) -> FailedPage:
    """Failed jobs with their reasons, newest first."""
    return _page(services, which, before, size)


@router.get("/queues/{name}/failures/kinds")
def get_kinds_of_failure(name: QueueName, caller: Reader, services: ServicesOf) -> list[KindOfFailure]:
    """Error classes and nodes, with how many jobs each has, the most frequent first."""
    return [
        KindOfFailure(error_class=error_class, node=node, count=count)
        for error_class, node, count in failed_jobs.kinds_of_failure(services, name)
    ]


@router.get("/queues/{name}/failures/download", response_class=StreamingResponse)
def download_failed_jobs(
    name: QueueName, caller: Reader, services: ServicesOf, which: Annotated[Sought, Depends(sought)]
) -> StreamingResponse:
    """All that match, as one JSON array."""

    def lines() -> Iterator[bytes]:
        separator, below = b"[\n", None
        while True:
            found = failed_jobs.failed_jobs(services, which, below, DOWNLOAD_PAGE)
            for job in found.jobs:
                yield separator + to_json(failed_seen(job, shown_name(job.name)), by_alias=True)
                separator = b",\n"
            below = found.next_below
            if below is None:
                break
        yield b"\n]\n" if separator == b",\n" else b"[]\n"

    headers = {"content-disposition": f'attachment; filename="failed-{name}.json"'}
    return StreamingResponse(lines(), media_type="application/json", headers=headers)


@router.get("/queues/{name}/failures/{id}/attempts")
def get_attempts(name: QueueName, id: Number, caller: Reader, services: ServicesOf) -> list[AttemptSeen]:
    """Every attempt of one failed job."""
    return [attempt_seen(attempt) for attempt in failed_jobs.attempts_of(services, name, id)]


@router.post("/queues/{name}/failures/retry")
def retry_failed_jobs(
    name: QueueName, body: Annotated[FailedChoice, Body()], caller: Updater, services: ServicesOf
) -> Changed:
    """Try failed jobs again: these, or all that match."""
    return Changed(count=failed_jobs.retry(services, name, _chosen(name, body), caller))


@router.post("/queues/{name}/failures/discard")
def discard_failed_jobs(
    name: QueueName, body: Annotated[FailedChoice, Body()], caller: Deleter, services: ServicesOf
) -> Changed:
    """Let go of failed jobs: these, or all that match."""
    return Changed(count=failed_jobs.discard(services, name, _chosen(name, body), caller))


@router.get("/failures")
def get_own_failures(
    caller: Annotated[Caller, Depends(allow("asset.read"))],
    services: ServicesOf,
    asset_id: Annotated[WireId | None, Query(alias="assetId")] = None,
    before: Before = None,
    size: Size = PAGE,
) -> FailedPage:
    """Failed jobs of one's own assets, or of one of them."""
    return _page(services, Sought(owner_id=caller.user_id, asset_id=asset_id), before, size)


def _page(services: Services, which: Sought, before: int | None, size: int) -> FailedPage:
    found = failed_jobs.failed_jobs(services, which, before, size)
    return FailedPage(
        items=[failed_seen(job, shown_name(job.name)) for job in found.jobs],
        total=found.total,
        next=None if found.next_below is None else str(found.next_below),
    )


def _chosen(queue: QueueName, body: FailedChoice) -> Sought | list[JobId]:
    if body.ids is not None:
        return [JobId(int(one)) for one in body.ids if one.isascii() and one.isdigit() and len(one) < 19]
    return Sought(queue, body.error_class, body.node, body.file, body.since, body.until, asset_id=body.asset_id)
