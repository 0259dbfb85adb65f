"""Jobs as others than the queue ask of them: what stands in the queue, and what the queues did."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select, text, union_all
from sqlalchemy.orm import Session

from cluster.db.queries.assets import in_pages
from cluster.db.tables.job import Job, JobStatistic
from cluster.names import JobName, QueueName
from cluster.queue.job import Payload
from cluster.queue.states import JobState


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that is not over."""

    dedup_key: str
    name: JobName
    state: JobState
    payload: Payload


_KEY_INDEXES = ("state = 'active'", "state <> 'active'")
"""The conditions of the two partial indexes on keys, word for word, or SQLite does not use them."""


def with_keys(session: Session, dedup_keys: Collection[str]) -> list[KnownJob]:
    """The jobs of these keys: of one key at most an active one and another.

    In one statement, which sees one moment: between two, a job could be leased and be in neither.
    """
    columns = (Job.dedup_key, Job.name, Job.state, Job.payload)
    return [
        KnownJob(row[0], JobName(row[1]), JobState(row[2]), row[3])
        for page in in_pages(dedup_keys)
        for row in session.execute(
            union_all(*(select(*columns).where(Job.dedup_key.in_(page), text(of_index)) for of_index in _KEY_INDEXES))
        )
        if row[0] is not None
    ]


@dataclass(frozen=True, slots=True)
class QueueTotals:
    """Jobs that ended, and the seconds that workers spent on them."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    run_s: float = 0.0

    @property
    def ended(self) -> int:
        return self.done + self.skipped + self.failed

    def __sub__(self, earlier: "QueueTotals") -> "QueueTotals":
        return QueueTotals(
            self.done - earlier.done,
            self.skipped - earlier.skipped,
            self.failed - earlier.failed,
            self.run_s - earlier.run_s,
        )


def queue_totals(session: Session) -> dict[str, QueueTotals]:
    """Per queue, in Immich's order, over all that the statistics remember."""
    total = JobStatistic
    rows = session.execute(
        select(
            total.queue,
            func.sum(total.done),
            func.sum(total.skipped),
            func.sum(total.failed),
            func.sum(total.run_ms),
        ).group_by(total.queue)
    )
    found = {queue: QueueTotals(int(a), int(b), int(c), int(ms) / 1000) for queue, a, b, c, ms in rows}
    return {queue: found[queue] for queue in QueueName if queue in found}
