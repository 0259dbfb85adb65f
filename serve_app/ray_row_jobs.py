"""The Submitter for jobs that need the database: one Ray actor on an api node, started by the first such job."""

import threading
from collections.abc import Callable
from typing import Any

import ray
from ray import exceptions

from cluster.launch import NAMESPACE, controller_actor
from cluster.loops.submitter import Call, CallEnd, CallReturned
from cluster.names import QueueName, WorkerName
from cluster.ray_nodes import RayNodes
from cluster.workers import worker_label
from tasks.ray_ends import lost_or_crashed

PAGES_AT_ONCE = 4


class RayRowJobs:
    """`actor_class` has `run(call)`; it opens the database in its own process. It dies with the `controller` that
    started it, so each has its own."""

    def __init__(self, nodes: RayNodes, actor_class: type, controller: str) -> None:
        self._nodes, self._actor_class = nodes, actor_class
        self._name = f"{controller_actor(controller)}-row-jobs"
        self._actor: Any = None
        self._lock = threading.Lock()

    def submit(self, call: Call, on_end: Callable[[CallEnd], None]) -> None:
        reference = self._running_actor().run.options(name=str(call.spec.name)).remote(call)
        reference.future().add_done_callback(lambda future: on_end(self._end(call, future)))

    def cancel(self, call_id: str) -> None:
        """A page is short and settles itself. A long job hears by the next beat that nobody waits for it."""

    def nodes_for(self, queue: QueueName) -> int:
        return self._nodes.serving(queue)

    def _running_actor(self) -> Any:
        with self._lock:
            if self._actor is None:
                self._actor = (
                    ray.remote(self._actor_class)
                    .options(
                        name=self._name,
                        namespace=NAMESPACE,
                        get_if_exists=True,
                        num_cpus=0,
                        max_restarts=-1,
                        max_task_retries=0,
                        max_concurrency=PAGES_AT_ONCE,
                        label_selector={worker_label(WorkerName.API): "true"},
                    )
                    .remote()
                )
            return self._actor

    def _end(self, call: Call, future: Any) -> CallEnd:
        error = future.exception()
        if error is None:
            returned: CallReturned = future.result()
            return returned
        if isinstance(error, exceptions.RayActorError):
            # it may be one that a controller before this one left, and that Ray will not restart
            with self._lock:
                self._actor = None
        return lost_or_crashed(call, error)
