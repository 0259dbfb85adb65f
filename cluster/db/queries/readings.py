"""What the meter reads of the queues: counts, ages, and what the statistics and the history have new."""

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.base import to_ms
from cluster.db.tables.job import Job, JobHistory, JobStatistic
from cluster.names import JobName, QueueName
from cluster.queue.states import JobState
from cluster.queue.statistics import Mark, Readings, Tally

MOST_DURATIONS = 5000
LATE_MINUTES = 1
"""So long after a minute's end a transaction that began in it may still add to it."""


def read(session: Session, store: SqlQueueStore, mark: Mark | None) -> Readings:
    """What changed since `mark`; None: nothing yet, this is where to begin."""
    latest = (session.scalar(select(func.max(JobStatistic.minute))) or 0) - LATE_MINUTES
    minute = latest if mark is None else mark.minute
    newest = session.scalar(select(func.max(JobHistory.id))) or 0
    seen = newest if mark is None else mark.history_id
    history = session.execute(
        select(JobHistory.queue, JobHistory.name, JobHistory.duration_ms)
        .where(JobHistory.id > seen, JobHistory.id <= newest)
        .order_by(JobHistory.id)
        .limit(MOST_DURATIONS)
    ).all()
    return Readings(
        counts=store.counts(session),
        oldest_s=_oldest_s(session),
        tallies={
            (row.minute, QueueName(row.queue), JobName(row.name)): Tally(
                row.done, row.skipped, row.failed, row.retried, row.run_ms, row.wait_ms
            )
            for row in session.scalars(select(JobStatistic).where(JobStatistic.minute >= minute))
        },
        durations=[(QueueName(queue), JobName(name), ms / 1000) for queue, name, ms in history],
        mark=Mark(latest, newest),
    )


def _oldest_s(session: Session) -> dict[QueueName, float]:
    """Seconds that the job at the front of each queue has waited. One look into the line's index per queue."""
    ages, now_ms = {}, int(time.time() * 1000)
    for queue in QueueName:
        front = select(Job.enqueued_at).where(Job.queue == queue, Job.state == JobState.WAITING)
        since = session.scalar(front.order_by(Job.order_key, Job.id).limit(1))
        if since is not None:
            ages[queue] = max(0.0, (now_ms - to_ms(since)) / 1000)
    return ages
