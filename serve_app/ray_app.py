"""What runs inside Ray: the API as a Serve application, the controller as a detached actor, the row_jobs actor.

`python -m serve_app.ray_app` is the driver that the foreground command starts: it deploys both and ends. A process that
has joined Ray dies with Ray's head, so the command itself never joins.
"""

import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

import ray
from ray import serve

from cluster.clock import SystemClock
from cluster.errors import HeliostatError
from cluster.launch import head_address
from cluster.loops.in_flight import Beat
from cluster.loops.submitter import Call, CallReturned, Submitter
from cluster.names import WorkerName
from cluster.queue.job import Place
from cluster.ray_nodes import RayNodes
from cluster.settings import RayPort, read_settings
from cluster.storage.mounts import check_folders
from cluster.telemetry import configure_logging
from cluster.workers import worker_label
from serve_app.ray_row_jobs import RayRowJobs
from serve_app.up import TOLD
from tasks.ray_runner import RayRunner
from tasks.ray_worker import CONTROLLER_ACTOR, NAMESPACE, beating

log = logging.getLogger(__name__)

ON_API_NODES = {worker_label(WorkerName.API): "true"}
UNTIL_READY_S = 60
BEATS_AT_ONCE = 8


class RowJobsActor:
    """Runs jobs that need the database. Opens it, so it lives on an api node."""

    def __init__(self) -> None:
        from serve_app.bootstrap import build_row_runner, build_services

        settings = read_settings(os.environ)
        configure_logging(settings, "Microservices")
        self._runner = build_row_runner(build_services(settings), beating)

    def run(self, call: Call) -> CallReturned:
        return self._runner.run(call)


class ControllerActor:
    """Runs the loops. Ray restarts it for ever; a restarted one releases what its predecessor had leased."""

    def __init__(self) -> None:
        from serve_app.bootstrap import build_controller, build_services

        settings = read_settings(os.environ)
        configure_logging(settings, "Microservices")
        nodes = RayNodes()
        submitters: dict[Place, Submitter] = {
            Place.CLUSTER: RayRunner(nodes),
            Place.ROW_JOBS: RayRowJobs(nodes, RowJobsActor),
        }
        self._controller = build_controller(build_services(settings), submitters, nodes)
        self._controller.start()

    def beat(self, beats: Iterable[Beat]) -> set[str]:
        """A worker's word on its calls; the answer names those it must drop."""
        return self._controller.beat(beats)

    def ready(self) -> bool:
        """True: the loops run."""
        return True


def build_api() -> Any:
    """The ASGI app, made in the replica's process."""
    from serve_app.app import create_app
    from serve_app.bootstrap import build_services

    settings = read_settings(os.environ)
    configure_logging(settings, "Api")
    return create_app(build_services(settings))


def deploy() -> None:
    """Start the API and, where this node has other workers too, the controller. Returns when both answer."""
    settings = read_settings(os.environ)
    ray.init(address=head_address(settings), namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    controller: Any = (
        ray.remote(ControllerActor)
        .options(
            name=CONTROLLER_ACTOR,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=BEATS_AT_ONCE,
            label_selector=ON_API_NODES,
        )
        .remote()
    )
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": settings.host, "port": settings.port, "request_timeout_s": None},
        grpc_options={"port": settings.ray_port(RayPort.GRPC), "grpc_servicer_functions": []},
    )
    deployment: Any = serve.deployment(
        serve.ingress(build_api)(),
        name="api",
        num_replicas=1,
        max_ongoing_requests=1000,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 0, "label_selector": ON_API_NODES},
    )
    serve.run(deployment.bind(), name="immich", route_prefix="/", blocking=False)
    ray.get(controller.ready.remote(), timeout=UNTIL_READY_S)


def prepare() -> None:
    """Bring the database to this version, and check the media folders. Raises SettingsInvalid."""
    from cluster.db.engine import Database
    from cluster.db.migrations import migrate
    from cluster.db.queries import system_flags

    settings = read_settings(os.environ)
    database = Database(settings.database_url)
    if not settings.skip_migrations:
        migrate(database.durable)
    with database.session(durable=True) as session:
        known = system_flags.known_mounts(session)
        created = check_folders(settings.media_root, known, settings.ignore_mount_check_errors, SystemClock().now())
        system_flags.remember_mounts(session, created)
    database.close()


if __name__ == "__main__":
    try:
        prepare()
    except HeliostatError as error:
        print(error)
        sys.exit(TOLD)
    if sys.stdin.readline():  # Ray runs now; an empty line is a supervisor that gave up
        deploy()
