"""What is leased, how it is spread over calls, and why a queue waits."""

from pathlib import Path
from typing import Any

import pytest

from cluster.loops import settler
from cluster.loops.dispatcher import CALLS_AHEAD
from cluster.loops.in_flight import Beat
from cluster.loops.submitter import LossReason
from cluster.names import QUEUE_OF_JOB, SEQUENTIAL_QUEUES, JobName, QueueName
from cluster.queue.job import Done, Failed, JobSpec, NewJob, Place, Resources, Skipped, Snooze, asset_job
from cluster.queue.retry import RetryPolicy
from cluster.queue.store import Lease
from cluster.storage.files import fenced_path
from tests.fakes import FakeHandler, Loops

THUMBNAILS, METADATA = JobName.ASSET_GENERATE_THUMBNAILS, JobName.ASSET_EXTRACT_METADATA
MIGRATE, DELETE = JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE, JobName.ASSET_DELETE
QUEUE = QUEUE_OF_JOB[THUMBNAILS]
RETRY = RetryPolicy(attempts=3, first_delay_s=10, factor=4, jitter=0)
SPECS = [
    JobSpec(THUMBNAILS, batch=4, retry=RETRY),
    JobSpec(METADATA, batch=4, retry=RETRY),
    JobSpec(MIGRATE, retry=RETRY),
    JobSpec(DELETE, place=Place.ROW_JOBS),
]


@pytest.fixture
def loops() -> Loops:
    return Loops(SPECS)


def photos(count: int, name: JobName = THUMBNAILS) -> list[NewJob]:
    return [asset_job(name, f"a{number}") for number in range(count)]


def assets(loops: Loops) -> list[list[str | None]]:
    return [[lease.asset_id for lease in call.leases] for call in loops.submitter.out]


def handler(loops: Loops) -> FakeHandler:
    return loops.handlers[THUMBNAILS]


def wait_reason(loops: Loops, queue: QueueName = QUEUE) -> str:
    with loops.store.transaction() as tx:
        return loops.store.counts(tx)[queue].wait_reason


def test_jobs_leave_in_batches_up_to_the_concurrency(loops: Loops) -> None:
    loops.enqueue(*photos(20))
    loops.dispatch()
    assert assets(loops) == [["a0", "a1", "a2", "a3"], ["a4", "a5", "a6", "a7"]]
    assert loops.states(QUEUE).count("active") == 8


def test_a_few_jobs_are_spread_over_the_free_slots(loops: Loops) -> None:
    loops.enqueue(*photos(4))
    loops.dispatch()
    assert assets(loops) == [["a0", "a1"], ["a2", "a3"]]


def test_a_call_that_ends_makes_room_for_the_next_and_wakes_the_loop(loops: Loops) -> None:
    woken = []
    loops.dispatcher.wake = lambda: woken.append(True)
    loops.enqueue(*photos(12))
    first, second = loops.dispatch()
    assert loops.dispatch() == [first, second]
    loops.submitter.answer(first)
    assert woken == [True]
    assert [call.leases[0].asset_id for call in loops.dispatch()] == ["a4", "a8"]


def test_concurrency_counts_per_node(loops: Loops) -> None:
    loops.submitter.nodes = 3
    loops.enqueue(*photos(24))
    assert len(loops.dispatch()) == 6


def test_a_sequential_queue_has_one_call_out_on_any_number_of_nodes(loops: Loops) -> None:
    assert QUEUE_OF_JOB[MIGRATE] in SEQUENTIAL_QUEUES
    loops.submitter.nodes = 5
    loops.enqueue(*photos(3, MIGRATE))
    (first,) = loops.dispatch()
    assert loops.dispatch() == [first]
    loops.submitter.answer(first)
    assert loops.dispatch() == [], "the next one reads what this one is about to write"
    loops.settle()
    (second,) = loops.dispatch()
    assert second.leases[0].asset_id == "a1"


def test_what_was_leased_and_finds_no_slot_goes_back_as_it_was() -> None:
    """Which types come next is not known before they are leased, and a call is of one type."""
    queue_all = JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL
    loops = Loops([*SPECS, JobSpec(queue_all)], concurrency=1)
    loops.enqueue(*photos(2), NewJob(queue_all))
    (call,) = loops.dispatch()
    assert [lease.asset_id for lease in call.leases] == ["a0", "a1"]
    assert [(job.name, str(job.state), job.attempts) for job in loops.jobs(QUEUE) if job.asset_id is None] == [
        (queue_all, "waiting", 0)
    ]


