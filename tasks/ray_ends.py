"""What Ray's answer to a call means: results, a loss with its reason, or a crash around the call's jobs."""

from typing import Any

from ray import exceptions

from cluster.loops.submitter import Call, CallEnd, CallLost, CallReturned, LossReason
from cluster.queue.job import Crashed, FailedAttempt, WorkResult
from tasks import ray_worker


def end_of_call(call: Call, error: BaseException | None, future: Any) -> CallEnd:
    """What Ray's answer means."""
    if error is None:
        return CallReturned(call, call.results(*ray_worker.unpacked_answer(future.result())))
    return lost_or_crashed(call, error)


def lost_or_crashed(call: Call, error: BaseException) -> CallEnd:
    """Ray's own errors are losses; any other was raised around the call's jobs."""
    for kind, reason in LOSSES:
        if isinstance(error, kind):
            return CallLost(call, reason, first_line(error))
    return crashed_call(call, error)


# the order matters: a task's own exception comes wrapped, and some of these are kinds of others
LOSSES: tuple[tuple[type[BaseException], LossReason], ...] = (
    (exceptions.TaskCancelledError, LossReason.CANCELLED),
    (exceptions.TaskUnschedulableError, LossReason.UNSCHEDULABLE),
    (exceptions.ActorUnschedulableError, LossReason.UNSCHEDULABLE),
    (exceptions.OutOfMemoryError, LossReason.MEMORY),
    (exceptions.NodeDiedError, LossReason.NODE),
    (exceptions.LocalRayletDiedError, LossReason.CONTROLLER),
    (exceptions.OwnerDiedError, LossReason.CONTROLLER),
    (exceptions.WorkerCrashedError, LossReason.WORKER),
    (exceptions.ActorUnavailableError, LossReason.UNSCHEDULABLE),
    (exceptions.RayActorError, LossReason.WORKER),
    (exceptions.RuntimeEnvSetupError, LossReason.NODE),
    (exceptions.ObjectLostError, LossReason.NODE),
)


def crashed_call(call: Call, error: BaseException) -> CallReturned:
    """The call itself failed around its jobs: every job has a failed attempt."""
    attempt = FailedAttempt(type(error).__name__, first_line(error), str(error)[-4000:])
    return CallReturned(call, tuple(WorkResult(lease, Crashed(attempt, retryable=True)) for lease in call.leases))


def first_line(error: BaseException) -> str:
    """What it says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
