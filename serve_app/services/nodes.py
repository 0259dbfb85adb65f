"""The nodes, and what each runs now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cluster.db.queries import job_details
from cluster.db.queries.job_details import RunningJob
from serve_app.cluster_nodes import ClusterNode
from serve_app.deps import Services


@dataclass(frozen=True, slots=True)
class WorkingNode:
    """A node with the jobs that its workers were heard of last with. `node` None: it is gone, or its name is not one of
    the cluster's, and something was still heard of it. `ended_at`: when a job ended on it last."""

    name: str
    node: ClusterNode | None
    running: Sequence[RunningJob]
    ended_at: datetime | None


def list_nodes(services: Services) -> list[WorkingNode]:
    """Every live node, then others on which something runs, each in the order of their names."""
    live = {node.name: node for node in services.nodes.live()}
    with services.database.reader() as session:
        by_node = job_details.running_by_node(session)
        ended = job_details.last_ends(session)
    others = sorted(by_node.keys() - live.keys())
    return [
        WorkingNode(name, live.get(name), by_node.get(name, ()), ended.get(name)) for name in (*sorted(live), *others)
    ]