def test_no_more_is_leased_than_starts_if_it_goes_on_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue with a type of large batches and another of single jobs does not lease and give back all the time."""
    single = JobName.PERSON_GENERATE_THUMBNAIL
    loops = Loops([*SPECS, JobSpec(single)], concurrency=1)
    lease = loops.store.lease
    leased: list[int] = []

    def counted(*given: Any) -> list[Lease]:
        leases = lease(*given)
        leased.append(len(leases))
        return list(leases)

    monkeypatch.setattr(loops.store, "lease", counted)
    loops.enqueue(*photos(6, single))
    loops.pass_time(60)
    loops.enqueue(*photos(9))
    for _ in range(9):
        (call,) = loops.dispatch()
        loops.submitter.answer(call)
        loops.settle()
    assert leased == [4, *[1] * 6, 4, 4], "the first and the seventh time another type comes than was thought"
    assert not loops.jobs(QUEUE)


def test_a_paused_queue_leases_nothing_and_the_others_go_on(loops: Loops) -> None:
    with loops.store.transaction() as tx:
        loops.store.pause(tx, QUEUE)
    loops.enqueue(*photos(3), *photos(1, METADATA))
    assert {call.queue for call in loops.dispatch()} == {QueueName.METADATA_EXTRACTION}
    assert loops.states(QUEUE) == ["waiting"] * 3


def test_queues_of_others_are_left_alone(loops: Loops) -> None:
    loops.owned = {QueueName.METADATA_EXTRACTION}
    loops.enqueue(*photos(3))
    assert loops.dispatch() == []


def test_no_more_goes_out_than_the_cpus_take() -> None:
    loops = Loops([JobSpec(THUMBNAILS, resources=Resources(cpus=2))], concurrency=100, cpus=4)
    loops.enqueue(*photos(50))
    assert len(loops.dispatch()) == 4 * CALLS_AHEAD / 2
    assert len(loops.dispatch()) == 4 * CALLS_AHEAD / 2
    assert loops.states(QUEUE).count("active") == 4 * CALLS_AHEAD / 2


def test_all_queues_share_the_cpus_and_take_turns(loops: Loops) -> None:
    loops.cpus = 1 / CALLS_AHEAD
    first_queues = set()
    for number in range(2):
        loops.enqueue(asset_job(THUMBNAILS, f"t{number}"), asset_job(METADATA, f"m{number}"))
        (call,) = loops.dispatch()
        first_queues.add(call.queue)
        loops.submitter.answer(call)
    assert first_queues == {QUEUE, QueueName.METADATA_EXTRACTION}


def test_texts_are_read_with_the_cpus_that_the_others_leave() -> None:
    loops = Loops([JobSpec(THUMBNAILS), JobSpec(JobName.OCR)], concurrency=100, cpus=4)
    loops.enqueue(*photos(40, JobName.OCR), *photos(10))
    rounds = []
    for _ in range(3):
        calls = list(loops.dispatch())
        rounds.append([call.spec.name for call in calls])
        for call in calls:
            loops.submitter.answer(call)
    assert rounds[0] == [THUMBNAILS] * 8
    assert rounds[1][:2] == [THUMBNAILS] * 2
    assert set(rounds[1][2:]) == set(rounds[2]) == {JobName.OCR}


def test_jobs_that_are_rows_do_not_wait_for_cpus(loops: Loops) -> None:
    loops.cpus = 1 / CALLS_AHEAD
    loops.enqueue(*photos(8))
    assert len(loops.dispatch()) == 1
    loops.enqueue(NewJob(DELETE))
    loops.dispatch()
    assert [call.spec.name for call in loops.row_jobs.out] == [DELETE]


def test_without_a_node_the_queue_says_why_and_no_attempt_is_lost(loops: Loops) -> None:
    loops.submitter.nodes, loops.cpus = 0, 0
    loops.enqueue(*photos(1))
    assert loops.dispatch() == []
    assert "no live node serves thumbnailGeneration" in wait_reason(loops)
    (job,) = loops.jobs(QUEUE)
    assert (str(job.state), job.attempts) == ("waiting", 0)


def test_a_queue_whose_node_is_being_started_says_so_until_it_is_there(loops: Loops) -> None:
    loops.submitter.nodes = 0
    loops.starting = {QUEUE: "starting a node"}
    loops.enqueue(*photos(1))
    assert loops.dispatch() == []
    assert wait_reason(loops) == "starting a node"
    loops.submitter.nodes = 1
    assert len(loops.dispatch()) == 1
    assert wait_reason(loops) == ""


def test_the_reason_goes_when_a_node_comes(loops: Loops) -> None:
    loops.submitter.nodes = 0
    loops.enqueue(*photos(1))
    loops.dispatch()
    loops.submitter.nodes = 1
    assert len(loops.dispatch()) == 1
    assert wait_reason(loops) == ""


def test_an_unmounted_media_folder_is_no_reason_to_fail(loops: Loops) -> None:
    loops.media_present = False
    loops.enqueue(*photos(1))
    assert loops.dispatch() == []
    assert "not mounted" in wait_reason(loops)
    assert loops.states(QUEUE) == ["waiting"]


def test_a_queue_whose_model_is_away_waits_and_starts_by_itself(loops: Loops) -> None:
    loops.held_back[QUEUE] = "the model tiny cannot be loaded from /models/clip/tiny: put it there"
    loops.enqueue(*photos(8), *photos(1, METADATA))
    assert [call.spec.name for call in loops.dispatch()] == [METADATA]  # nobody else is held up
    assert wait_reason(loops) == "the model tiny cannot be loaded from /models/clip/tiny: put it there"
    assert loops.states(QUEUE) == ["waiting"] * 8
    assert {job.attempts for job in loops.jobs(QUEUE)} == {0}

    loops.held_back.clear()
    loops.dispatch()
    assert loops.states(QUEUE).count("active") == 8
    assert wait_reason(loops) == ""


@pytest.mark.parametrize("hold_s", [60.0, 0.0])
def test_a_queue_of_which_nothing_can_run_is_not_tried_for_a_while(hold_s: float) -> None:
    loops = Loops(SPECS, hold_s=hold_s)
    loops.enqueue(*photos(24), *photos(1, METADATA))
    first, *_ = loops.dispatch()
    loops.submitter.answer(first, Snooze(60, "the weights are damaged", whole_queue=True))
    loops.settle()
    loops.dispatch()
    assert loops.states(QUEUE).count("waiting") == (16 if hold_s else 12)
    assert wait_reason(loops) == "the weights are damaged"
    assert {job.attempts for job in loops.jobs(QUEUE)} == {0}


def test_what_one_worker_cannot_run_another_may(loops: Loops) -> None:
    loops.enqueue(*photos(24))
    first, second = loops.dispatch()
    loops.submitter.answer(first, Snooze(60, "this node is set up without it", whole_queue=True))
    loops.settle()
    loops.dispatch()
    assert loops.states(QUEUE).count("waiting") == 16
    loops.submitter.answer(second)
    loops.settle()
    loops.dispatch()
    assert loops.states(QUEUE).count("waiting") == 8


def test_what_load_can_answer_makes_no_call(loops: Loops) -> None:
    handler(loops).answers = {"a0": Skipped("hidden"), "a1": Failed("no preview"), "a2": Snooze(300, "away")}
    loops.enqueue(*photos(4))
    loops.concurrency = 1
    loops.dispatch()
    assert assets(loops) == [["a3"]]
    loops.settle()
    assert {job.asset_id: str(job.state) for job in loops.jobs(QUEUE)} == {
        "a1": "failed",
        "a2": "delayed",
        "a3": "active",
    }


def test_a_job_that_cannot_be_loaded_fails_alone(loops: Loops) -> None:
    handler(loops).breaks = {"a1"}
    loops.concurrency = 1
    loops.enqueue(*photos(3))
    loops.dispatch()
    assert assets(loops) == [["a0", "a2"]]
    loops.settle()
    (broken,) = [job for job in loops.jobs(QUEUE) if job.asset_id == "a1"]
    assert (str(broken.state), broken.attempts) == ("delayed", 1)
    assert "cannot load ['a1']" in broken.error


def test_when_submitting_raises_no_job_stays_active_and_none_is_charged(loops: Loops) -> None:
    """Each of the calls of the tick is given back, not only the first."""
    loops.submitter.refuses = RuntimeError("Ray is away")
    loops.enqueue(*photos(8))
    loops.dispatch()
    loops.settle()
    assert len(loops.in_flight) == 0
    assert {(str(job.state), job.attempts) for job in loops.jobs(QUEUE)} == {("delayed", 0)}
    loops.submitter.refuses = None
    loops.pass_time(60)
    assert len(loops.dispatch()) == 2


def test_a_call_that_was_given_up_is_not_settled_by_its_late_answer(loops: Loops, tmp_path: Path) -> None:
    loops.enqueue(*photos(1))
    (call,) = loops.dispatch()
    handler(loops).final_files = [str(tmp_path / "preview.jpeg")]
    late = fenced_path(tmp_path / "preview.jpeg", call.leases[0].token)
    late.write_bytes(b"late")
    loops.submitter.lose(call, LossReason.CONTROLLER)
    loops.settle()
    (again,) = loops.dispatch()
    loops.submitter._out[call.call_id] = (call, loops.dispatcher.on_end)
    loops.submitter.answer(call, Done("thumbnail"))
    assert loops.settler.unsettled() == [], "it is not even looked at"
    assert not late.exists()
    loops.settle()
    assert handler(loops).saved == []
    assert loops.states(QUEUE) == ["active"]
    handler(loops).final_files = []
    loops.submitter.answer(again)
    loops.settle()
    assert [asset for asset, _ in handler(loops).saved] == ["a0"]
    assert loops.states(QUEUE) == []


def test_the_node_of_a_lost_worker_is_the_one_that_beat_last(loops: Loops) -> None:
    loops.enqueue(*photos(1))
    (call,) = loops.dispatch()
    loops.in_flight.beat([Beat(call.call_id, "node-7", 0, 1.0)])
    loops.submitter.lose(call)
    loops.settle()
    (_, _, attempt) = loops.store.tables.attempts[0]
    assert attempt.node == "node-7"


def test_a_crash_with_an_unknown_culprit_runs_every_job_again_alone_and_charges_none(loops: Loops) -> None:
    loops.concurrency = 4
    loops.enqueue(*photos(16))
    crashed = loops.dispatch()[0]
    for other in loops.submitter.out[1:]:
        loops.submitter.answer(other)
    loops.submitter.lose(crashed)
    loops.settle()
    assert {(str(job.state), job.attempts) for job in loops.jobs(QUEUE)} == {("waiting", 0)}
    loops.concurrency = 1
    alone = []
    for _ in range(4):
        (call,) = loops.dispatch()
        alone.append([(lease.asset_id, lease.attempt) for lease in call.leases])
        loops.submitter.answer(call)
        loops.settle()
    assert alone == [[("a0", 1)], [("a1", 1)], [("a2", 1)], [("a3", 1)]]
    assert loops.jobs(QUEUE) == []


def test_three_deaths_alone_are_poison_and_the_neighbours_end_well(loops: Loops) -> None:
    loops.enqueue(*photos(4))
    while loops.jobs(QUEUE):
        calls = loops.dispatch()
        for call in calls:
            if any(lease.asset_id == "a2" for lease in call.leases):
                loops.submitter.lose(call)
            else:
                loops.submitter.answer(call)
        loops.settle()
        loops.pass_time(600)
        if "failed" in loops.states(QUEUE):
            break
    assert sorted(str(asset) for asset, _ in handler(loops).saved) == ["a0", "a1", "a3"]
    (poison,) = loops.jobs(QUEUE)
    assert (str(poison.state), poison.asset_id, poison.attempts) == ("failed", "a2", 3)
    assert "poison" in poison.error
    assert "a2" in poison.error


def test_a_settler_that_does_not_keep_up_stops_leasing(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler, "CROWDED", 7)
    loops.enqueue(*photos(8))
    for call in loops.dispatch():
        loops.submitter.answer(call)
    loops.enqueue(*photos(1, METADATA))
    assert loops.dispatch() == []
    loops.settle()
    assert len(loops.dispatch()) == 1
