"""Which workers and queues a node serves, and the labels that say so (pure).

A name in `IMMICH_WORKERS_INCLUDE` or `IMMICH_WORKERS_EXCLUDE` is a worker or a queue and means the same in both:
`microservices` is all three workers that are not `api`, so Immich's documented set-ups mean the same here.
Source: spec/workers.md §2; DESIGN.md §4 for the finer names.
"""

from dataclasses import dataclass

from cluster.errors import SettingsInvalid
from cluster.names import WORKER_OF_QUEUE, QueueName, WorkerName

INCLUDED_BY_DEFAULT = (WorkerName.API.value, WorkerName.MICROSERVICES.value)
NOT_SERVED = "maintenance"
BEHIND_MICROSERVICES = (WorkerName.MICROSERVICES, WorkerName.MACHINE_LEARNING, WorkerName.ENCODING)


@dataclass(frozen=True, slots=True)
class NodeDuties:
    """What a node serves. A worker is listed when it was included and a queue of it is left; queues may come alone."""

    workers: tuple[WorkerName, ...]
    queues: tuple[QueueName, ...]


def listed_names(text: str) -> tuple[str, ...]:
    """The names in a comma list, once each, in order. White space counts nowhere, not even inside a name."""
    return tuple(dict.fromkeys(name for name in "".join(text.split()).split(",") if name))


def node_duties(include: str, exclude: str) -> NodeDuties:
    """Everything included, less everything excluded. Raises SettingsInvalid for a wrong name that is not excluded."""
    excluded = listed_names(exclude)
    included = tuple(name for name in listed_names(include) or INCLUDED_BY_DEFAULT if name not in excluded)
    _check_names(included)
    without_workers, without_queues = _workers_in(excluded), _queues_in(excluded)
    queues = [queue for queue in QueueName if queue in _queues_in(included) and queue not in without_queues]
    served = {WORKER_OF_QUEUE[queue] for queue in queues} | {WorkerName.API}
    workers = [worker for worker in _workers_in(included) if worker not in without_workers and worker in served]
    return NodeDuties(tuple(workers), tuple(queues))


def node_labels(include: str, exclude: str) -> dict[str, str]:
    """A Ray label for each worker and each queue that the node serves. Raises SettingsInvalid."""
    duties = node_duties(include, exclude)
    names = [*map(worker_label, duties.workers), *map(queue_label, duties.queues)]
    return dict.fromkeys(names, "true")


def worker_label(worker: WorkerName) -> str:
    """The label that a node with this worker carries, with the value `true`."""
    return f"worker/{worker.value}"


def queue_label(queue: QueueName) -> str:
    """The label that a node which serves this queue carries, with the value `true`."""
    return f"queue/{queue.value}"


OUR_LABELS = frozenset({*map(worker_label, WorkerName), *map(queue_label, QueueName)})
"""Every label that means something here."""


NODE_ID = "ray.io/node-id"
"""The label that Ray gives every node."""


def _check_names(names: tuple[str, ...]) -> None:
    valid = {*WorkerName, *QueueName, NOT_SERVED}
    if not valid.issuperset(names):
        raise SettingsInvalid([("IMMICH_WORKERS_INCLUDE", f"Invalid worker(s) found: {','.join(names)}")])
    if NOT_SERVED in names:
        raise SettingsInvalid([("IMMICH_WORKERS_INCLUDE", "maintenance is not served")])


def _workers_in(names: tuple[str, ...]) -> tuple[WorkerName, ...]:
    """The workers that `names` stand for, in order, once each. Queue names and unknown names stand for none."""
    known = [WorkerName(name) for name in names if name in set(WorkerName)]
    expanded = [BEHIND_MICROSERVICES if name is WorkerName.MICROSERVICES else (name,) for name in known]
    return tuple(dict.fromkeys(worker for group in expanded for worker in group))


def _queues_in(names: tuple[str, ...]) -> frozenset[QueueName]:
    """Every queue of the workers that `names` stand for, and the queues that are named themselves."""
    workers = _workers_in(names)
    return frozenset(queue for queue in QueueName if WORKER_OF_QUEUE[queue] in workers or queue in names)
