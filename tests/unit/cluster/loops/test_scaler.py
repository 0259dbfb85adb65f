"""What Ray's autoscaler is asked for, as queues fill and drain."""

from collections.abc import Sequence

import pytest

from cluster.loops.dispatcher import LEASE_S
from cluster.loops.scaler import Scaler
from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import Handler, JobSpec, asset_job
from cluster.queue.memory_store import MemoryQueueStore
from cluster.queue.store import Finish
from cluster.scaling import Bundle, Fleet, MachineType
from cluster.workers import node_labels
from tests.fake_clock import FakeClock
from tests.fakes import FakeHandler

ENCODE = JobName.ASSET_ENCODE_VIDEO
QUEUE = QUEUE_OF_JOB[ENCODE]
MACHINE = Bundle({"CPU": 4.0}, node_labels("encoding", ""))
NOBODY_ELSE, ANOTHER = True, False


class Bench:
    """A scaler over a store; `asked` is all that Ray was told."""

    def __init__(self) -> None:
        self.store = MemoryQueueStore(FakeClock())
        self.asked: list[Sequence[Bundle]] = []
        self.held, self.nodes, self.job_s = "", 0, 0.0
        self.away, self.drained = False, 0
        handlers: dict[JobName, Handler] = {ENCODE: FakeHandler(JobSpec(ENCODE))}
        fleet = Fleet([MachineType("encoding", node_labels("encoding", ""), 4, 0, 0, 3)], 3)
        self.scaler = Scaler(
            self.store,
            handlers,
            fleet,
            concurrency=lambda queue: 1,
            held_back=lambda queue: self.held,
            nodes_for=lambda queue: self.nodes,
            usual_s=lambda tx, queue: self.job_s,
            ask=self.ask,
            idle=lambda: {"encoding": self.drained},
        )

    def ask(self, bundles: Sequence[Bundle]) -> None:
        if self.away:
            raise ConnectionError("Ray's head is away")
        self.asked.append(bundles)

    def enqueue(self, count: int = 1) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, [asset_job(ENCODE, f"a{number}") for number in range(count)])

    def finish_all(self) -> None:
        with self.store.transaction() as tx:
            for lease in self.store.lease(tx, QUEUE, 100, LEASE_S, "controller", "one"):
                self.store.settle(tx, [Finish(lease)])


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_waits_without_a_node_is_asked_for_once_and_cleared_when_it_is_done(bench: Bench) -> None:
    bench.enqueue()
    for _ in range(3):
        bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[MACHINE]]
    bench.nodes = 1
    bench.finish_all()
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[MACHINE], []]


def test_a_new_controller_takes_back_what_the_one_before_it_asked_for(bench: Bench) -> None:
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[]]


def test_one_controller_asks_and_one_that_gets_the_duty_back_asks_anew(bench: Bench) -> None:
    bench.enqueue()
    bench.scaler.tick(ANOTHER)
    assert bench.asked == []
    bench.scaler.tick(NOBODY_ELSE)
    bench.scaler.tick(ANOTHER)
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[MACHINE], [MACHINE]]


def test_a_backlog_is_worth_as_many_machines_as_the_file_allows(bench: Bench) -> None:
    bench.enqueue(50)
    bench.job_s, bench.nodes = 600.0, 1
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[MACHINE] * 3]


def test_a_paused_queue_or_one_that_is_held_back_asks_for_nothing(bench: Bench) -> None:
    bench.enqueue()
    bench.held = "quiet hours until 6:00"
    bench.scaler.tick(NOBODY_ELSE)
    bench.held = ""
    with bench.store.transaction() as tx:
        bench.store.pause(tx, QUEUE)
    bench.scaler.tick(NOBODY_ELSE)
    with bench.store.transaction() as tx:
        bench.store.resume(tx, QUEUE)
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[], [MACHINE]]


def test_what_ray_did_not_hear_is_said_again(bench: Bench) -> None:
    bench.enqueue()
    bench.away = True
    with pytest.raises(ConnectionError):
        bench.scaler.tick(NOBODY_ELSE)
    bench.away = False
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[MACHINE]]


def test_a_drained_node_is_replaced_and_the_queue_says_so_while_one_may_be_started(bench: Bench) -> None:
    bench.drained = 1
    assert "starting a node" in bench.scaler.starting(QUEUE), "before the first tick, too"
    bench.enqueue()
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[MACHINE] * 2]
    bench.drained = 3
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked[1:] == [[MACHINE] * 3]
    assert bench.scaler.starting(QUEUE) == ""


def test_one_controller_s_queue_says_what_another_asks_for(bench: Bench) -> None:
    bench.enqueue()
    bench.scaler.tick(ANOTHER)
    assert bench.asked == []
    assert "starting a node" in bench.scaler.starting(QUEUE)


def test_a_queue_that_has_no_job_types_here_is_not_counted(bench: Bench) -> None:
    with bench.store.transaction() as tx:
        bench.store.enqueue(tx, [asset_job(JobName.OCR, "a")])
    bench.scaler.tick(NOBODY_ELSE)
    assert bench.asked == [[]]
    assert QueueName.OCR is QUEUE_OF_JOB[JobName.OCR]
