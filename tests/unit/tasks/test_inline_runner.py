"""The runner for tests and debugging: each call ends exactly once, whatever happens to it."""

import queue
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.loops.submitter import Call, CallEnd, CallLost, CallReturned, LossReason, Submitter
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import Done, JobId, JobSpec, Lease, LeaseToken
from tasks import run_call
from tasks.inline_runner import InlineRunner
from tasks.job import Job
from tasks.tools import Tools

NAME = JobName.FILE_DELETE
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SOON_S = 10.0


def call(call_id: str, *inputs: Any) -> Call:
    leases = tuple(
        Lease(JobId(n), LeaseToken("t"), NAME, QUEUE_OF_JOB[NAME], {}, 1, 0, False, None, NOON, NOON)
        for n, _ in enumerate(inputs)
    )
    return Call(call_id, JobSpec(NAME), QUEUE_OF_JOB[NAME], leases, inputs)


@pytest.fixture
def runner() -> Iterator[InlineRunner]:
    runner = InlineRunner()
    yield runner
    runner.close()


@pytest.fixture
def ends() -> "queue.SimpleQueue[CallEnd]":
    return queue.SimpleQueue()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any, Tools], Any]], None]:
    """Make this the work of the job."""

    def unused(*arguments: object) -> Any:
        raise AssertionError

    def use(function: Callable[[Any, Tools], Any]) -> None:
        monkeypatch.setattr(run_call, "job_named", lambda name: Job(JobSpec(NAME), unused, function, unused))

    return use


def test_it_is_a_submitter_that_serves_every_queue(runner: InlineRunner) -> None:
    submitter: Submitter = runner
    assert all(submitter.nodes_for(queue_name) == 1 for queue_name in QUEUE_OF_JOB.values())


def test_a_call_returns_one_result_per_lease(
    runner: InlineRunner, ends: "queue.SimpleQueue[CallEnd]", work: Callable[..., None]
) -> None:
    work(lambda given, tools: given * 2)
    sent = call("c", 1, 2)
    runner.submit(sent, ends.put)
    end = ends.get(timeout=SOON_S)
    assert isinstance(end, CallReturned)
    assert end.call is sent
    assert [result.outcome for result in end.results] == [Done(2), Done(4)]


def test_submit_returns_before_the_work_is_done(
    runner: InlineRunner, ends: "queue.SimpleQueue[CallEnd]", work: Callable[..., None]
) -> None:
    may_end = threading.Event()
    work(lambda given, tools: may_end.wait(SOON_S))
    runner.submit(call("c", 1), ends.put)
    assert ends.empty()
    may_end.set()
    assert isinstance(ends.get(timeout=SOON_S), CallReturned)


def test_what_cannot_travel_is_found_here(
    runner: InlineRunner, ends: "queue.SimpleQueue[CallEnd]", work: Callable[..., None]
) -> None:
    work(lambda given, tools: threading.Lock())
    runner.submit(call("c", 1), ends.put)
    end = ends.get(timeout=SOON_S)
    assert isinstance(end, CallLost)
    assert end.reason is LossReason.WORKER
    assert "pickle" in end.message


def test_a_cancelled_call_is_told_and_lost(
    runner: InlineRunner, ends: "queue.SimpleQueue[CallEnd]", work: Callable[..., None]
) -> None:
    started = threading.Event()

    def wait_for_the_end(given: Any, tools: Tools) -> bool:
        started.set()
        return tools.cancelled.wait(SOON_S)

    work(wait_for_the_end)
    runner.submit(call("c", 1, 2), ends.put)
    assert started.wait(SOON_S)
    runner.cancel("c")
    end = ends.get(timeout=SOON_S)
    assert isinstance(end, CallLost)
    assert end.reason is LossReason.CANCELLED


def test_cancelling_what_has_ended_changes_nothing(
    runner: InlineRunner, ends: "queue.SimpleQueue[CallEnd]", work: Callable[..., None]
) -> None:
    work(lambda given, tools: given)
    runner.submit(call("c", 1), ends.put)
    assert isinstance(ends.get(timeout=SOON_S), CallReturned)
    runner.cancel("c")
    runner.submit(call("d", 1), ends.put)
    assert isinstance(ends.get(timeout=SOON_S), CallReturned)
    assert ends.empty()
