"""What an outcome or a loss means for each job: who is charged an attempt, who runs alone, what is poison."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.loops.submitter import Call, CallLost, LossReason
from cluster.loops.verdict import POISON_DEATHS, loss_settlements, settlement
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import (
    Crashed,
    Done,
    Failed,
    FailedAttempt,
    JobId,
    JobSpec,
    Lease,
    LeaseToken,
    More,
    Outcome,
    Skipped,
    Snooze,
    WorkResult,
)
from cluster.queue.retry import RetryPolicy
from cluster.queue.store import Continue, Defer, Fail, Finish, Release, Retry, Settlement

NAME = JobName.ASSET_GENERATE_THUMBNAILS
SPEC = JobSpec(NAME, batch=8, retry=RetryPolicy(attempts=3, first_delay_s=10, factor=4, jitter=0))
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
BROKEN = FailedAttempt("ValueError", "it broke")


@dataclass(frozen=True)
class Picture:
    original_file_name: str


def lease(number: int = 1, attempt: int = 1, deaths: int = 0) -> Lease:
    token = LeaseToken("token")
    return Lease(JobId(number), token, NAME, QUEUE_OF_JOB[NAME], {}, attempt, deaths, False, f"a{number}", NOON, NOON)


def judged(outcome: Outcome, attempt: int = 1) -> Settlement:
    return settlement(SPEC, WorkResult(lease(attempt=attempt), outcome, "node-1", 7), lambda: 0.5)


def lost(reason: LossReason, *leases: Lease, in_hand: int | None = None) -> list[Settlement]:
    inputs: tuple[Any, ...] = tuple(Picture(f"IMG_{one.job_id}.jpg") for one in leases)
    call = Call("call", SPEC, QUEUE_OF_JOB[NAME], leases, inputs)
    return loss_settlements(CallLost(call, reason, "it is gone", "node-1", in_hand), lambda: 0.5)


def test_every_outcome_has_its_settlement() -> None:
    assert judged(Done()) == Finish(lease(), duration_ms=7, node="node-1")
    assert judged(Skipped("hidden")) == Finish(lease(), skipped=True, reason="hidden", duration_ms=7, node="node-1")
    assert judged(More(None, {"from": 5})) == Continue(lease(), {"from": 5}, duration_ms=7, node="node-1")
    assert judged(Snooze(300, "no mount")) == Defer(lease(), 300, "no mount")
    assert judged(Failed("no preview")) == Fail(lease(), FailedAttempt("Failed", "no preview", "", "", "node-1", 7))


@pytest.mark.parametrize(("attempt", "delay_s"), [(1, 10.0), (2, 40.0)])
def test_an_exception_is_tried_again_later_and_later(attempt: int, delay_s: float) -> None:
    assert judged(Crashed(BROKEN, retryable=True), attempt) == Retry(lease(attempt=attempt), delay_s, BROKEN)


def test_the_last_attempt_fails() -> None:
    assert judged(Crashed(BROKEN, retryable=True), attempt=3) == Fail(lease(attempt=3), BROKEN)


def test_what_a_retry_cannot_help_fails_at_once() -> None:
    assert judged(Crashed(BROKEN, retryable=False)) == Fail(lease(), BROKEN)


@pytest.mark.parametrize("reason", [LossReason.WORKER, LossReason.MEMORY])
def test_when_nobody_knows_the_culprit_each_job_runs_alone_and_none_is_charged(reason: LossReason) -> None:
    three = lease(1), lease(2), lease(3)
    assert lost(reason, *three) == [Release(one, alone=True) for one in three]


def test_the_job_in_hand_is_charged_and_its_neighbours_are_not() -> None:
    first, second = lost(LossReason.WORKER, lease(1), lease(2), in_hand=1)
    assert first == Release(lease(1), alone=True)
    assert isinstance(second, Retry)
    assert (second.died, second.alone) == (True, True)
    assert second.attempt.error_class == "WorkerLost"


def test_the_third_death_is_poison_and_names_the_file() -> None:
    assert POISON_DEATHS == 3
    second, third = (lost(LossReason.WORKER, lease(4, attempt=n + 1, deaths=n))[0] for n in (1, 2))
    assert isinstance(second, Retry)
    assert isinstance(third, Fail)
    assert third.attempt.error_class == "Poison"
    assert "IMG_4.jpg" in third.attempt.message


def test_a_death_on_the_last_attempt_is_not_yet_the_end() -> None:
    """Two exceptions and one death: the policy's three are used up, but only deaths make poison."""
    (again,) = lost(LossReason.WORKER, lease(attempt=3))
    assert isinstance(again, Retry)


def test_running_out_of_memory_alone_is_an_attempt_but_no_death() -> None:
    (first,) = lost(LossReason.MEMORY, lease(deaths=2))
    assert isinstance(first, Retry)
    assert not first.died
    (last,) = lost(LossReason.MEMORY, lease(attempt=3))
    assert isinstance(last, Fail)
    assert last.attempt.error_class == "OutOfMemory"


def test_a_timeout_charges_the_job_in_hand_and_its_neighbours_go_back() -> None:
    slow, waiting = lost(LossReason.TIMEOUT, lease(1), lease(2), in_hand=0)
    assert isinstance(slow, Retry)
    assert slow.attempt.error_class == "JobTimeout"
    assert waiting == Release(lease(2))


def test_a_lost_node_charges_no_neighbour() -> None:
    assert lost(LossReason.NODE, lease(1), lease(2)) == [Release(lease(1)), Release(lease(2))]
    (single,) = lost(LossReason.NODE, lease(1))
    assert isinstance(single, Retry)
    assert not single.died


@pytest.mark.parametrize("reason", [LossReason.CONTROLLER, LossReason.CANCELLED])
def test_the_loss_of_a_controller_is_no_attempt(reason: LossReason) -> None:
    assert lost(reason, lease(attempt=3, deaths=2)) == [Release(lease(attempt=3, deaths=2))]


def test_what_ray_cannot_place_pauses_and_is_not_charged() -> None:
    (deferred,) = lost(LossReason.UNSCHEDULABLE, lease(attempt=3, deaths=2))
    assert isinstance(deferred, Defer)
    assert deferred.delay_s > 0
    assert deferred.reason == "it is gone"


@pytest.mark.parametrize("reason", list(LossReason))
@pytest.mark.parametrize("in_hand", [None, 0, 1])
def test_every_loss_settles_every_job_once(reason: LossReason, in_hand: int | None) -> None:
    both = [lease(1), lease(2)]
    assert [one.lease for one in lost(reason, *both, in_hand=in_hand)] == both


def test_a_story_without_a_file_name_tells_the_asset() -> None:
    call = Call("call", SPEC, QUEUE_OF_JOB[NAME], (replace(lease(7)),), (None,))
    (retry,) = loss_settlements(CallLost(call, LossReason.WORKER, "it is gone"), lambda: 0.5)
    assert isinstance(retry, Retry)
    assert retry.attempt.message == "a7: it is gone"
