"""What runs long on a drained node is given back: without an attempt, once its time is up, and nothing else is."""

from datetime import timedelta

import pytest

from cluster.draining import Drain
from cluster.loops.drainer import UNHEARD_S, Drainer
from cluster.loops.in_flight import Beat
from cluster.loops.submitter import Call
from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, Place, asset_job
from cluster.queue.states import JobState
from tasks.ray_worker import EVERY_S, FIRST_BEAT_S
from tests.fakes import Loops

ENCODE, MAINTAIN = JobName.ASSET_ENCODE_VIDEO, JobName.USER_DELETE_CHECK
ENCODING = JobSpec(ENCODE)
PATIENCE = timedelta(seconds=60)


class Bench:
    """Two encodes are out, on the nodes `attic` and `studio`."""

    def __init__(self, spec: JobSpec = ENCODING) -> None:
        self.loops = Loops([spec], concurrency=9)
        self.drained: dict[str, Drain] = {}
        self.gone: list[str] = []
        self.drainer = Drainer(
            self.loops.in_flight,
            self.loops.submitters,
            lambda: self.drained,
            self.loops.clock,
            self.loops.dispatcher.on_end,
            lambda: self.loops.seconds,
            lambda: (*sorted(self.drained), *self.gone),
        )
        self.loops.enqueue(asset_job(spec.name, "a"), asset_job(spec.name, "b"))
        self.loops.dispatcher.tick()
        out = self.loops.submitter.out or self.loops.row_jobs.out
        self.on = dict(zip(("attic", "studio"), out, strict=True))
        for node, call in self.on.items():
            self.loops.in_flight.beat([Beat(call.call_id, node, 0, 5.0)])

    def submit(self, asset: str) -> list[Call]:
        before = self.loops.submitter.out
        self.loops.enqueue(asset_job(ENCODE, asset))
        self.loops.dispatcher.tick()
        return [call for call in self.loops.submitter.out if call not in before]

    def drain(self, node: str) -> None:
        self.drained[node] = Drain("a new disk", self.loops.clock.now() + PATIENCE)


def test_work_on_a_drained_node_has_its_time_and_is_given_back_then() -> None:
    bench = Bench()
    bench.drain("attic")
    bench.drainer.tick()
    assert bench.loops.submitter.cancelled == []

    bench.loops.clock.sleep(PATIENCE.total_seconds())
    bench.drainer.tick()
    assert bench.loops.submitter.cancelled == [bench.on["attic"].call_id]
    bench.loops.settler.drain()
    with bench.loops.store.transaction(reading=True) as tx:
        (job,) = bench.loops.store.jobs(tx, QueueName.VIDEO_CONVERSION, [JobState.WAITING], 10)
    assert (job.asset_id, job.attempts) == (bench.on["attic"].leases[0].asset_id, 0)


@pytest.mark.parametrize("then", ["drained", "drained no more", "dead"])
def test_a_call_that_did_not_begin_is_submitted_anew_when_other_nodes_are_there(then: str) -> None:
    bench = Bench()
    if then == "drained no more":
        bench.drain("cellar")
        bench.drainer.tick()
    (waits,) = bench.submit("c")
    bench.loops.seconds += 1
    bench.drained.clear()
    if then == "drained":
        bench.drain("cellar")
    if then == "dead":
        bench.gone.append("n1")
    bench.drainer.tick()
    bench.loops.seconds += 1
    (later,) = bench.submit("d")
    assert bench.loops.submitter.cancelled == []

    bench.loops.seconds += UNHEARD_S
    bench.drainer.tick()
    assert bench.loops.submitter.cancelled == [waits.call_id]
    assert later in bench.loops.submitter.out
    bench.loops.seconds += UNHEARD_S
    bench.drainer.tick()
    assert bench.loops.submitter.cancelled == [waits.call_id]


def test_a_call_that_has_begun_is_heard_of_before_it_counts_as_waiting() -> None:
    """Or it would be done twice, once for nothing."""
    assert UNHEARD_S > FIRST_BEAT_S + EVERY_S


def test_jobs_that_are_rows_stay_where_the_database_is() -> None:
    bench = Bench(JobSpec(MAINTAIN, place=Place.ROW_JOBS, batch=1))
    bench.drain("attic")
    bench.loops.clock.sleep(2 * PATIENCE.total_seconds())
    bench.drainer.tick()
    assert bench.loops.row_jobs.cancelled == []
