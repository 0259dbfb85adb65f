"""Single jobs as a person looks at them: what runs, what ended lately, what failed and why."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cluster.db.dialects import contains_text
from cluster.db.queries.assets import unlocked
from cluster.db.tables.asset import Asset
from cluster.db.tables.job import Job, JobAttempt, JobHistory
from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import JobId, Payload

RUNNING_MOST, RECENT_MOST, ENDED_MOST, LATELY = 200, 50, 200, 2000
FAILED = text("job.state = 'failed'")
ACTIVE = text("job.state = 'active'")
"""Word for word as the partial indexes say it."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """`node` and `progress` are known from the first beat that told them."""

    job_id: JobId
    name: JobName
    asset_id: str | None
    file_name: str
    node: str
    started_at: datetime | None
    progress: float | None
    attempt: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A line of the history. `outcome`: done, skipped or failed; `enqueued_at`: by what it waited and took."""

    job_id: JobId
    name: JobName
    asset_id: str | None
    file_name: str
    outcome: str
    reason: str
    node: str
    duration_ms: int
    ended_at: datetime
    enqueued_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that failed."""

    attempt: int
    error_class: str
    message: str
    traceback: str
    tool_output: str
    node: str
    duration_ms: int
    peak_memory_mb: int
    at: datetime


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that failed for good, with its last attempt, where that is still remembered."""

    job_id: JobId
    name: JobName
    queue: QueueName
    asset_id: str | None
    file_name: str
    payload: Payload
    attempts: int
    error: str
    last: Attempt | None


@dataclass(frozen=True, slots=True)
class Sought:
    """Which failed jobs. Empty or None: whatever they have there. `file`: a part of the file's name; `owner_id`: whose
    assets they are about."""

    queue: QueueName | None = None
    error_class: str = ""
    node: str = ""
    file: str = ""
    since: datetime | None = None
    until: datetime | None = None
    owner_id: str | None = None
    asset_id: str | None = None


def running(session: Session, queue: QueueName) -> list[RunningJob]:
    """Those that were taken first come first."""
    return _running(session, _RUNNING.where(Job.queue == queue).limit(RUNNING_MOST))


def running_by_node(session: Session) -> dict[str, list[RunningJob]]:
    """What each node's workers were heard of last with; jobs that nobody was heard of with yet are left out."""
    found: dict[str, list[RunningJob]] = {}
    for job in _running(session, _RUNNING.where(Job.node.is_not(None)).limit(RUNNING_MOST)):
        found.setdefault(job.node, []).append(job)
    return found


def last_ends(session: Session) -> dict[str, datetime]:
    """When a job ended on each node last, of the jobs that the history remembers from lately."""
    lately = select(JobHistory.node, JobHistory.ended_at).order_by(JobHistory.id.desc()).limit(LATELY).subquery()
    rows = session.execute(select(lately.c.node, func.max(lately.c.ended_at)).group_by(lately.c.node))
    return {node: at for node, at in rows if node}


_RUNNING = (
    select(
        *(Job.id, Job.name, Job.asset_id, Asset.original_file_name, Job.node, Job.started_at, Job.progress),
        *(Job.attempts, Job.payload),
    )
    .outerjoin(Asset, Asset.id == Job.asset_id)
    .where(ACTIVE)
    .order_by(Job.started_at, Job.id)
)


def _running(session: Session, wanted: Any) -> list[RunningJob]:
    return [
        RunningJob(JobId(one), JobName(name), asset, file or "", node or "", at, progress, attempts + 1, payload)
        for one, name, asset, file, node, at, progress, attempts, payload in session.execute(wanted)
    ]


def recent(session: Session, queue: QueueName) -> list[EndedJob]:
    """Newest first."""
    return _ended(session, _ENDED.where(JobHistory.queue == queue).limit(RECENT_MOST))


def ended_since(session: Session, names: Sequence[JobName], since: datetime) -> list[EndedJob]:
    """Of these job types those that ended after that, newest first, while the history has them."""
    queues = {QUEUE_OF_JOB[name] for name in names}
    ended = (JobHistory.queue.in_(queues), JobHistory.name.in_(names), JobHistory.ended_at >= since)
    return _ended(session, _ENDED.where(*ended).limit(ENDED_MOST))


def ids_of_waiting(session: Session, dedup_keys: Collection[str]) -> list[JobId]:
    """The jobs with these keys that no worker holds."""
    wanted = select(Job.id).where(Job.dedup_key.in_(dedup_keys), text("state <> 'active'"))
    return [JobId(one) for one in session.scalars(wanted)]


_ENDED = (
    select(
        *(JobHistory.job_id, JobHistory.name, JobHistory.asset_id, Asset.original_file_name, JobHistory.outcome),
        *(JobHistory.reason, JobHistory.node, JobHistory.duration_ms, JobHistory.ended_at, JobHistory.wait_ms),
    )
    .outerjoin(Asset, Asset.id == JobHistory.asset_id)
    .order_by(JobHistory.id.desc())
)


