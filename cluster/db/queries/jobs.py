"""What the queues did, from the per-minute statistics."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.db.tables.job import JobStatistic
from cluster.names import QueueName


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
