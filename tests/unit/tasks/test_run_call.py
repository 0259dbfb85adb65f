"""One call's jobs, run in a process: what `work` raises becomes a value, and its neighbours still run."""

import errno
import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ModelUnavailable, ProgramFailed, UnreadableImage
from cluster.names import JobName
from cluster.queue.job import (
    Crashed,
    Done,
    Fact,
    Failed,
    JobId,
    JobSpec,
    LeaseToken,
    More,
    Skipped,
    Snooze,
    Ticket,
    Worked,
)
from cluster.settings import read_settings
from cluster.telemetry import OURS, configure_logging
from tasks import run_call
from tasks.job import Job
from tasks.run_call import TAIL_BYTES, run_items
from tasks.tools import Tools

NAME = JobName.FILE_DELETE


def ticket(number: int) -> Ticket:
    return Ticket(JobId(number), LeaseToken(f"token-{number}"), f"asset-{number}", attempt=2)


def unused(*arguments: object) -> Any:
    raise AssertionError("work alone runs in a worker")


@pytest.fixture
def tools() -> Iterator[Tools]:
    tools = Tools()
    yield tools
    tools.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> Callable[..., list[Worked]]:
    """Run `work` on each input, as one call of a job type that is made of it."""

    def run_work(
        work: Callable[[Any, Tools], Any], *inputs: Any, in_hand: Callable[[int], None] = lambda index: None
    ) -> Any:
        monkeypatch.setattr(run_call, "job_named", lambda name: Job(JobSpec(NAME), unused, work, unused))
        return run_items(NAME, [ticket(n) for n, _ in enumerate(inputs)], inputs, tools, "node-1", in_hand)

    return run_work


def raiser(error: Exception) -> Callable[[Any, Tools], None]:
    def work(given: Any, tools: Tools) -> None:
        raise error

    return work


def test_what_work_returns_is_its_outcome(run: Callable[..., list[Worked]]) -> None:
    outcomes = [Skipped("s", frozenset({Fact("video")})), Failed("f"), Snooze(3, "z"), More(1, {"after": "x"}), Done(7)]
    results = run(lambda given, tools: given, *outcomes, "plain", None)
    assert [result.outcome for result in results] == [*outcomes, Done("plain"), Done(None)]


def test_each_job_has_its_own_token_and_is_in_hand_before_it_starts(run: Callable[..., list[Worked]]) -> None:
    log: list[object] = []
    run(lambda given, tools: log.append((given, tools.token)), "a", "b", in_hand=log.append)
    assert log == [0, ("a", "token-0"), 1, ("b", "token-1")]


def test_a_neighbour_of_a_crash_still_runs(run: Callable[..., list[Worked]]) -> None:
    def work(given: int, tools: Tools) -> float:
        return 1 / given

    first, bad, last = run(work, 1, 0, 2)
    assert (first.outcome, last.outcome) == (Done(1.0), Done(0.5))
    assert isinstance(bad.outcome, Crashed)
    assert bad.outcome.attempt.error_class == "ZeroDivisionError"
    assert "return 1 / given" in bad.outcome.attempt.traceback_tail
    assert bad.outcome.attempt.node == "node-1"


@pytest.mark.parametrize(
    ("error", "error_class", "retryable"),
    [
        (UnreadableImage("x.jpg", "broken"), "UnreadableImage", False),
        (ProgramFailed("ffmpeg", 1, "bad\nworse"), "ProgramFailed", True),
        (OSError(errno.ENOSPC, "No space left on device"), "NoSpace", True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "NoSpace", True),
        (MemoryError(), "OutOfMemory", True),
        (PermissionError("not yours"), "PermissionError", True),
        (KeyError("surprise"), "KeyError", True),
    ],
)
def test_the_error_says_whether_a_retry_helps(
    run: Callable[..., list[Worked]], error: Exception, error_class: str, retryable: bool
) -> None:
    (result,) = run(raiser(error), 1)
    assert isinstance(result.outcome, Crashed)
    assert (result.outcome.attempt.error_class, result.outcome.retryable) == (error_class, retryable)
    assert result.outcome.attempt.message