def _ended(session: Session, wanted: Any) -> list[EndedJob]:
    return [
        EndedJob(
            *(JobId(one), JobName(name), asset, file or "", outcome, reason, node, ms, at),
            at - timedelta(milliseconds=ms + wait_ms),
        )
        for one, name, asset, file, outcome, reason, node, ms, at, wait_ms in session.execute(wanted)
    ]


def failed(session: Session, sought: Sought, below_id: int | None, limit: int) -> list[FailedJob]:
    """Newest first, below an id where one is given."""
    columns = (Job.id, Job.name, Job.queue, Job.asset_id, Asset.original_file_name, Job.payload, Job.attempts)
    wanted = _sought(select(*columns, Job.last_error, JobAttempt), sought).order_by(Job.id.desc()).limit(limit)
    if below_id is not None:
        wanted = wanted.where(Job.id < below_id)
    return [
        FailedJob(
            JobId(one), JobName(name), QueueName(queue), asset, file or "", payload, attempts, error, _attempt(last)
        )
        for one, name, queue, asset, file, payload, attempts, error, last in session.execute(wanted)
    ]


def count_failed(session: Session, sought: Sought) -> int:
    if sought == Sought(queue=sought.queue):  # counted in the index alone
        of_queue = select(func.count()).select_from(Job).where(Job.queue == sought.queue, FAILED)
        return session.scalar(of_queue) or 0
    return session.scalar(_sought(select(func.count()).select_from(Job), sought)) or 0


def failed_ids(session: Session, sought: Sought, at_once: int) -> Iterator[list[JobId]]:
    """All that match, in pages."""
    below: int | None = None
    while True:
        wanted = _sought(select(Job.id), sought).order_by(Job.id.desc()).limit(at_once)
        page = session.scalars(wanted if below is None else wanted.where(Job.id < below)).all()
        if not page:
            return
        yield [JobId(one) for one in page]
        below = page[-1]


def kinds_of_failure(session: Session, queue: QueueName, most: int = 50) -> list[tuple[str, str, int]]:
    """(error class, node, how many) of a queue's failed jobs, the most frequent first."""
    wanted = _sought(select(JobAttempt.error_class, JobAttempt.node, func.count()), Sought(queue))
    rows = session.execute(
        wanted.group_by(JobAttempt.error_class, JobAttempt.node).order_by(func.count().desc()).limit(most)
    )
    return [(error_class or "", node or "", count) for error_class, node, count in rows]


def attempts_of(session: Session, job_id: int) -> list[Attempt]:
    """In order."""
    rows = session.scalars(select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.id)).all()
    return [attempt for row in rows if (attempt := _attempt(row))]


def failed_job_of(session: Session, queue: QueueName, job_id: int) -> bool:
    """Whether there is such a failed job."""
    wanted = select(Job.id).where(Job.id == job_id, Job.queue == queue, Job.state == "failed")
    return session.scalar(wanted) is not None


def _sought(wanted: Any, sought: Sought) -> Any:
    """Joined with the last attempt and the asset, and narrowed down."""
    newest = select(func.max(JobAttempt.id)).where(JobAttempt.job_id == Job.id).correlate(Job).scalar_subquery()
    wanted = (
        wanted.select_from(Job)
        .outerjoin(JobAttempt, JobAttempt.id == newest)
        .outerjoin(Asset, Asset.id == Job.asset_id)
    )
    conditions: list[Any] = [FAILED]
    if sought.queue is not None:
        conditions.append(Job.queue == sought.queue)
    if sought.error_class:
        conditions.append(JobAttempt.error_class == sought.error_class)
    if sought.node:
        conditions.append(JobAttempt.node == sought.node)
    if sought.file:
        conditions.append(contains_text(Asset.original_file_name, sought.file))
    if sought.since is not None:
        conditions.append(JobAttempt.at >= sought.since)
    if sought.until is not None:
        conditions.append(JobAttempt.at <= sought.until)
    if sought.owner_id is not None:
        conditions += [Asset.owner_id == sought.owner_id, unlocked()]
    if sought.asset_id is not None:
        conditions.append(Job.asset_id == sought.asset_id)
    return wanted.where(*conditions)


def _attempt(row: JobAttempt | None) -> Attempt | None:
    if row is None:
        return None
    return Attempt(
        attempt=row.attempt,
        error_class=row.error_class,
        message=row.message,
        traceback=row.traceback_tail,
        tool_output=row.stderr_tail,
        node=row.node,
        duration_ms=row.duration_ms,
        peak_memory_mb=row.peak_memory_mb,
        at=row.at,
    )
