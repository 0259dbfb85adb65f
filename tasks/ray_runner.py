"""JobSpec → Ray task: the Submitter on the cluster. Ray never retries: attempts are ours, and counted.

Each call is one Ray task named after its job, with the CPUs, GPUs and memory of its spec and the label of its queue.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

import ray
from ray import exceptions

from cluster.loops.submitter import Call, CallEnd, CallLost, CallReturned, LossReason
from cluster.names import JobName, QueueName
from cluster.queue.job import Crashed, FailedAttempt, JobSpec, WorkResult
from cluster.ray_nodes import RayNodes
from cluster.workers import queue_label
from tasks import ray_worker

log = logging.getLogger(__name__)

MEDIA_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Keeps the pages of one picture for the next: 20 to 30 % of the CPU of thumbnails."""

CANCEL_GRACE_S = 5.0
"""Between the interrupt and the kill of a worker whose call was given up."""

OnEnd = Callable[[CallEnd], None]


def task_options(spec: JobSpec, queue: QueueName) -> dict[str, Any]:
    """What Ray is told about a job type."""
    options: dict[str, Any] = {
        "name": str(spec.name),
        "num_cpus": spec.resources.cpus,
        "label_selector": {queue_label(queue): "true"},
        "max_retries": 0,
    }
    if spec.resources.gpus:
        options["num_gpus"] = spec.resources.gpus
    if spec.resources.memory_mb:
        options["memory"] = spec.resources.memory_mb * 1024 * 1024
    if spec.media_memory:
        options["runtime_env"] = {"env_vars": MEDIA_MEMORY}
    return options


class RayRunner:
    """Submits calls as Ray tasks and reports how each ended."""

    def __init__(self, nodes: RayNodes, run_call: Callable[[bytes], bytes] = ray_worker.run_call) -> None:
        self._nodes = nodes
        self._task = ray.remote(run_call)
        self._tasks: dict[tuple[JobName, QueueName], Any] = {}
        self._refs: dict[str, ray.ObjectRef[Any]] = {}
        self._lock = threading.Lock()

    def submit(self, call: Call, on_end: OnEnd) -> None:
        try:
            tickets = [lease.ticket for lease in call.leases]
            packed = ray_worker.packed_call(call.spec.name, call.call_id, tickets, call.inputs)
            ref = self._task_for(call).remote(packed)
        except Exception as error:
            on_end(CallLost(call, LossReason.UNSCHEDULABLE, f"Ray took no task: {error}"))
            return
        with self._lock:
            self._refs[call.call_id] = ref
        ref.future().add_done_callback(lambda future: self._ended(call, future, on_end))

    def cancel(self, call_id: str) -> None:
        """First by an interrupt, in which a job ends its program and deletes what it wrote; a worker that does not end
        by that is killed."""
        with self._lock:
            ref = self._refs.get(call_id)
        if ref is None:
            return
        ray.cancel(ref, force=False)
        timer = threading.Timer(CANCEL_GRACE_S, self._kill, (call_id,))
        timer.daemon = True
        timer.start()

    def _kill(self, call_id: str) -> None:
        with self._lock:
            ref = self._refs.get(call_id)
        if ref is not None:
            ray.cancel(ref, force=True)

    def nodes_for(self, queue: QueueName) -> int:
        return self._nodes.serving(queue)

    def _task_for(self, call: Call) -> Any:
        key = (call.spec.name, call.queue)
        if key not in self._tasks:
            self._tasks[key] = self._task.options(**task_options(call.spec, call.queue))
        return self._tasks[key]

    def _ended(self, call: Call, future: Any, on_end: OnEnd) -> None:
        with self._lock:
            self._refs.pop(call.call_id, None)
        try:
            end = end_of_call(call, future.exception(), future)
        except Exception as error:
            log.exception("the answer to a call of %s could not be read", call.spec.name)
            end = crashed_call(call, error)
        on_end(end)


def end_of_call(call: Call, error: BaseException | None, future: Any) -> CallEnd:
    """What Ray's answer means."""
    if error is None:
        return CallReturned(call, call.results(*ray_worker.unpacked_answer(future.result())))
    return lost_or_crashed(call, error)


def lost_or_crashed(call: Call, error: BaseException) -> CallEnd:
    """Ray's own errors are losses; any other was raised around the call's jobs."""
    for kind, reason in LOSSES:
        if isinstance(error, kind):
            return CallLost(call, reason, _first_line(error))
    return crashed_call(call, error)


# the order matters: a task's own exception comes wrapped, and some of these are kinds of others
LOSSES: tuple[tuple[type[BaseException], LossReason], ...] = (
    (exceptions.TaskCancelledError, LossReason.CANCELLED),
    (exceptions.TaskUnschedulableError, LossReason.UNSCHEDULABLE),
    (exceptions.ActorUnschedulableError, LossReason.UNSCHEDULABLE),
    (exceptions.OutOfMemoryError, LossReason.MEMORY),
    (exceptions.NodeDiedError, LossReason.NODE),
    (exceptions.LocalRayletDiedError, LossReason.CONTROLLER),
    (exceptions.OwnerDiedError, LossReason.CONTROLLER),
    (exceptions.WorkerCrashedError, LossReason.WORKER),
    (exceptions.ActorUnavailableError, LossReason.UNSCHEDULABLE),
    (exceptions.RayActorError, LossReason.WORKER),
    (exceptions.RuntimeEnvSetupError, LossReason.NODE),
    (exceptions.ObjectLostError, LossReason.NODE),
)


def crashed_call(call: Call, error: BaseException) -> CallReturned:
    """The call itself failed around its jobs: every job has a failed attempt."""
    attempt = FailedAttempt(type(error).__name__, _first_line(error), str(error)[-4000:])
    return CallReturned(call, tuple(WorkResult(lease, Crashed(attempt, retryable=True)) for lease in call.leases))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