def test_log_lines_say_whose_they_are(
    run: Callable[..., list[Worked]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    for name in (None, *OURS):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)
    configure_logging(read_settings({}), "Worker")

    def work(given: str, tools: Tools) -> None:
        logging.getLogger("tasks.jobs").warning("%s is odd", given)
        if given == "b":
            raise ValueError("too odd")

    run(work, "a", "b")
    logging.getLogger("tasks.jobs").warning("nobody's")
    said = [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    of_a = f"({NAME}, job 0 of asset asset-0, attempt 2, on node-1)"
    of_b = f"({NAME}, job 1 of asset asset-1, attempt 2, on node-1)"
    assert said == [f"a is odd {of_a}", f"b is odd {of_b}", f"too odd {of_b}", "nobody's"]


def test_a_program_s_last_words_are_kept_and_cut(run: Callable[..., list[Worked]]) -> None:
    (result,) = run(raiser(ProgramFailed("ffmpeg", 1, "é" * 5000 + "\nlast words")), 1)
    assert isinstance(result.outcome, Crashed)
    attempt = result.outcome.attempt
    assert attempt.stderr_tail.endswith("last words")
    assert attempt.message == "ffmpeg ended with 1: last words"
    assert len(attempt.stderr_tail) < TAIL_BYTES
    assert len(attempt.traceback_tail.encode()) <= TAIL_BYTES


def test_results_travel(run: Callable[..., list[Worked]]) -> None:
    results = run(raiser(UnreadableImage("x.jpg", "broken")), 1)
    assert pickle.loads(pickle.dumps(results)) == results


def test_time_and_memory_are_those_of_the_job(run: Callable[..., list[Worked]]) -> None:
    def work(given: int, tools: Tools) -> int:
        return len(bytes(given * 1024 * 1024).replace(b"\0", b"\1"))

    big, small = run(work, 300, 1)
    assert big.peak_memory_mb > 300
    if _peak_can_be_reset():
        assert small.peak_memory_mb < big.peak_memory_mb - 200
    assert big.duration_ms >= small.duration_ms


def test_what_has_not_started_when_the_call_is_cancelled_is_no_attempt(
    run: Callable[..., list[Worked]], tools: Tools
) -> None:
    def work(given: int, tools: Tools) -> int:
        tools.cancelled.set()
        return given

    started, untouched = run(work, 1, 2)
    assert started.outcome == Done(1)
    assert isinstance(untouched.outcome, Snooze)


Together = Callable[[Sequence[Any], Tools], Sequence[Any]]


@pytest.fixture
def run_together(monkeypatch: pytest.MonkeyPatch, tools: Tools) -> Callable[..., list[Worked]]:
    """Run one call of a job type that works on all inputs in one go; alone, an input is doubled."""

    def run_batch(
        work_batch: Together, *inputs: Any, in_hand: Callable[[int | None], None] = lambda index: None
    ) -> Any:
        job = Job(JobSpec(NAME), unused, lambda given, tools: given * 2, unused, work_batch=work_batch)
        monkeypatch.setattr(run_call, "job_named", lambda name: job)
        return run_items(NAME, [ticket(n) for n, _ in enumerate(inputs)], inputs, tools, "node-1", in_hand)

    return run_batch


def test_jobs_in_one_go_end_each_in_its_own_way(run_together: Callable[..., list[Worked]]) -> None:
    bad, missing = UnreadableImage("x.jpg", "broken"), ModelUnavailable("tiny", "/models/clip/tiny", "put it there")
    inputs = ["plain", Skipped("s"), Failed("f"), Snooze(3, "z"), bad, missing]
    taken: list[int | None] = []
    results = run_together(lambda given, tools: list(given), *inputs, in_hand=taken.append)

    assert taken == [None]
    assert [result.outcome for result in results[:4]] == [Done("plain"), Skipped("s"), Failed("f"), Snooze(3, "z")]
    assert isinstance(results[4].outcome, Crashed)
    assert (results[4].outcome.attempt.error_class, results[4].outcome.retryable) == ("UnreadableImage", False)
    assert isinstance(results[5].outcome, Snooze)
    assert "/models/clip/tiny" in results[5].outcome.reason
    assert results[5].outcome.whole_queue


def test_jobs_that_fail_together_are_tried_one_by_one(run_together: Callable[..., list[Worked]]) -> None:
    def too_much(inputs: Sequence[Any], tools: Tools) -> Sequence[Any]:
        raise MemoryError

    taken: list[int | None] = []
    results = run_together(too_much, "a", None, "b", in_hand=taken.append)
    assert [results[0].outcome, results[2].outcome] == [Done("aa"), Done("bb")]
    assert isinstance(results[1].outcome, Crashed)
    assert taken == [None, 0, 1, 2]


def test_one_job_is_worked_on_alone(run_together: Callable[..., list[Worked]]) -> None:
    (result,) = run_together(unused, "a")
    assert result.outcome == Done("aa")


def test_without_its_weights_a_call_waits_and_no_job_loses_an_attempt(
    run_together: Callable[..., list[Worked]],
) -> None:
    def missing(inputs: Sequence[Any], tools: Tools) -> Sequence[Any]:
        raise ModelUnavailable("tiny", "/models/clip/tiny", "put it there")

    assert all(isinstance(result.outcome, Snooze) for result in run_together(missing, "a", "b"))


def test_a_job_that_is_rows_is_refused(tools: Tools) -> None:
    with pytest.raises(TypeError, match="AssetExtractMetadataQueueAll"):
        run_items(JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL, [], [], tools, "n", lambda index: None)


def _peak_can_be_reset() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
