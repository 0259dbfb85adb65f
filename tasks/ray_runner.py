"""JobSpec → Ray task: the Submitter on the cluster. Ray never retries: attempts are ours, and counted.

Each call is one Ray task named after its job, with the CPUs, GPUs and memory of its spec and the label of its queue.
Calls of jobs that keep a model go to the processes of its pool.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import ray

from cluster.loops.submitter import Call, CallEnd, CallLost, LossReason
from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec
from cluster.ray_nodes import RayNodes
from cluster.workers import NODE_ID, queue_label
from tasks import ray_worker
from tasks.ray_ends import crashed_call, end_of_call
from tasks.ray_models import RayModels

log = logging.getLogger(__name__)

MEDIA_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Keeps the pages of one picture for the next: 20 to 30 % of the CPU of thumbnails."""

CANCEL_GRACE_S = 15.0
"""Between the interrupt and the kill of a worker whose call was given up: long enough for an interrupt to arrive on a
machine that has far more to do than it can."""

OnEnd = Callable[[CallEnd], None]


def task_options(spec: JobSpec, queue: QueueName, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """What Ray is told about a job type. `left_out`: ids of nodes that must not get it."""
    options: dict[str, Any] = {
        "name": str(spec.name),
        "num_cpus": spec.resources.cpus,
        "label_selector": {queue_label(queue): "true"},
        "max_retries": 0,
    }
    if left_out:
        options["label_selector"][NODE_ID] = f"!in({','.join(left_out)})"
    if spec.resources.gpus:
        options["num_gpus"] = spec.resources.gpus
    if spec.resources.memory_mb:
        options["memory"] = spec.resources.memory_mb * 1024 * 1024
    if spec.media_memory:
        options["runtime_env"] = {"env_vars": MEDIA_MEMORY}
    return options


class RayRunner:
    """Submits calls as Ray tasks, or to `models`, and reports how each ended."""

    def __init__(
        self,
        nodes: RayNodes,
        run_call: Callable[[bytes], bytes] = ray_worker.run_call,
        models: RayModels | None = None,
    ) -> None:
        self._nodes = nodes
        self.models = models or RayModels(nodes)
        self._task = ray.remote(run_call)
        self._tasks: dict[tuple[JobName, QueueName], tuple[Sequence[str], Any]] = {}
        self._refs: dict[str, ray.ObjectRef[Any]] = {}
        self._lock = threading.Lock()

    def submit(self, call: Call, on_end: OnEnd) -> None:
        if call.spec.pool is not None:
            self.models.submit(call, call.spec.pool, on_end)
            return
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
        self.models.cancel(call_id)
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
        key, left_out = (call.spec.name, call.queue), self._nodes.left_out()
        known = self._tasks.get(key)
        if known is None or known[0] != left_out:
            known = (left_out, self._task.options(**task_options(call.spec, call.queue, left_out)))
            self._tasks[key] = known
        return known[1]

    def _ended(self, call: Call, future: Any, on_end: OnEnd) -> None:
        with self._lock:
            self._refs.pop(call.call_id, None)
        try:
            end = end_of_call(call, future.exception(), future)
        except Exception as error:
            log.exception("the answer to a call of %s could not be read", call.spec.name)
            end = crashed_call(call, error)
        on_end(end)
