"""Runs one call's jobs, one by one, in the process that got it: a worker on a node, or a test.

What a job raises becomes a value here, with all that a person needs to judge it, so that its neighbours still run.
"""

import errno
import logging
import os
import resource
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from cluster.errors import HeliostatError, ModelUnavailable, NoSpace, OutOfMemory, ProgramFailed
from cluster.names import JobName
from cluster.queue.job import Crashed, Done, Failed, FailedAttempt, More, Outcome, Skipped, Snooze, Ticket, Worked
from cluster.telemetry import lines_about
from tasks.job import Job
from tasks.registry import job_named
from tasks.tools import Tools

logger = logging.getLogger(__name__)

TAIL_BYTES = 4096
"""How much of a traceback and of a program's stderr is kept: the end says what happened."""

MODEL_AGAIN_S = 60.0
"""After which a job looks again for weights that were not there."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def run_items(
    job_name: JobName,
    tickets: Sequence[Ticket],
    inputs: Sequence[Any],
    tools: Tools,
    node: str,
    in_hand: Callable[[int | None], None],
) -> list[Worked]:
    """Work on `inputs[i]` under `tickets[i]`, in order; one result for each. Raises nothing that `work` raised.

    `in_hand(i)` is told before job i starts, so that the guilty one is known should the process die; None before all
    are worked on in one go. `node`: its name. Jobs that have not started when `tools.cancelled` is set come back as
    Snooze.
    """
    job = job_named(job_name)
    if not isinstance(job, Job):
        raise TypeError(f"{job_name} is rows: it runs where the database is")
    if job.work_batch is not None and len(inputs) > 1 and not tools.cancelled.is_set():
        in_hand(None)
        with lines_about(f"{len(inputs)} together, first {subject_of(job_name, tickets[0], node)}"):
            together = _run_together(job, job.work_batch, tickets, inputs, tools, node)
        if together is not None:
            return together
    results = []
    for index, (ticket, given) in enumerate(zip(tickets, inputs, strict=True)):
        if tools.cancelled.is_set():
            results.append(Worked(Snooze(0.0, "cancelled before it started"), 0, 0))
            continue
        in_hand(index)
        with lines_about(subject_of(job_name, ticket, node)):
            results.append(_run_one(job, ticket, given, tools, node))
    return results


def _run_one(job: Job, ticket: Ticket, given: Any, tools: Tools, node: str) -> Worked:
    tools.token = ticket.token
    _forget_peak_memory()
    started_s = time.perf_counter()
    try:
        returned = job.work(given, tools)
    except Exception as raised:  # whatever an attempt died of, its neighbours live
        returned = raised
    return _worked(job, ticket, given, returned, node, _ms_since(started_s), _peak_memory_mb())


def _run_together(
    job: Job,
    work_batch: Callable[[Sequence[Any], Tools], Sequence[Any]],
    tickets: Sequence[Ticket],
    inputs: Sequence[Any],
    tools: Tools,
    node: str,
) -> list[Worked] | None:
    """None: it did not work out together. The time is divided by heads, the memory is everybody's."""
    tools.token = tickets[0].token  # all leases of a call share one
    _forget_peak_memory()
    started_s = time.perf_counter()
    try:
        returned = work_batch(inputs, tools)
    except ModelUnavailable as missing:
        returned = [missing] * len(inputs)
    except Exception:
        logger.warning("%d of %s failed together, each is tried by itself", len(inputs), job.spec.name, exc_info=True)
        return None
    each_ms, peak_memory_mb = _ms_since(started_s) // len(inputs), _peak_memory_mb()
    return [
        _worked(job, ticket, given, one, node, each_ms, peak_memory_mb)
        for ticket, given, one in zip(tickets, inputs, returned, strict=True)
    ]


def _worked(
    job: Job, ticket: Ticket, given: Any, returned: Any, node: str, duration_ms: int, peak_memory_mb: int
) -> Worked:
    outcome: Outcome
    match returned:
        case ModelUnavailable():  # no fault of the job: it waits until somebody brings the weights
            outcome = Snooze(MODEL_AGAIN_S, str(returned), whole_queue=True)
        case Exception():
            outcome = _crashed(returned, getattr(given, "original_file_name", ""), node, duration_ms, peak_memory_mb)
            with lines_about(subject_of(job.spec.name, ticket, node)):
                logger.warning("%s", outcome.attempt.message)
        case Done() | More() | Skipped() | Failed() | Snooze():
            outcome = returned
        case _:
            outcome = Done(returned)
    return Worked(outcome, duration_ms, peak_memory_mb)


def subject_of(job_name: JobName, ticket: Ticket, node: str) -> str:
    """What a log line says that it is about."""
    asset = f" of asset {ticket.asset_id}" if ticket.asset_id else ""
    return f"{job_name}, job {ticket.job_id}{asset}, attempt {ticket.attempt}, on {node}"


def _ms_since(started_s: float) -> int:
    return round((time.perf_counter() - started_s) * 1000)


def _crashed(error: Exception, subject: str, node: str, duration_ms: int, peak_memory_mb: int) -> Crashed:
    """`subject`: the name that a person knows the file by; the path in the message is one of ours."""
    named = _named(error)
    message = _storable(str(named)) or type(named).__name__
    attempt = FailedAttempt(
        error_class=type(named).__name__,
        message=message if subject in message else f"{subject}: {message}",
        traceback_tail=_tail("".join(traceback.format_exception(error))),
        stderr_tail=_tail(error.stderr_tail) if isinstance(error, ProgramFailed) else "",
        node=node,
        duration_ms=duration_ms,
        peak_memory_mb=peak_memory_mb,
    )
    # What we did not foresee may be the weather: the policy's few attempts are cheap. Our own errors know better.
    return Crashed(attempt, retryable=named.retryable if isinstance(named, HeliostatError) else True)


def _named(error: Exception) -> Exception:
    """`error`, or ours for it where the system raises its own."""
    if isinstance(error, MemoryError):
        return OutOfMemory(str(error) or "the process ran out of memory")
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return NoSpace(str(error))
    return error


def _tail(text: str) -> str:
    return _storable(text).encode()[-TAIL_BYTES:].decode(errors="replace")


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, and nothing encodes half of a surrogate pair."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _forget_peak_memory() -> None:
    """Let the kernel count this process' peak from now; where it may not be told, the peak is that of all jobs."""
    with suppress(OSError):
        file = os.open("/proc/self/clear_refs", os.O_WRONLY)  # a third of what pathlib takes
        try:
            os.write(file, b"5")
        finally:
            os.close(file)


def _peak_memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
