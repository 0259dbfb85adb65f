"""`heliostat validate`: is this file a cluster that Heliostat can run on? It says where, what is wrong, what to do."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cluster.cluster_file import Demand, Finding, Where, findings
from cluster.names import QUEUE_OF_JOB
from cluster.queue.job import JobSpec, Place
from cluster.ray_cluster_file import label_findings, prepared
from tasks.registry import JOBS


def validate(file: Path, say: Callable[[str], None]) -> bool:
    """Say what is wrong with a cluster's YAML file; True when nothing is. Nothing is started or changed by it."""
    try:
        text = file.read_text()
        content, root = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        say(f"{file}: cannot be read: {error}")
        return False
    logging.getLogger("ray").setLevel(logging.WARNING)  # it tells which defaults it fills in
    found = examine(content)
    for one in found:
        path = ".".join(map(str, one.where)) or "the file"
        say(f"{file}:{_line_of(root, one.where)}: {path}: {one.wrong}\n    → {one.cure}")
    if not found:
        say(f"{file}: nothing wrong was found.")
    return not found


def examine(content: Any) -> list[Finding]:
    """What Ray says, or, when it takes the file, what its labels and we say."""
    config, refused = prepared(content)
    return refused or label_findings(config) + findings(config, demands())


def demands() -> list[Demand]:
    """Of every job whose work needs a node; rows are written on api nodes, without a CPU."""
    return [_demand(job.spec) for job in JOBS if job.spec.place is Place.CLUSTER]


def _demand(spec: JobSpec) -> Demand:
    """A model's process holds no CPU, and a GPU only where there is one."""
    queue = QUEUE_OF_JOB[spec.name]
    if spec.pool is not None:
        return Demand(spec.name, queue, memory_mb=spec.pool.memory_mb)
    return Demand(spec.name, queue, spec.resources.cpus, spec.resources.gpus, spec.resources.memory_mb)


def _line_of(root: yaml.Node | None, where: Where) -> int:
    """The line of `where`, or of the last of its steps that stands in the file: a default of Ray's does not."""
    node, line = root, 1
    for step in where:
        found = _child(node, step)
        if found is None:
            break
        key, node = found
        line = key.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node that says where `step` stands, and what it leads to."""
    match node:
        case yaml.MappingNode():
            pairs: Sequence[tuple[yaml.Node, yaml.Node]] = node.value
            return next(((key, value) for key, value in pairs if key.value == step), None)
        case yaml.SequenceNode() if isinstance(step, int) and step < len(node.value):
            return node.value[step], node.value[step]
        case _:
            return None
