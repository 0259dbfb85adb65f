"""What failed and why; trying it again, letting go of it. Also what runs now, and ending it."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.db.queries import job_details
from cluster.db.queries.job_details import Attempt, EndedJob, FailedJob, RunningJob, Sought
from cluster.errors import BadRequest, NotFound
from cluster.names import QueueName
from cluster.queue.job import JobId
from cluster.queue.states import JobState
from serve_app.deps import Caller, Services
from serve_app.services import audit

AT_ONCE = 1000
"""Jobs that one transaction changes."""


@dataclass(frozen=True, slots=True)
class FailedFound:
    """A page of failed jobs. `next_below`: where the next page begins, None at the end."""

    jobs: Sequence[FailedJob]
    total: int
    next_below: int | None


def running_jobs(services: Services, queue: QueueName) -> list[RunningJob]:
    with services.database.reader() as session:
        return job_details.running(session, queue)


def recent_jobs(services: Services, queue: QueueName) -> list[EndedJob]:
    with services.database.reader() as session:
        return job_details.recent(session, queue)


def failed_jobs(services: Services, sought: Sought, below_id: int | None, size: int) -> FailedFound:
    """Newest first."""
    with services.database.reader() as session:
        found = job_details.failed(session, sought, below_id, size + 1)
        total = job_details.count_failed(session, sought)
    more = len(found) > size
    return FailedFound(found[:size], total, found[size - 1].job_id if more else None)


def kinds_of_failure(services: Services, queue: QueueName) -> list[tuple[str, str, int]]:
    """(error class, node, how many), the most frequent first."""
    with services.database.reader() as session:
        return job_details.kinds_of_failure(session, queue)


def attempts_of(services: Services, queue: QueueName, job_id: int) -> list[Attempt]:
    """Every attempt of a failed job, in order. Raises NotFound."""
    with services.database.reader() as session:
        if not job_details.failed_job_of(session, queue, job_id):
            raise NotFound(f"No failed job {job_id} in {queue}")
        return job_details.attempts_of(session, job_id)


def retry(services: Services, queue: QueueName, which: Sought | Sequence[JobId], by: Caller) -> int:
    """Try them again from the beginning; returns how many."""
    count = 0
    for ids in _pages(services, which):
        with services.database.session(durable=True) as session:
            count += services.store.retry_failed(session, queue, ids)
    _note(services, by, "retry", queue, f"{audit.counted(count, 'failed job')} tried again")
    return count


def discard(services: Services, queue: QueueName, which: Sought | Sequence[JobId], by: Caller) -> int:
    """Let go of them; returns how many. Their attempts stay for as long as the history."""
    count = 0
    for ids in _pages(services, which):
        with services.database.session(durable=True) as session:
            count += services.store.discard(session, queue, ids, JobState.FAILED)
    _note(services, by, "discard", queue, f"{audit.counted(count, 'failed job')} dropped")
    return count


def cancel(services: Services, queue: QueueName, job_id: JobId, by: Caller) -> None:
    """End a job that runs: its worker is told within seconds, and nothing that it did is kept. Raises BadRequest."""
    with services.database.session(durable=True) as session:
        if not services.store.discard(session, queue, [job_id], JobState.ACTIVE):
            raise BadRequest("This job does not run any more")
        audit.note(session, services, by, "cancel", queue, f"job {job_id}")


def _pages(services: Services, which: Sought | Sequence[JobId]) -> Sequence[list[JobId]]:
    """All ids first: what is tried again and fails at once must not be found a second time."""
    if not isinstance(which, Sought):
        return [list(which)]
    with services.database.reader() as session:
        return list(job_details.failed_ids(session, which, AT_ONCE))


def _note(services: Services, by: Caller, action: str, queue: QueueName, detail: str) -> None:
    with services.database.session(durable=True) as session:
        audit.note(session, services, by, action, queue, detail)
