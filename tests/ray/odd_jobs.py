"""Jobs that misbehave on order, run by real Ray workers. They borrow the names of jobs that are not served.

Each leaves a line in the file that its payload names, so that a test sees where, as what and how often it ran.
"""

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from cluster.errors import ModelUnavailable, UnreadableImage
from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, Lease, Loaded, ModelPool, NewJob, Payload
from cluster.queue.retry import RetryPolicy
from cluster.ray_nodes import own_name
from tasks import ray_worker, registry
from tasks.job import NO_FACTS, Context, Job
from tasks.ray_models import ModelActor
from tasks.tools import Tools

HOME, AWAY = JobName.LIBRARY_DELETE_CHECK, JobName.OCR
HOME_QUEUE, AWAY_QUEUE = QueueName.LIBRARY, QueueName.OCR
"""The head serves the first; a node that serves the second joins when a test says so."""
MODEL, AWAY_MODEL = JobName.SMART_SEARCH, JobName.ASSET_DETECT_FACES
MODEL_QUEUE, AWAY_MODEL_QUEUE = QueueName.SMART_SEARCH, QueueName.FACE_DETECTION
"""The same with a model, kept by a pool."""

BATCH = 4
TIMEOUT_S = 3.0
DRAG_S, PATIENT_TIMEOUT_S = 100.0, 200.0
"""A job may take so long, and is allowed so long where the second serves it."""
RETRY = RetryPolicy(attempts=2, first_delay_s=0.2, factor=1.0, jitter=0.0)
BEAT_EVERY_S = 0.3
IDLE_TTL_S = 4.0
RECYCLE_AFTER = 6
POOL = ModelPool("odd", cpus=2, memory_mb=50, idle_ttl_s=IDLE_TTL_S, recycle_after_batches=RECYCLE_AFTER)
AWAY_POOL = ModelPool("odd away", memory_mb=50)


def order(log: Path, name: JobName = HOME, **orders: Any) -> NewJob:
    """A job that obeys: `die`, `freeze` or `drag` (on its first so many runs), then `sleep_s`; `breaks_on`: fails
    on the node of this name. What it writes to `tidies` meanwhile it deletes when it is interrupted."""
    return NewJob(name, {"log": str(log), **orders}, asset_id=str(orders.get("asset", "")) or None)


def runs(log: Path) -> list[dict[str, Any]]:
    """One entry per time that a job with this log was begun."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [lease.payload for lease in leases]


def _work(given: Payload, tools: Tools, together: int = 1) -> str:
    log = Path(given["log"])
    before = len(runs(log))
    context = ray.get_runtime_context()
    line = {"pid": os.getpid(), "node": context.get_node_id(), "task": context.get_task_name(), "token": tools.token}
    line["together"] = together
    with log.open("a") as file:
        file.write(json.dumps(line) + "\n")
    if before < given.get("die", 0):
        os._exit(1)
    if before < given.get("freeze", 0):
        time.sleep(3 * BEAT_EVERY_S)  # one that was never heard is believed for two minutes: it may wait in Ray's line
        os.kill(os.getpid(), signal.SIGSTOP)
    if "breaks_on" in given and given["breaks_on"] == own_name():
        raise OSError("its disk is broken")
    if before < given.get("drag", 0):
        _sleep(DRAG_S)
    partial = Path(given["tidies"]) if "tidies" in given else None
    try:
        if partial is not None:
            partial.write_text("half")
        _sleep(given.get("sleep_s", 0.0))
    except BaseException:
        if partial is not None:
            partial.unlink()
        raise
    return str(log)


def _warm(given: Payload, tools: Tools) -> str:
    """The model is a file: while it is not there, nothing is loaded."""
    if not Path(given.get("weights", __file__)).exists():
        raise ModelUnavailable("odd", given["weights"], "put it there")
    return tools.models.get("odd", given.get("weights"), lambda: f"loaded by {os.getpid()}")


def _work_batch(inputs: Sequence[Payload], tools: Tools) -> Sequence[Any]:
    """Each as `_work` does; a `bad` one is no good. All see the model that this process has loaded."""
    outputs: list[Any] = []
    for given in inputs:
        assert _warm(given, tools) == f"loaded by {os.getpid()}"
        log = _work(given, tools, len(inputs))
        outputs.append(UnreadableImage(log, "bad on order") if given.get("bad") else log)
    return outputs


def _sleep(seconds: float) -> None:
    """In steps: Ray's interrupt waits for the end of a system call."""
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(left_s, 0.2))


def _save(context: Context, lease: Lease, output: str) -> frozenset[Any]:
    return NO_FACTS


def odd_jobs() -> dict[JobName, Job]:
    """One for each queue, and one with a model for each."""
    plain = {
        name: Job(JobSpec(name, batch=BATCH, timeout_s=timeout_s, retry=RETRY), _load, _work, _save)
        for name, timeout_s in ((HOME, TIMEOUT_S), (AWAY, PATIENT_TIMEOUT_S))
    }
    pooled = {
        name: Job(
            JobSpec(name, batch=BATCH, timeout_s=TIMEOUT_S, retry=RETRY, pool=pool),
            _load,
            _work,
            _save,
            work_batch=_work_batch,
            warm=_warm,
        )
        for name, pool in ((MODEL, POOL), (AWAY_MODEL, AWAY_POOL))
    }
    return plain | pooled


def run_call(packed: bytes) -> bytes:
    """The worker's side, with the odd jobs in the registry of its process and a faster beat."""
    _be_odd()
    return ray_worker.run_call(packed)


class OddModelActor(ModelActor):
    """The same for a process of a pool."""

    def __init__(self, threads: int) -> None:
        _be_odd()
        super().__init__(threads)


def _be_odd() -> None:
    registry._by_name().update(odd_jobs())
    ray_worker.FIRST_BEAT_S = ray_worker.EVERY_S = BEAT_EVERY_S
