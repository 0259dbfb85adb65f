"""The controller's loops in an actor, as in the server, over the odd jobs and with shorter times.

`python -m tests.ray.ray_controller` starts it in the stack whose environment it was given, and ends.
"""

import os
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import ray

from cluster.clock import SystemClock
from cluster.db.changes import Changes
from cluster.db.engine import Database
from cluster.db.queries import notes
from cluster.db.queue_store import SqlQueueStore
from cluster.draining import PATIENCE_S, Drain, drain_to_json, drains_from_json
from cluster.launch import controller_actor, controller_name
from cluster.loops import dispatcher, in_flight, keeper
from cluster.loops.controller import Controller, Surroundings
from cluster.loops.dispatcher import Identity
from cluster.loops.in_flight import Beat
from cluster.queue.job import FollowUps, Place
from cluster.ray_join import join
from cluster.ray_nodes import RayNodes
from cluster.settings import read_settings
from cluster.storage.layout import StorageLayout
from cluster.vectors.exact import ExactVectors
from tasks import ray_models
from tasks.binding import BoundJob, Contexts
from tasks.ray_models import RayModels
from tasks.ray_runner import RayRunner
from tests.ray.odd_jobs import OddModelActor, odd_jobs, run_call

NAME = controller_name(0)

LEASE_S, SILENCE_S, KEEP_EVERY_S = 3.0, 2.0, 0.5
"""Thirty, twenty and four seconds in the server: a test cannot wait that long."""


class OddController:
    """See `ControllerActor`."""

    def __init__(self) -> None:
        dispatcher.LEASE_S = keeper.LEASE_S = LEASE_S  # type: ignore[attr-defined]
        in_flight.SILENCE_S = SILENCE_S
        keeper.EVERY_S = KEEP_EVERY_S
        settings = read_settings(os.environ)
        database = Database(settings.database_url)
        store = SqlQueueStore(database)
        contexts = Contexts(
            store, settings, StorageLayout(settings.media_root), lambda tx: None, SystemClock(), ExactVectors()
        )  # type: ignore[arg-type, return-value]
        nodes = RayNodes(drained=lambda: drained_nodes(database))
        ray_models.TROUBLE_S = 2.0
        runner = RayRunner(nodes, run_call, RayModels(nodes, OddModelActor))
        self._controller = Controller(
            store,
            {name: BoundJob(job, contexts) for name, job in odd_jobs().items()},
            lambda lease, outcome, facts: FollowUps(),
            {Place.CLUSTER: runner, Place.ROW_JOBS: runner},
            Identity(NAME, uuid.uuid4().hex),
            Surroundings(
                clock=SystemClock(),
                concurrency=lambda queue: 2,
                cpus=nodes.cpus,
                media_present=lambda: True,
                rows_changed=Changes(database).wait,
                sweep_files=lambda: 0,
                prune_actions=lambda before, limit: 0,
                watch_libraries=lambda ours: 60.0,
                schedule=lambda: 60.0,
                held_back=runner.models.trouble,
                drained=nodes.drained,
                why_nobody=nodes.why_nobody,
                bench=lambda node, why: bench(database, node, why),
            ),
        )
        runner.models.heard = self._controller.beat
        self._controller.start()

    def beat(self, beats: Iterable[Beat]) -> set[str]:
        return self._controller.beat(beats)

    def ready(self) -> bool:
        return True


def drained_nodes(database: Database) -> Mapping[str, Drain]:
    with database.reader() as session:
        return drains_from_json(notes.read(session, notes.DRAINED) or {}, SystemClock().now())


def bench(database: Database, node: str, why: str) -> None:
    now = SystemClock().now()
    with database.session() as session:
        notes.write(session, notes.DRAINED, {node: drain_to_json(Drain(why, at=now), PATIENCE_S)})


def main() -> None:
    join(read_settings(os.environ))
    options = {
        "name": controller_actor(NAME),
        "lifetime": "detached",
        "num_cpus": 0,
        "max_concurrency": 8,
        "max_restarts": -1,
    }
    actor: Any = ray.remote(OddController).options(**options).remote()
    ray.get(actor.ready.remote(), timeout=60)


if __name__ == "__main__":
    main()
