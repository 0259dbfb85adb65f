"""The machines of the cluster, as our own pages and commands see them."""

from serve_app.services.nodes import WorkingNode
from serve_app.services.queues import shown_name
from serve_app.wire.common import Wire, WireTime
from serve_app.wire.job_details import RunningSeen, running_seen


class NodeSeen(Wire):
    """`is_alive` false: the cluster does not know it (any more), but a worker there was heard of. `labels`: those that
    say nothing of workers and queues. `drain`: `draining` while something runs there yet, then `drained`; empty: it is
    given work. `drain_reason`: why, and who wanted it. `is_going`: its machine ends, which nobody can undo."""

    name: str
    is_alive: bool
    address: str
    cpus: float
    gpus: float
    memory_bytes: int
    workers: list[str]
    queues: list[str]
    labels: dict[str, str]
    running: list[RunningSeen]
    last_ended_at: WireTime | None
    drain: str
    drain_reason: str
    is_going: bool


def node_seen(one: WorkingNode) -> NodeSeen:
    node = one.node
    return NodeSeen(
        name=one.name,
        is_alive=node is not None,
        address=node.address if node else "",
        cpus=node.cpus if node else 0,
        gpus=node.gpus if node else 0,
        memory_bytes=node.memory_bytes if node else 0,
        workers=list(node.workers) if node else [],
        queues=list(node.queues) if node else [],
        labels=node.labels if node else {},
        running=[running_seen(job, shown_name(job.name)) for job in one.running],
        last_ended_at=one.ended_at,
        drain="" if one.drain is None else "draining" if one.running else "drained",
        drain_reason="" if one.drain is None else one.drain.words(),
        is_going=node is not None and node.going is not None,
    )
