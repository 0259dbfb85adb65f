"""Leases of what works are extended, overdue calls are ended, queues are owned by one."""

from collections.abc import Callable

import pytest

from cluster.loops.dispatcher import LEASE_S, Identity
from cluster.loops.in_flight import SILENCE_S, START_GRACE_S, Beat
from cluster.loops.keeper import OWNERSHIP_TTL_S, Keeper
from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import Done, JobSpec, asset_job
from cluster.queue.states import JobState
from tests.fakes import Loops

THUMBNAILS = JobName.ASSET_GENERATE_THUMBNAILS
QUEUE = QUEUE_OF_JOB[THUMBNAILS]


@pytest.fixture
def loops() -> Loops:
    loops = Loops([JobSpec(THUMBNAILS, batch=4, timeout_s=60)], concurrency=1)
    loops.enqueue(asset_job(THUMBNAILS, "a0"), asset_job(THUMBNAILS, "a1"))
    loops.dispatch()
    return loops


def keeper_of(
    loops: Loops,
    name: str = "controller",
    now_s: Callable[[], float] = lambda: 0.0,
    restart: Callable[[str], None] = lambda name: None,
) -> Keeper:
    end, unsettled, identity = loops.dispatcher.on_end, loops.settler.unsettled, Identity(name, "first")
    return Keeper(loops.store, loops.in_flight, loops.submitters, identity, end, unsettled, now_s, restart)


@pytest.fixture
def keeper(loops: Loops) -> Keeper:
    return keeper_of(loops)


def test_two_controllers_share_the_queues_and_one_takes_over(loops: Loops) -> None:
    seconds = 0.0
    restarted: list[str] = []
    one = keeper_of(loops, "one", lambda: seconds, restarted.append)
    two = keeper_of(loops, "two", lambda: seconds)
    one.tick()
    assert one.owned == set(QueueName)
    for keeper in (two, one, two):  # the second is seen, the first lets go, the second takes
        keeper.tick()
    assert one.owned | two.owned == set(QueueName)
    assert not one.owned & two.owned
    assert restarted == []
    assert abs(len(one.owned) - len(two.owned)) <= 1
    for _ in range(2):
        loops.pass_time(OWNERSHIP_TTL_S / 2)
        seconds += OWNERSHIP_TTL_S / 2
        one.tick()
    assert two.owned == set(), "who does not renew owns nothing"
    assert one.owned == set(QueueName)
    assert restarted == ["two"]
    for keeper in (two, one, two):  # back again
        keeper.tick()
    assert one.owned | two.owned == set(QueueName)
    assert not one.owned & two.owned


def test_whoever_was_away_from_the_database_restarts_nobody(loops: Loops) -> None:
    seconds = 0.0
    restarted: list[str] = []
    one = keeper_of(loops, "one", lambda: seconds, restarted.append)
    two = keeper_of(loops, "two", lambda: seconds)
    for keeper in (one, two, one):
        keeper.tick()
    loops.pass_time(2 * OWNERSHIP_TTL_S)
    seconds += 2 * OWNERSHIP_TTL_S
    one.tick()
    assert restarted == []


def expired(loops: Loops) -> int:
    with loops.store.transaction() as tx:
        return len(loops.store.expired(tx, QueueName, 100))


def test_a_call_that_is_heard_keeps_its_leases_for_hours(loops: Loops, keeper: Keeper) -> None:
    call_id = loops.submitter.out[0].call_id
    for _ in range(200):
        loops.pass_time(SILENCE_S - 1)
        loops.in_flight.beat([Beat(call_id, "node-1", 0, 1.0)])
        keeper.tick()
        assert expired(loops) == 0


def test_a_call_that_is_not_heard_any_more_loses_its_leases(loops: Loops, keeper: Keeper) -> None:
    loops.in_flight.beat([Beat(loops.submitter.out[0].call_id, "node-1", 0, 1.0)])
    loops.pass_time(SILENCE_S)
    keeper.tick()
    loops.pass_time(LEASE_S - SILENCE_S)
    assert expired(loops) == 2


