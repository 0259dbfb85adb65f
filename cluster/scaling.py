"""How many machines the backlog is worth, and of which type: what Ray's autoscaler is asked for. Pure.

Ray takes the list whole or not at all: one bundle that has no place, and none starts. So each bundle is a whole machine
of one type, pinned by its labels, and never more are listed than the cluster's file allows.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cluster.cluster_file import TYPES
from cluster.names import SEQUENTIAL_QUEUES, QueueName
from cluster.queue.job import JobSpec, Place
from cluster.workers import OUR_LABELS, queue_label

WORTH_S = 60.0
"""A machine besides those that a queue has is worth its start when it would be busy for so long."""
NO_MACHINE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MachineType:
    """A kind of machine that the autoscaler can start: `least` and `most` at once, `cpus` and `gpus` of each."""

    name: str
    labels: Mapping[str, str]
    cpus: float
    gpus: float
    least: int
    most: int

    def serves(self, queue: QueueName) -> bool:
        return self.labels.get(queue_label(queue)) == "true"

    def fits(self, labels: Mapping[str, str], cpus: float, gpus: float) -> bool:
        """Whether Ray could take a node with these for a machine of this type."""
        same = all(labels.get(name) == value for name, value in self.labels.items() if name in OUR_LABELS)
        return same and cpus >= self.cpus and gpus >= self.gpus

    def calls_at_once(self, spec: JobSpec) -> int:
        """Calls of this type that one machine has room for, at least one."""
        if spec.pool is not None and spec.pool.gpus and self.gpus:
            return max(1, math.floor(self.gpus / spec.pool.gpus))
        cpus = spec.resources.cpus if spec.pool is None else spec.pool.cpus
        return max(1, math.floor(self.cpus / cpus)) if cpus else 1


@dataclass(frozen=True, slots=True)
class Line:
    """What one queue has to do: `jobs` that wait or run, each `job_s` long by what was measured, 0 where nothing was.
    `concurrency`: calls at once on a node; `served`: it has a live node."""

    queue: QueueName
    specs: Sequence[JobSpec]
    jobs: int
    job_s: float
    concurrency: int
    served: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """One machine: what it must have, and the labels that it must carry."""

    resources: dict[str, float]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The machines that may be started: `most` of all types together."""

    types: Sequence[MachineType]
    most: int

    def bundles(self, lines: Sequence[Line], idle: Mapping[str, int] = NO_MACHINE) -> list[Bundle]:
        """One for each machine that is wanted, at most `most`; none when nothing is to do. `idle`: see `machines`."""
        counts = self.machines(lines, idle)
        return [_bundle(one) for one in self.types for _ in range(counts[one.name])]

    def machines(self, lines: Sequence[Line], idle: Mapping[str, int] = NO_MACHINE) -> dict[str, int]:
        """Machines wanted by type: those that are always there, one for each queue that has none, and as many more as
        would be busy for a minute. When they are too many, each type gets its first before one gets its second.

        `idle`: by type, live machines that an admin has drained. Ray takes them for some of those that are wanted, so
        where any is wanted they come on top."""
        share = dict.fromkeys((one.name for one in self.types), 0.0)
        first: set[str] = set()
        for line in lines:
            places = self._places(line.queue)
            if places and line.jobs and not line.served:
                first.add(next((one for one in places if one.most > idle.get(one.name, 0)), places[0]).name)
            left = 1.0
            for one in places:
                whole = _machines_of(line, one)
                taken = min(left * whole, one.most - share[one.name])
                share[one.name] += taken
                left -= taken / whole if whole else left
        counts, most = dict.fromkeys(share, 0), {one.name: one.most for one in self.types}
        room = self.most
        for wanted in (
            {one.name: one.least for one in self.types},
            dict.fromkeys(first, 1),
            {one.name: min(one.most, math.floor(share[one.name] + 1e-6)) for one in self.types},
        ):
            for name, count in wanted.items():
                count_with_idle = min(most[name], count + idle.get(name, 0)) if count else 0
                more = max(0, min(count_with_idle - counts[name], room))
                counts[name] += more
                room -= more
        return counts

    def starting(self, queue: QueueName, lines: Sequence[Line], idle: Mapping[str, int] = NO_MACHINE) -> str:
        """What a queue waits for that no live node serves but those that are `idle`; `""` where none is asked for
        beside them. `lines`: of all queues, this one among them."""
        counts = self.machines(lines, idle)
        asked = [one for one in self._places(queue) if counts[one.name] > idle.get(one.name, 0)]
        if not asked:
            return ""
        return (
            f"starting a node for {queue}: Ray's autoscaler is asked for a machine of type {asked[0].name}. "
            "If none comes, monitor.log in Ray's logs on the head says why"
        )

    def counted(self, nodes: Iterable[tuple[Mapping[str, str], float, float]]) -> dict[str, int]:
        """How many of these are of each type, by their labels, CPUs and GPUs; of the largest that a node could be."""
        found = (max((one for one in self.types if one.fits(*node)), key=_size, default=None) for node in nodes)
        return dict(Counter(one.name for one in found if one is not None))

    def _places(self, queue: QueueName) -> list[MachineType]:
        """Types that serve a queue: those of which some are always there, then in the order of the file."""
        return sorted((one for one in self.types if one.serves(queue)), key=lambda one: one.least == 0)


def _size(one: MachineType) -> tuple[float, float]:
    return one.gpus, one.cpus


def _machines_of(line: Line, one: MachineType) -> float:
    """Machines of this type that a line keeps busy for a minute, no more than have a call each."""
    work = [spec for spec in line.specs if spec.place is Place.CLUSTER]
    if not work:
        return 0.0
    at_once = min(line.concurrency, *(one.calls_at_once(spec) for spec in work))
    calls = math.ceil(line.jobs / max(spec.batch for spec in work))
    with_a_call = 1 if line.queue in SEQUENTIAL_QUEUES else math.ceil(calls / at_once)
    return min(with_a_call, line.jobs * line.job_s / at_once / WORTH_S)


def _bundle(one: MachineType) -> Bundle:
    sizes = {"CPU": one.cpus, "GPU": one.gpus}
    return Bundle(
        {name: size for name, size in sizes.items() if size},
        {name: value for name, value in one.labels.items() if name in OUR_LABELS},
    )


def fleet_of(config: Mapping[str, Any]) -> Fleet:
    """What a cluster's file lets Ray start, but for the head. `config`: as `ray_cluster_file.prepared` gives it. A type
    without a core is none: no job fits there."""
    types = []
    for name, of_type in config[TYPES].items():
        resources = of_type["resources"]
        most = min(of_type["max_workers"], config["max_workers"])
        if name == config["head_node_type"] or not most or not resources.get("CPU"):
            continue
        types.append(
            MachineType(
                name,
                of_type.get("labels", {}),
                float(resources["CPU"]),
                float(resources.get("GPU", 0)),
                of_type.get("min_workers", 0),
                most,
            )
        )
    return Fleet(types, config["max_workers"])
