"""The controllers as detached actors, and the row_jobs actor that each starts.

`python -m serve_app.ray_controller` is the driver that owns them. It stays as long as the stack: to Ray all work is
its, and Ray ends the idle workers of a driver that is gone, so that each photo after a pause would wait two seconds
for new ones. It is a process of its own, since it loads little beside Ray.
"""

import logging
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ray

from cluster.errors import SettingsInvalid
from cluster.launch import NAMESPACE, controller_actor, controller_name
from cluster.names import WorkerName
from cluster.ray_join import join
from cluster.settings import read_settings
from cluster.workers import worker_label
from serve_app.drivers import READY, STOP, TOLD

if TYPE_CHECKING:
    from cluster.loops.in_flight import Beat
    from cluster.loops.submitter import Call, CallReturned
    from cluster.scaling import Fleet

log = logging.getLogger(__name__)

UNTIL_READY_S = 60
BEATS_AT_ONCE = 8


class RowJobsActor:
    """Runs jobs that need the database. Opens it, so it lives on an api node."""

    def __init__(self) -> None:
        from cluster.ray_nodes import own_name
        from cluster.telemetry import configure_logging
        from cluster.vectors.indexed import IndexedVectors
        from cluster.vectors.ray_vectors import RayHolder
        from serve_app.bootstrap import build_row_runner, build_services
        from tasks.ray_worker import beating

        settings = read_settings(os.environ)
        configure_logging(settings, "Microservices")
        self._runner = build_row_runner(build_services(settings, IndexedVectors(RayHolder())), beating, own_name())

    def run(self, call: "Call") -> "CallReturned":
        return self._runner.run(call)


class ControllerActor:
    """Runs the loops. Ray restarts it for ever; a restarted one releases what its predecessor had leased."""

    def __init__(self, name: str, fleet: "Fleet | None" = None) -> None:
        from cluster.loops.submitter import Submitter
        from cluster.queue.job import Place
        from cluster.ray_metrics import RayMetrics
        from cluster.ray_nodes import RayNodes
        from cluster.telemetry import configure_logging
        from cluster.vectors.indexed import IndexedVectors
        from cluster.vectors.ray_vectors import RayHolder
        from serve_app.bootstrap import Scaling, build_controller, build_services, drained_nodes
        from serve_app.ray_row_jobs import RayRowJobs
        from tasks.ray_runner import RayRunner

        settings = read_settings(os.environ)
        configure_logging(settings, "Microservices")
        services = build_services(settings, IndexedVectors(RayHolder()))
        nodes = RayNodes(drained=lambda: drained_nodes(services))
        runner = RayRunner(nodes)
        submitters: dict[Place, Submitter] = {
            Place.CLUSTER: runner,
            Place.ROW_JOBS: RayRowJobs(nodes, RowJobsActor, name),
        }
        trouble = runner.models.trouble
        scaling = None
        if fleet is not None:
            from cluster.ray_autoscaler import ask

            scaling = Scaling(fleet, ask)
        self._controller = build_controller(
            services, submitters, nodes, trouble, RayMetrics(), name, restart_controller, scaling
        )
        runner.models.heard, runner.models.owned = self._controller.beat, self._controller.owned
        self._controller.start()

    def beat(self, beats: "Iterable[Beat]") -> set[str]:
        """A worker's word on its calls; the answer names those it must drop."""
        return self._controller.beat(beats)

    def stop(self, patience_s: float) -> None:
        """Lease no more, wait so long for what is out, give the rest back."""
        self._controller.stop(patience_s)

    def ready(self) -> bool:
        """True: the loops run."""
        return True


def restart_controller(name: str) -> None:
    """End the process of the controller of this name, if there is one; Ray starts another. A frozen one holds the
    workers that Ray gave it, and Ray takes it for alive."""
    try:
        ray.kill(ray.get_actor(controller_actor(name), NAMESPACE), no_restart=False)
    except Exception as error:  # it has gone, or Ray cannot be asked now: its queues are served in any case
        log.info("%s could not be started anew: %s", name, error)


def start_controllers() -> None:
    """Returns when the loops of all run."""
    settings = read_settings(os.environ)
    join(settings)
    fleet = None
    if settings.autoscaling_config is not None:  # the file lies on this machine; a controller may run on another
        from cluster.ray_autoscaler import read_fleet

        fleet = read_fleet(settings.autoscaling_config)
    controllers = [start_controller(controller_name(number), fleet) for number in range(settings.controllers)]
    ray.get([controller.ready.remote() for controller in controllers], timeout=UNTIL_READY_S)


def stop_controllers() -> None:
    """Have all lease no more; returns when what ran has ended or was given back, and is settled."""
    settings = read_settings(os.environ)
    names = [controller_actor(controller_name(number)) for number in range(settings.controllers)]
    ray.get([ray.get_actor(name, NAMESPACE).stop.remote(settings.stop_s) for name in names])


def start_controller(name: str, fleet: "Fleet | None" = None) -> Any:
    """The actor of the controller of this name, which may have been there. Several are spread over the api nodes.
    `fleet`: the machines that it may have Ray start."""
    return (
        ray.remote(ControllerActor)
        .options(
            name=controller_actor(name),
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=BEATS_AT_ONCE,
            label_selector={worker_label(WorkerName.API): "true"},
            scheduling_strategy="SPREAD",
        )
        .remote(name, fleet)
    )


if __name__ == "__main__":
    if sys.stdin.readline():  # Ray runs now; an empty line is a supervisor that gave up
        # by its module's name: as a part of __main__ the actor would be copied by value and know nothing of its module
        from serve_app import ray_controller

        try:
            ray_controller.start_controllers()
        except SettingsInvalid as error:
            print(error)
            sys.exit(TOLD)
        print(READY, flush=True)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):  # nobody reads them from here on, and a full pipe would stop this process
            os.dup2(nowhere, stream)
        if sys.stdin.readline().strip() == STOP:  # an empty line is a supervisor that has died
            ray_controller.stop_controllers()