def test_a_call_in_rays_line_is_kept_for_its_grace(loops: Loops, keeper: Keeper) -> None:
    for _ in range(int(START_GRACE_S // 20)):
        keeper.tick()
        assert expired(loops) == 0
        loops.pass_time(20)
    keeper.tick()
    loops.pass_time(LEASE_S)
    assert expired(loops) == 2


def test_what_ended_and_waits_for_the_settler_is_kept(loops: Loops, keeper: Keeper) -> None:
    loops.submitter.answer(loops.submitter.out[0], Done())
    for _ in range(10):
        loops.pass_time(LEASE_S - 1)
        keeper.tick()
    assert expired(loops) == 0
    loops.settle()
    assert loops.states(QUEUE) == []


def test_a_job_past_its_limit_is_charged_its_worker_ended_and_its_neighbour_goes_back(
    loops: Loops, keeper: Keeper
) -> None:
    (call,) = loops.submitter.out
    loops.in_flight.beat([Beat(call.call_id, "node-1", 1, 61.0)])
    keeper.tick()
    loops.settle()
    assert loops.submitter.cancelled == [call.call_id]
    assert {job.asset_id: (str(job.state), job.attempts) for job in loops.jobs(QUEUE)} == {
        "a0": ("waiting", 0),
        "a1": ("delayed", 1),
    }
    assert loops.store.tables.attempts[0][2].error_class == "JobTimeout"


def test_a_timed_out_call_is_settled_once_although_its_cancelling_is_reported_too(loops: Loops, keeper: Keeper) -> None:
    (call,) = loops.submitter.out
    loops.in_flight.beat([Beat(call.call_id, "node-1", 0, 61.0)])
    keeper.tick()
    keeper.tick()
    loops.settle()
    assert len(loops.store.tables.attempts) == 1
    assert loops.submitter.out == []


def test_a_queue_has_one_owner_until_it_is_silent(loops: Loops, keeper: Keeper) -> None:
    other = keeper_of(loops, "another controller")
    keeper.tick()
    other.tick()
    assert keeper.owned == set(QueueName)
    assert other.owned == set()
    loops.pass_time(OWNERSHIP_TTL_S)
    other.tick()
    keeper.tick()
    assert other.owned == set(QueueName)
    assert keeper.owned == set()


def test_how_far_the_job_in_hand_is_stands_in_its_row(loops: Loops, keeper: Keeper) -> None:
    call_id = loops.submitter.out[0].call_id
    loops.in_flight.beat([Beat(call_id, "node-1", 1, 1.0, progress=0.5)])
    keeper.tick()
    assert {job.asset_id: job.progress for job in loops.jobs(QUEUE)} == {"a0": None, "a1": 0.5}
    loops.pass_time(SILENCE_S)
    loops.in_flight.beat([Beat(call_id, "node-1", 1, 1.0)])
    keeper.tick()
    assert {job.asset_id: job.progress for job in loops.jobs(QUEUE)} == {"a0": None, "a1": 0.5}


def test_jobs_in_one_go_have_as_much_time_together_and_then_each_runs_alone(loops: Loops, keeper: Keeper) -> None:
    (call,) = loops.submitter.out
    assert len(call.leases) == 2
    loops.in_flight.beat([Beat(call.call_id, "node-1", None, 119.0)])
    keeper.tick()
    assert loops.submitter.cancelled == []
    loops.in_flight.beat([Beat(call.call_id, "node-1", None, 121.0)])
    keeper.tick()
    loops.settle()
    assert loops.submitter.cancelled == [call.call_id]
    assert [(str(job.state), job.attempts) for job in loops.jobs(QUEUE)] == [("waiting", 0)] * 2
    loops.dispatch()
    assert [len(out.leases) for out in loops.submitter.out] == [1]  # nobody knows which of them it was


def test_a_call_of_which_a_job_was_cancelled_is_ended_and_its_other_jobs_go_back(loops: Loops, keeper: Keeper) -> None:
    call = loops.submitter.out[0]
    loops.in_flight.beat([Beat(call.call_id, "node-1", 0, 1.0)])
    with loops.store.transaction() as tx:
        assert loops.store.discard(tx, QUEUE, [call.leases[0].job_id], JobState.ACTIVE) == 1
    keeper.tick()
    assert loops.submitter.cancelled == []  # it might just be ending by itself
    keeper.tick()
    assert loops.submitter.cancelled == [call.call_id]
    loops.settler.tick()
    assert [(job.asset_id, job.state, job.attempts) for job in loops.jobs(QUEUE)] == [("a1", JobState.WAITING, 0)]
