"""The life of a job as one table: (state, event) → state. Anything that is not in the table is an error.

A finished job has no state: its row is gone (`None`), and `job_history` remembers it.
"""

from enum import StrEnum

from cluster.errors import StateError


class JobState(StrEnum):
    """Where a job stands. Paused is said of queues, not of jobs."""

    WAITING = "waiting"
    DELAYED = "delayed"
    ACTIVE = "active"
    FAILED = "failed"


class JobEvent(StrEnum):
    """What can happen to a job."""

    LEASE = "lease"  # a controller takes it for a worker
    DUE = "due"  # its time has come
    FINISH = "finish"  # done or skipped
    CONTINUE = "continue"  # a page of a long walk is done, the next one follows
    RETRY = "retry"  # an attempt failed, another will be made
    SNOOZE = "snooze"  # not now (a mount is away, no weights): no attempt is counted
    RELEASE = "release"  # given back unstarted, or a neighbour of a crash: no attempt is counted
    FAIL = "fail"  # the last attempt failed
    REVIVE = "revive"  # a person, or a "missing" run, wants a failed job again
    DISCARD = "discard"  # emptied, cleared or cancelled by a person


TRANSITIONS: dict[tuple[JobState, JobEvent], JobState | None] = {
    (JobState.WAITING, JobEvent.LEASE): JobState.ACTIVE,
    (JobState.WAITING, JobEvent.DISCARD): None,
    (JobState.DELAYED, JobEvent.DUE): JobState.WAITING,
    (JobState.DELAYED, JobEvent.DISCARD): None,
    (JobState.ACTIVE, JobEvent.FINISH): None,
    (JobState.ACTIVE, JobEvent.CONTINUE): JobState.WAITING,
    (JobState.ACTIVE, JobEvent.RETRY): JobState.DELAYED,
    (JobState.ACTIVE, JobEvent.SNOOZE): JobState.DELAYED,
    (JobState.ACTIVE, JobEvent.RELEASE): JobState.WAITING,
    (JobState.ACTIVE, JobEvent.FAIL): JobState.FAILED,
    (JobState.ACTIVE, JobEvent.DISCARD): None,
    (JobState.FAILED, JobEvent.REVIVE): JobState.WAITING,
    (JobState.FAILED, JobEvent.DISCARD): None,
}


def after(state: JobState, event: JobEvent) -> JobState | None:
    """The state that `event` leads to, `None` for a job that is over. Raises StateError for anything else."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise StateError(f"a {state} job does not know {event}") from None
