"""What an outcome means for the job: (lease, outcome) → settlement, (lost call) → settlements. Pure.

An attempt is counted for what may be the job's fault or may pass: an exception, a worker that died with it in hand, a
timeout, memory. It is not for the loss of a controller, for a call that never started, or for a crash's neighbours.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from cluster.errors import JobTimeout, NodeLost, OutOfMemory, WorkerLost
from cluster.loops.submitter import CallLost, LossReason
from cluster.queue.job import (
    Crashed,
    Done,
    Failed,
    FailedAttempt,
    JobSpec,
    Lease,
    More,
    Skipped,
    Snooze,
    WorkResult,
)
from cluster.queue.retry import retry_delay_s
from cluster.queue.store import Continue, Defer, Fail, Finish, Release, Retry, Settlement

POISON_DEATHS = 3
UNSCHEDULABLE_PAUSE_S = 5.0
"""Ray says no at once, so a job that went straight back would go round as fast as it can."""
Chance = Callable[[], float]


def settlement(spec: JobSpec, result: WorkResult, chance: Chance) -> Settlement:
    """How to settle one result."""
    lease, outcome = result.lease, result.outcome
    match outcome:
        case Done():
            return Finish(lease, duration_ms=result.duration_ms, node=result.node)
        case Skipped(reason):
            return Finish(lease, skipped=True, reason=reason, duration_ms=result.duration_ms, node=result.node)
        case More(_, next_payload):
            return Continue(lease, next_payload, duration_ms=result.duration_ms, node=result.node)
        case Snooze(seconds, reason):
            return Defer(lease, seconds, reason)
        case Failed(reason):
            attempt = FailedAttempt("Failed", reason, node=result.node, duration_ms=result.duration_ms)
            return Fail(lease, attempt)
        case Crashed(attempt, retryable):
            return after_attempt(spec, lease, attempt, chance) if retryable else Fail(lease, attempt)
        case _:
            assert_never(outcome)


def after_attempt(
    spec: JobSpec, lease: Lease, attempt: FailedAttempt, chance: Chance, *, died: bool = False, alone: bool = False
) -> Retry | Fail:
    """Another attempt after a delay, or the end: by the policy's count, or as poison after three dead workers."""
    if died and lease.deaths + 1 >= POISON_DEATHS:
        message = f"poison: {POISON_DEATHS} worker processes died with this job in hand. {attempt.message}"
        return Fail(lease, replace(attempt, error_class="Poison", message=message))
    delay_s = retry_delay_s(spec.retry, lease.attempt, chance())
    # a death is judged by the poison rule: three, whatever the policy's count
    if died and delay_s is None:
        delay_s = spec.retry.first_delay_s
    if delay_s is None:
        return Fail(lease, attempt)
    return Retry(lease, delay_s, attempt, died=died, alone=alone)


def loss_settlements(lost: CallLost, chance: Chance) -> list[Settlement]:
    """How to settle every job of a call that did not come back."""
    return [_of_lost(lost, index, chance) for index in range(len(lost.call.leases))]


def _of_lost(lost: CallLost, index: int, chance: Chance) -> Settlement:
    call, lease = lost.call, lost.call.leases[index]
    crowd = len(call.leases) > 1
    guilty = lost.in_hand == index or not crowd
    match lost.reason:
        case LossReason.UNSCHEDULABLE:
            return Defer(lease, UNSCHEDULABLE_PAUSE_S, lost.message)
        case LossReason.CONTROLLER | LossReason.CANCELLED:
            return Release(lease)
        case LossReason.WORKER | LossReason.MEMORY | LossReason.TIMEOUT if not guilty:
            # nobody knows whose fault it was, or it was a neighbour's: each runs alone next, no attempt is counted
            return Release(lease, alone=lost.in_hand is None or lost.reason is not LossReason.TIMEOUT)
        case LossReason.NODE if not guilty:
            return Release(lease)
        case LossReason.WORKER | LossReason.MEMORY | LossReason.TIMEOUT | LossReason.NODE:
            attempt = FailedAttempt(ERROR_CLASS[lost.reason], _story(lost, index), node=lost.node)
            died = lost.reason is LossReason.WORKER
            return after_attempt(call.spec, lease, attempt, chance, died=died, alone=lost.reason is not LossReason.NODE)
        case _:
            assert_never(lost.reason)


ERROR_CLASS = {
    LossReason.WORKER: WorkerLost.__name__,
    LossReason.NODE: NodeLost.__name__,
    LossReason.MEMORY: OutOfMemory.__name__,
    LossReason.TIMEOUT: JobTimeout.__name__,
}


def _story(lost: CallLost, index: int) -> str:
    subject = getattr(lost.call.inputs[index], "original_file_name", "") or lost.call.leases[index].asset_id or ""
    return f"{subject}: {lost.message}" if subject else lost.message
