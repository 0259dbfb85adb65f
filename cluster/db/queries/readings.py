"""What the meter reads of the queues: counts, ages, and what the statistics and the history have new."""

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.db.queries.queue_activity import waiting_since_ms
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.job import JobHistory, JobStatistic
from cluster.names import JobName, QueueName
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
    counts = store.counts(session)
    since_ms = waiting_since_ms(session, [queue for queue, count in counts.items() if count.waiting])
    now_ms = time.time() * 1000
    return Readings(
        counts=counts,
        oldest_s={queue: max(0.0, (now_ms - at_ms) / 1000) for queue, at_ms in since_ms.items()},
        tallies={
            (row.minute, QueueName(row.queue), JobName(row.name)): Tally(
                row.done, row.skipped, row.failed, row.retried, row.run_ms, row.wait_ms
            )
            for row in session.scalars(select(JobStatistic).where(JobStatistic.minute >= minute))
        },
        durations=[(QueueName(queue), JobName(name), ms / 1000) for queue, name, ms in history],
        mark=Mark(latest, newest),
    )
