"""The nodes, what each runs now, and which of them admins have drained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from cluster.db.queries import job_details, notes
from cluster.db.queries.job_details import RunningJob
from cluster.draining import BENCH_S, PATIENCE_S, Drain, drain_to_json, drains_from_json
from cluster.errors import NotFound
from serve_app.cluster_nodes import ClusterNode
from serve_app.deps import Caller, Services
from serve_app.services import audit


@dataclass(frozen=True, slots=True)
class WorkingNode:
    """A node with the jobs that its workers were heard of last with. `node` None: it is gone, or its name is not one of
    the cluster's, and something was still heard of it. `ended_at`: when a job ended on it last. `drain`: why it gets
    nothing new."""

    name: str
    node: ClusterNode | None
    running: Sequence[RunningJob]
    ended_at: datetime | None
    drain: Drain | None


def list_nodes(services: Services) -> list[WorkingNode]:
    """Every live node, then others on which something runs, each in the order of their names.

    Jobs and drains know nodes by name alone: where two machines share one, each has its line, with what is known of
    both.
    """
    live = services.nodes.live()
    names = {node.name for node in live}
    with services.database.reader() as session:
        by_node = job_details.running_by_node(session)
        ended = job_details.last_ends(session)
        drained = read_drains(services, session)

    def seen(name: str, node: ClusterNode | None) -> WorkingNode:
        drain = (node.going if node is not None else None) or drained.get(name)
        return WorkingNode(name, node, by_node.get(name, ()), ended.get(name), drain)

    others = sorted(by_node.keys() - names)
    return [seen(node.name, node) for node in live] + [seen(name, None) for name in others]


def read_drains(services: Services, session: Session) -> Mapping[str, Drain]:
    """Name → why, of the nodes that are drained or benched, whether they live or not."""
    return drains_from_json(notes.read(session, notes.DRAINED) or {}, services.clock.now())


def drain(services: Services, name: str, by: Caller, reason: str = "", patience_s: int = PATIENCE_S) -> None:
    """Give the node nothing new, over restarts, until somebody lets it work again; known to the controller within
    seconds. What still runs after `patience_s` is given back. Raises NotFound for a node that does not live."""
    names = [node.name for node in services.nodes.live()]
    if name not in names:
        raise NotFound(f"No live node is called {name}: there are {', '.join(names) or 'none'}")
    with services.database.session(durable=True) as session:
        wanted = Drain(reason, None, audit.name_of(session, by), services.clock.now())
        found = notes.read_locked(session, notes.DRAINED)
        notes.write(session, notes.DRAINED, {**found, name: drain_to_json(wanted, patience_s)})
        audit.note(session, services, by, "drain", name, reason)


def bench(services: Services, name: str, why: str) -> None:
    """Drain a node that fails so much, for a while; an admin's own word on it stays."""
    now = services.clock.now()
    with services.database.session(durable=True) as session:
        found = notes.read_locked(session, notes.DRAINED)
        if name not in drains_from_json(found, now):
            benched = Drain(f"benched: {why}", at=now, until=now + timedelta(seconds=BENCH_S))
            notes.write(session, notes.DRAINED, {**found, name: drain_to_json(benched, PATIENCE_S)})


def let_work_again(services: Services, name: str, by: Caller) -> None:
    """Undo `drain`. Raises NotFound for a node that is not drained."""
    with services.database.session(durable=True) as session:
        found = notes.read_locked(session, notes.DRAINED)
        if name not in found:
            raise NotFound(f"No node called {name} is drained: there are {', '.join(found) or 'none'}")
        del found[name]
        notes.write(session, notes.DRAINED, found)
        audit.note(session, services, by, "undrain", name)
