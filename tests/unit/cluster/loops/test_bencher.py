"""Which node is benched: one that fails most of what it runs while others do not, and no other."""

from collections.abc import Callable

import pytest

from cluster.loops.bencher import LEAST_FAILURES, WINDOW_S, Bencher
from cluster.loops.submitter import Call, CallLost, CallReturned, LossReason
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import Crashed, Done, FailedAttempt, JobId, JobSpec, Lease, LeaseToken, Outcome, WorkResult
from tests.fake_clock import NOON

THUMBNAILS, ENCODE = JobName.ASSET_GENERATE_THUMBNAILS, JobName.ASSET_ENCODE_VIDEO
DONE = Done()
NO_SPACE = Crashed(FailedAttempt("NoSpace", "no space left"), retryable=True)
BAD_FILE = Crashed(FailedAttempt("UnreadableImage", "not a picture"), retryable=False)


class Bench:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.benched: list[tuple[str, str]] = []
        self.bencher = Bencher(lambda node, why: self.benched.append((node, why)), lambda: self.now_s)

    def ran(self, node: str, count: int, outcome: Outcome, name: JobName = THUMBNAILS) -> None:
        call = self._call(name)
        for _ in range(count):
            self.bencher.note(CallReturned(call, (WorkResult(call.leases[0], outcome, node),)))

    def lost(self, node: str, count: int, reason: LossReason) -> None:
        for _ in range(count):
            self.bencher.note(CallLost(self._call(THUMBNAILS), reason, "its worker died", node, 0))

    def look(self) -> list[str]:
        self.bencher.tick()
        return [node for node, _ in self.benched]

    def _call(self, name: JobName) -> Call:
        lease = Lease(JobId(1), LeaseToken("t"), name, QUEUE_OF_JOB[name], {}, 1, 0, False, None, NOON, NOON)
        return Call("call", JobSpec(name), QUEUE_OF_JOB[name], (lease,), (None,))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_node_that_fails_what_others_do_is_benched_with_the_reason(bench: Bench) -> None:
    bench.ran("attic", LEAST_FAILURES, NO_SPACE)
    bench.ran("attic", LEAST_FAILURES - 1, DONE)
    bench.ran("studio", 5, DONE)
    assert bench.look() == ["attic"]
    assert bench.benched[0][1].startswith(f"{LEAST_FAILURES} of {2 * LEAST_FAILURES - 1} jobs failed")
    assert "NoSpace: no space left" in bench.benched[0][1]


def test_a_node_is_benched_for_what_others_do_alone(bench: Bench) -> None:
    bench.ran("attic", LEAST_FAILURES, NO_SPACE)
    bench.ran("attic", 100, Crashed(FailedAttempt("Odd", "a film"), retryable=True), ENCODE)
    bench.ran("studio", 5, DONE)
    assert bench.look() == ["attic"]
    assert bench.benched[0][1].startswith(f"{LEAST_FAILURES} of {LEAST_FAILURES} jobs failed")
    assert "NoSpace: no space left" in bench.benched[0][1]


def test_workers_that_die_count(bench: Bench) -> None:
    bench.lost("attic", LEAST_FAILURES, LossReason.WORKER)
    bench.ran("studio", 5, DONE)
    assert bench.look() == ["attic"]


@pytest.mark.parametrize(
    "happens",
    [
        lambda bench: bench.ran("attic", LEAST_FAILURES - 1, NO_SPACE),  # few
        lambda bench: (bench.ran("attic", LEAST_FAILURES, NO_SPACE), bench.ran("attic", LEAST_FAILURES, DONE)),
        lambda bench: bench.ran("attic", 100, BAD_FILE),  # the files' fault
        lambda bench: bench.lost("attic", 100, LossReason.CANCELLED),
        lambda bench: bench.lost("", 100, LossReason.WORKER),
        lambda bench: (bench.ran("attic", 100, NO_SPACE), bench.ran("studio", 10, NO_SPACE)),  # it fails everywhere
        lambda bench: bench.ran("attic", 100, NO_SPACE, ENCODE),  # nobody else does that
        lambda bench: (bench.ran("attic", 100, NO_SPACE, ENCODE), bench.ran("attic", 1, NO_SPACE)),
        lambda bench: (bench.ran("attic", LEAST_FAILURES, NO_SPACE), bench.ran("attic", LEAST_FAILURES, DONE, ENCODE)),
    ],
)
def test_others_are_not(bench: Bench, happens: Callable[[Bench], object]) -> None:
    happens(bench)
    bench.ran("studio", 5, DONE)
    assert bench.look() == []


def test_failures_of_long_ago_are_forgotten(bench: Bench) -> None:
    bench.ran("attic", LEAST_FAILURES - 1, NO_SPACE)
    bench.ran("studio", 5, DONE)
    assert bench.look() == []
    bench.now_s += WINDOW_S + 1
    bench.look()
    bench.ran("attic", 1, NO_SPACE)
    bench.ran("studio", 5, DONE)
    assert bench.look() == []


def test_one_that_was_benched_starts_anew(bench: Bench) -> None:
    bench.ran("attic", LEAST_FAILURES, NO_SPACE)
    bench.ran("studio", 5, DONE)
    assert bench.look() == ["attic"]
    bench.ran("attic", LEAST_FAILURES - 1, NO_SPACE)
    assert bench.look() == ["attic"]
