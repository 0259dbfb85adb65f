"""Whether a queue's models can be loaded: looked at once for the queue, before its jobs are leased, not job by job."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cluster.errors import ModelUnavailable
from cluster.names import QUEUE_OF_JOB, QueueName
from cluster.system_config import SystemConfig
from tasks.job import AnyJob, Job
from tasks.ml.weights import Weights, find_weights, is_being_written

LOOK_EVERY_S = 2.0


def wanted_weights(jobs: Iterable[AnyJob], config: SystemConfig) -> list[Weights]:
    """The weights that these jobs need with this config, each once."""
    wanted = (job.weights(config) for job in jobs if isinstance(job, Job))
    return list(dict.fromkeys(weights for weights in wanted if weights is not None))


class MissingWeights:
    """Says per queue which weights are not there. A queue whose weights appear goes on by itself, within seconds.

    It looks on the api node, so the model folder must lie at the same path there as on the nodes that load from it.
    """

    def __init__(self, jobs: Sequence[AnyJob], model_folder: Path, config: Callable[[], SystemConfig]) -> None:
        self._model_folder, self._config = model_folder, config
        self._lock = threading.Lock()
        self._said: dict[QueueName, tuple[float, str]] = {}
        self._jobs_of: dict[QueueName, list[Job]] = {}
        for job in jobs:
            if isinstance(job, Job) and job.spec.pool is not None:
                self._jobs_of.setdefault(QUEUE_OF_JOB[job.spec.name], []).append(job)

    def reason(self, queue: QueueName) -> str:
        """Which model this queue waits for and what to do, `""` when it can start. Looks every two seconds."""
        if queue not in self._jobs_of:
            return ""
        with self._lock:
            looked_s, said = self._said.get(queue, (float("-inf"), ""))
            if time.monotonic() - looked_s > LOOK_EVERY_S:
                said = self._look(queue)
                self._said[queue] = (time.monotonic(), said)
            return said

    def _look(self, queue: QueueName) -> str:
        for weights in wanted_weights(self._jobs_of[queue], self._config()):
            try:
                files = find_weights(self._model_folder, weights)
                new = is_being_written(files)
            except ModelUnavailable as missing:
                broken = Path(missing.wanted_path)
                if not broken.is_file() or not is_being_written([broken]):
                    return str(missing)
                new = True
            except FileNotFoundError as gone:
                return f"the model {weights.name} was just taken away: {gone.filename}"
            if new:
                folder = weights.folder(self._model_folder)
                return (
                    f"the model {weights.name} has just been put into {folder}: it is looked at again when it is whole"
                )
        return ""
