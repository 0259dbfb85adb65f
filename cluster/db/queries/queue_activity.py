"""What the queues did lately and what stands in their lines, for graphs and forecasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from sqlalchemy import BindParameter, Integer, Select, bindparam, func, select, text
from sqlalchemy.orm import Session

from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.base import to_ms
from cluster.db.tables.job import Job, JobHistory, JobStatistic
from cluster.names import JobName, QueueName

TOLD_ENOUGH = 0.05
"""Share of a job that has to be done before its pace says something."""
SAMPLES = 200
LOOKED_THROUGH = 20_000
"""Ended jobs of a queue that a forecast is measured by, and jobs in its line that it looks at."""
SIZE = func.coalesce(AssetExif.file_size_bytes, 0)
IS_VIDEO = func.coalesce(Asset.type, "") == "VIDEO"
OF_QUEUE: BindParameter[QueueName] = bindparam("of_queue")


def _in_line(state: Literal["waiting", "active"]) -> Select[Any]:
    line = (
        select(Job.id, func.row_number().over(order_by=(Job.order_key, Job.id)).label("place"))
        .where(Job.queue == OF_QUEUE, text(f"job.state = '{state}'"))  # word for word as the index says it
        .order_by(Job.order_key, Job.id)
        .limit(LOOKED_THROUGH)
        .subquery()
    )
    return (
        select(Job.name, SIZE, IS_VIDEO, Job.payload)
        .join(line, line.c.id == Job.id)
        .outerjoin(AssetExif, AssetExif.asset_id == Job.asset_id)
        .outerjoin(Asset, Asset.id == Job.asset_id)
        .where(line.c.place % bindparam("every", type_=Integer) == 0)
        .limit(2 * SAMPLES)
    )


# Built once: an open page asks them of every queue again and again.
_WAITING, _AT_WORK = _in_line("waiting"), _in_line("active")
_MEASURED = (
    select(JobHistory.name, SIZE, IS_VIDEO, JobHistory.duration_ms)
    .outerjoin(AssetExif, AssetExif.asset_id == JobHistory.asset_id)
    .outerjoin(Asset, Asset.id == JobHistory.asset_id)
    .where(JobHistory.queue == OF_QUEUE, JobHistory.outcome != "failed")
    .order_by(JobHistory.id.desc())
    .limit(SAMPLES)
)
_RAN_ON = select(JobHistory.node).where(JobHistory.queue == OF_QUEUE).order_by(JobHistory.id.desc()).limit(SAMPLES)
_RUNS_ON = select(Job.node).where(Job.queue == OF_QUEUE, text("job.state = 'active'"))


@dataclass(frozen=True, slots=True)
class Minute:
    """What one queue did in one minute (since 1970). `run_ms`: the sum over its jobs."""

    minute: int
    queue: QueueName
    ended: int
    failed: int
    run_ms: int


@dataclass(frozen=True, slots=True)
class Sized:
    """A job type, how many bytes the file has that a job of it is about, 0 where it is about none, and whether that is
    a video."""

    name: JobName
    size_bytes: int
    is_video: bool


@dataclass(frozen=True, slots=True)
class InLine(Sized):
    """A job that is not over; `payload` says what will follow it."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Measured(Sized):
    """A job that ended, and how long a worker took for it."""

    duration_ms: int


def minutes_since(session: Session, minute: int) -> list[Minute]:
    """One row per minute and queue that did something, in order."""
    of_minute = (JobStatistic.minute, JobStatistic.queue)
    ended = func.sum(JobStatistic.done + JobStatistic.skipped)
    rows = session.execute(
        select(*of_minute, ended, func.sum(JobStatistic.failed), func.sum(JobStatistic.run_ms))
        .where(JobStatistic.minute >= minute)
        .group_by(*of_minute)
        .order_by(*of_minute)
    )
    return [Minute(at, QueueName(queue), int(e), int(f), int(ms)) for at, queue, e, f, ms in rows]


def measured(session: Session, queue: QueueName) -> list[Measured]:
    """Jobs of a queue that were done or skipped last, newest first: the next ones are such a mixture, too."""
    rows = session.execute(_MEASURED, {"of_queue": queue})
    return [Measured(JobName(name), size, is_video, duration_ms) for name, size, is_video, duration_ms in rows]


def under_way(session: Session, queue: QueueName, now_ms: int) -> list[Measured]:
    """Jobs at work whose workers say how far they are: as if each had ended, at the pace that it has."""
    rows = session.execute(
        select(Job.name, SIZE, IS_VIDEO, Job.started_at, Job.progress)
        .outerjoin(AssetExif, AssetExif.asset_id == Job.asset_id)
        .outerjoin(Asset, Asset.id == Job.asset_id)
        .where(
            Job.queue == queue, text("job.state = 'active'"), Job.progress >= TOLD_ENOUGH, Job.started_at.is_not(None)
        )
        .limit(SAMPLES)
    )
    return [
        Measured(JobName(name), size, is_video, round((now_ms - to_ms(started_at)) / progress))
        for name, size, is_video, started_at, progress in rows
        if started_at is not None and progress is not None
    ]


def usual_s(session: Session, queue: QueueName, now_ms: int) -> float:
    """Seconds that a job of this queue takes, by those that ended last and those at work; 0: nobody knows."""
    known = [*measured(session, queue), *under_way(session, queue, now_ms)]
    return fmean(one.duration_ms for one in known) / 1000 if known else 0.0


def some_in_line(session: Session, queue: QueueName, waiting: int) -> list[InLine]:
    """Of the `waiting` jobs every so many, since those that came last may be of another kind; of a very long line, of
    its first part."""
    every = max(1, min(waiting, LOOKED_THROUGH) // SAMPLES) | 1  # odd: a photo and its film come by turns
    return _read_line(session, _WAITING, queue, every)


def some_at_work(session: Session, queue: QueueName) -> list[InLine]:
    return _read_line(session, _AT_WORK, queue, 1)


def nodes_of(session: Session, queue: QueueName) -> int:
    """How many machines the jobs of this queue ran on lately or run on now, as far as it was heard."""
    heard = (*session.scalars(_RAN_ON, {"of_queue": queue}), *session.scalars(_RUNS_ON, {"of_queue": queue}))
    return len({node for node in heard if node})


def _read_line(session: Session, line: Select[Any], queue: QueueName, every: int) -> list[InLine]:
    rows = session.execute(line, {"of_queue": queue, "every": every})
    return [InLine(JobName(name), size, is_video, payload) for name, size, is_video, payload in rows]


def ended_since(session: Session, minute: int) -> dict[JobName, int]:
    """How many jobs of each type were done or skipped since a minute."""
    rows = session.execute(
        select(JobStatistic.name, func.sum(JobStatistic.done + JobStatistic.skipped))
        .where(JobStatistic.minute >= minute)
        .group_by(JobStatistic.name)
    )
    return {JobName(name): int(count) for name, count in rows}


def waiting_since_ms(session: Session, queues: Sequence[QueueName]) -> dict[QueueName, int]:
    """When the first in each line was enqueued, in milliseconds since 1970."""
    found = {}
    for queue in queues:
        first = session.execute(
            text(
                "SELECT enqueued_at FROM job WHERE queue = :queue AND state = 'waiting' ORDER BY order_key, id LIMIT 1"
            ),
            {"queue": queue},
        ).scalar()
        if first is not None:
            found[queue] = int(first)
    return found
