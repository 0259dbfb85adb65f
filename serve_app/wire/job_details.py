"""Single jobs as our own pages and commands see them."""

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StrictStr

from cluster.db.queries.job_details import Attempt, EndedJob, FailedJob, RunningJob
from cluster.names import JobName, QueueName
from serve_app.wire.common import STORABLE, WhenKnown, Wire, WireId, WireTime

ShortText = Annotated[StrictStr, Field(max_length=200), STORABLE]


class RunningSeen(Wire):
    """A job that a worker holds. `progress`: 0 to 1, where its worker says so."""

    id: str
    name: JobName
    asset_id: str | None
    file_name: str
    node: str
    started_at: WireTime | None
    progress: float | None
    attempt: int
    data: dict[str, Any]


class EndedSeen(Wire):
    """A job that ended lately. `outcome`: done, skipped or failed."""

    name: JobName
    asset_id: str | None
    file_name: str
    outcome: str
    reason: str
    node: str
    duration_ms: int
    ended_at: WireTime


class AttemptSeen(Wire):
    """An attempt that failed. `tool_output`: the end of what a program said."""

    attempt: int
    error_class: str
    message: str
    traceback: str
    tool_output: str
    node: str
    duration_ms: int
    peak_memory_mb: int
    at: WireTime


class FailedSeen(Wire):
    """A job that failed for good, and its last attempt."""

    id: str
    name: JobName
    queue: QueueName
    asset_id: str | None
    file_name: str
    data: dict[str, Any]
    attempts: int
    error: str
    last: WhenKnown[AttemptSeen] = None


class FailedPage(Wire):
    """`total`: of all that match; `next`: what to ask for as `before` to see more."""

    items: list[FailedSeen]
    total: int
    next: str | None


class KindOfFailure(Wire):
    """How many failed jobs ended with this class of error on this node."""

    error_class: str
    node: str
    count: int


class FailedChoice(Wire):
    """Which failed jobs an action is about: these ids, or all that match what is given."""

    ids: Annotated[list[str] | None, Field(max_length=1000)] = None
    error_class: ShortText = ""
    node: ShortText = ""
    file: ShortText = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    asset_id: WireId | None = None


class Changed(Wire):
    """How many jobs it was."""

    count: int


def running_seen(job: RunningJob, name: JobName) -> RunningSeen:
    return RunningSeen(
        id=str(job.job_id),
        name=name,
        asset_id=job.asset_id,
        file_name=job.file_name,
        node=job.node,
        started_at=job.started_at,
        progress=job.progress,
        attempt=job.attempt,
        data=dict(job.payload),
    )


def ended_seen(job: EndedJob, name: JobName) -> EndedSeen:
    return EndedSeen(**asdict(job) | {"name": name})


def attempt_seen(attempt: Attempt) -> AttemptSeen:
    return AttemptSeen(**asdict(attempt))


def failed_seen(job: FailedJob, name: JobName) -> FailedSeen:
    return FailedSeen(
        id=str(job.job_id),
        name=name,
        queue=job.queue,
        asset_id=job.asset_id,
        file_name=job.file_name,
        data=dict(job.payload),
        attempts=job.attempts,
        error=job.error,
        last=attempt_seen(job.last) if job.last is not None else None,
    )
