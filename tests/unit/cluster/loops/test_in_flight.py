"""The book of the calls that are out: what is believed, what is overdue, how much room they take."""

from datetime import UTC, datetime

import pytest

from cluster.loops.in_flight import FULL_CALL_S, LEAST_WEIGHT, SILENCE_S, START_GRACE_S, Beat, InFlight
from cluster.loops.submitter import Call
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import JobId, JobSpec, Lease, LeaseToken, ModelPool, Place, Resources

NAME = JobName.ASSET_GENERATE_THUMBNAILS
QUEUE = QUEUE_OF_JOB[NAME]
SPEC = JobSpec(NAME, resources=Resources(cpus=2), timeout_s=60)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PAIR = (JobId(1), LeaseToken("t1"))


class Seconds:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def book(seconds: Seconds) -> InFlight:
    return InFlight(seconds)


def call(number: int = 1, spec: JobSpec = SPEC) -> Call:
    lease = Lease(JobId(number), LeaseToken(f"t{number}"), NAME, QUEUE, {}, 1, 0, False, None, NOON, NOON)
    return Call(f"call-{number}", spec, QUEUE, (lease,), (None,))


def beat(call_id: str = "call-1", in_hand_s: float = 1.0) -> Beat:
    return Beat(call_id, "node-1", 0, in_hand_s)


def test_a_call_in_rays_line_is_believed_for_a_while(book: InFlight, seconds: Seconds) -> None:
    book.add(call())
    seconds.now_s += START_GRACE_S - 1
    assert book.alive() == [PAIR]
    seconds.now_s += 1
    assert book.alive() == []


def test_a_silent_worker_is_believed_for_less(book: InFlight, seconds: Seconds) -> None:
    book.add(call())
    book.beat([beat()])
    seconds.now_s += SILENCE_S - 1
    assert book.alive() == [PAIR]
    assert book.believes(book.everything()[0])
    seconds.now_s += 1
    assert book.alive() == []
    assert not book.believes(book.everything()[0])


def test_a_worker_that_is_heard_is_believed_for_ever(book: InFlight, seconds: Seconds) -> None:
    book.add(call())
    for _ in range(1000):
        seconds.now_s += SILENCE_S - 1
        book.beat([beat()])
    assert book.alive() == [PAIR]


def test_a_beat_for_a_call_that_was_given_up_is_answered_with_drop(book: InFlight) -> None:
    book.add(call(1))
    book.add(call(2))
    book.end("call-2")
    assert book.beat([beat("call-1"), beat("call-2"), beat("of another controller")]) == {
        "call-2",
        "of another controller",
    }


def test_a_call_ends_once(book: InFlight) -> None:
    book.add(call())
    assert book.end("call-1") is not None
    assert book.end("call-1") is None
    assert (book.calls_of(QUEUE), book.load, len(book)) == (0, 0, 0)


def test_a_call_that_stands_ahead_at_a_models_process_is_on_no_node_yet(book: InFlight) -> None:
    book.add(call())
    book.beat([Beat("call-1", "", None, 0.0)])
    assert book.in_hand() == []
    book.beat([beat()])
    assert [one.node for one in book.in_hand()] == ["node-1"]


def test_the_job_in_hand_may_take_as_long_as_its_spec_says(book: InFlight) -> None:
    book.add(call())
    assert book.overdue() == []
    book.beat([beat(in_hand_s=60)])
    assert book.overdue() == []
    book.beat([beat(in_hand_s=60.1)])
    assert [entry.call.call_id for entry in book.overdue()] == ["call-1"]


def test_a_lease_is_found_by_its_token(book: InFlight) -> None:
    book.add(call())
    found = book.holding(*PAIR)
    assert found is not None
    assert found.call.call_id == "call-1"
    assert book.holding(JobId(1), LeaseToken("of an earlier attempt")) is None


def test_a_call_of_unknown_length_weighs_its_cpus(book: InFlight) -> None:
    assert book.weight(SPEC) == 2
    book.add(call())
    assert book.load == 2


def test_short_calls_weigh_less_but_never_nothing(book: InFlight, seconds: Seconds) -> None:
    for number in range(200):
        book.add(call(number))
        seconds.now_s += FULL_CALL_S / 2
        book.end(f"call-{number}")
    assert book.weight(SPEC) == pytest.approx(1.0)
    for number in range(200):
        book.add(call(number))
        book.end(f"call-{number}")
    assert book.weight(SPEC) == pytest.approx(2 * LEAST_WEIGHT)
    assert book.load == 0


def test_a_model_weighs_its_threads_but_no_more_than_there_are(book: InFlight) -> None:
    spec = JobSpec(NAME, pool=ModelPool("clip", cpus=4))
    assert book.weight(spec) == 4
    book.cpus = 2
    assert book.weight(spec) == 2
    assert book.weight(SPEC) == 2


def test_jobs_that_are_rows_take_no_cpus(book: InFlight) -> None:
    rows = JobSpec(NAME, place=Place.ROW_JOBS)
    book.add(call(spec=rows))
    assert book.load == 0
    assert book.calls_of(QUEUE) == 1


def test_what_is_out_takes_its_weight_back_as_it_was_when_it_left(book: InFlight, seconds: Seconds) -> None:
    book.add(call(1))
    book.add(call(2))
    seconds.now_s += FULL_CALL_S / 10
    book.end("call-1")
    book.add(call(3))
    book.end("call-2")
    book.end("call-3")
    assert book.load == 0
