"""Expired leases, and delayed jobs that are due."""

from collections.abc import Callable

import pytest

from cluster.loops.dispatcher import LEASE_S
from cluster.loops.in_flight import SILENCE_S, START_GRACE_S, Beat
from cluster.loops.rescuer import EVERY_S, Rescuer
from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import Done, JobSpec, NewJob, asset_job
from tests.fakes import Loops

THUMBNAILS = JobName.ASSET_GENERATE_THUMBNAILS
QUEUE = QUEUE_OF_JOB[THUMBNAILS]


@pytest.fixture
def loops() -> Loops:
    return Loops([JobSpec(THUMBNAILS, batch=4)], concurrency=1)


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def rescuer(loops: Loops, told: list[str]) -> Rescuer:
    return Rescuer(
        loops.store,
        loops.in_flight,
        loops.submitters,
        lambda: loops.owned,
        loops.dispatcher.on_end,
        on_due=lambda: told.append("due"),
        unsettled=loops.settler.unsettled,
    )


def out(loops: Loops, count: int = 1, heard: bool = True, in_hand: int = 0) -> str:
    loops.enqueue(*(asset_job(THUMBNAILS, f"a{number}") for number in range(count)))
    (call,) = loops.dispatch()
    if heard:
        loops.in_flight.beat([Beat(call.call_id, "node-1", in_hand, 1.0)])
    return call.call_id


def rows(loops: Loops) -> dict[str | None, tuple[str, int]]:
    return {job.asset_id: (str(job.state), job.attempts) for job in loops.jobs(QUEUE)}


def test_a_job_whose_node_is_not_heard_is_retried_and_its_call_ended(loops: Loops, rescuer: Rescuer) -> None:
    call_id = out(loops, 2, in_hand=1)
    loops.pass_time(LEASE_S)
    rescuer.tick()
    loops.settle()
    assert rows(loops) == {"a0": ("waiting", 0), "a1": ("delayed", 1)}
    attempt = loops.store.tables.attempts[0][2]
    assert (attempt.error_class, attempt.node) == ("NodeLost", "node-1")
    assert loops.submitter.cancelled == [call_id]
    assert len(loops.in_flight) == 0


def test_a_call_that_never_started_is_given_back_without_an_attempt(loops: Loops, rescuer: Rescuer) -> None:
    out(loops, heard=False)
    loops.pass_time(START_GRACE_S)
    rescuer.tick()
    loops.settle()
    assert rows(loops) == {"a0": ("delayed", 0)}


def test_a_worker_that_is_heard_is_left_alone_although_nobody_could_extend_its_lease(
    loops: Loops, rescuer: Rescuer
) -> None:
    """The database was away for longer than a lease."""
    call_id = out(loops)
    loops.pass_time(10 * LEASE_S)
    loops.in_flight.beat([Beat(call_id, "node-1", 0, 300.0)])
    rescuer.tick()
    loops.settle()
    assert rows(loops) == {"a0": ("active", 0)}
    assert loops.submitter.cancelled == []


def test_a_result_that_waits_to_be_settled_is_not_thrown_away(loops: Loops, rescuer: Rescuer) -> None:
    out(loops)
    loops.submitter.answer(loops.submitter.out[0], Done())
    loops.pass_time(10 * LEASE_S)
    rescuer.tick()
    loops.settle()
    assert rows(loops) == {}
    assert loops.store.tables.attempts == []


def test_the_lease_of_a_controller_that_is_gone_is_given_back_without_an_attempt(
    loops: Loops, rescuer: Rescuer
) -> None:
    loops.enqueue(asset_job(THUMBNAILS, "a0"))
    with loops.store.transaction() as tx:
        loops.store.lease(tx, QUEUE, 1, LEASE_S, "another controller", "first")
    rescuer.tick()
    assert rows(loops) == {"a0": ("active", 0)}
    loops.pass_time(LEASE_S)
    rescuer.tick()
    assert rows(loops) == {"a0": ("waiting", 0)}


def test_queues_of_others_are_left_to_them(loops: Loops, rescuer: Rescuer) -> None:
    out(loops)
    loops.owned = {QueueName.OCR}
    loops.pass_time(LEASE_S + SILENCE_S)
    rescuer.tick()
    assert rows(loops) == {"a0": ("active", 0)}


@pytest.mark.parametrize(("wait_s", "state", "heard"), [(29.0, "delayed", []), (30.0, "waiting", ["due"])])
def test_a_delayed_job_waits_again_when_it_is_due(
    loops: Loops, rescuer: Rescuer, told: list[str], wait_s: float, state: str, heard: list[str]
) -> None:
    loops.enqueue(NewJob(THUMBNAILS, delay_s=30))
    loops.clock.sleep(wait_s)
    rescuer.tick()
    assert loops.states(QUEUE) == [state]
    assert told == heard


def test_while_jobs_come_due_it_looks_again_soon(loops: Loops, rescuer: Rescuer) -> None:
    """A store promotes a thousand at a time, and a whole library may come due in one moment."""
    loops.enqueue(NewJob(THUMBNAILS, delay_s=30))
    assert rescuer.tick() == EVERY_S
    loops.clock.sleep(30)
    assert rescuer.tick() < EVERY_S
    assert rescuer.tick() == EVERY_S


def test_a_dead_node_is_rescued_after_a_live_one_was_spared(loops: Loops, rescuer: Rescuer) -> None:
    loops.concurrency = 2
    loops.enqueue(*(asset_job(THUMBNAILS, f"a{number}") for number in range(2)))
    dead, living = loops.dispatch()
    beat: Callable[[str], Beat] = lambda call_id: Beat(call_id, "node-1", 0, 1.0)  # noqa: E731
    loops.in_flight.beat([beat(dead.call_id), beat(living.call_id)])
    loops.pass_time(LEASE_S)
    loops.in_flight.beat([beat(living.call_id)])
    rescuer.tick()
    loops.settle()
    assert rows(loops) == {"a0": ("delayed", 1), "a1": ("active", 0)}
