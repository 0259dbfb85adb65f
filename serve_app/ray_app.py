"""The API as a Serve application.

`python -m serve_app.ray_app` is the driver that the foreground command starts: it prepares database and media folders
while Ray starts, then deploys the API, and ends.
"""

import os
import sys
from dataclasses import replace
from typing import Any

import ray
from ray import serve

from cluster.clock import SystemClock
from cluster.errors import HeliostatError
from cluster.joining import facts_here
from cluster.ray_join import join, publish
from cluster.settings import RayPort, read_settings
from cluster.storage.mounts import check_folders
from cluster.telemetry import configure_logging
from cluster.workers import NODE_ID
from serve_app.drivers import PREPARED, TOLD
from serve_app.ray_cluster_nodes import RayClusterNodes
from serve_app.ray_text_points import RayTexts, run_text_encoder
from serve_app.text_points import RememberedTexts


def build_api() -> Any:
    """The ASGI app, made in the replica's process."""
    from cluster.ray_metrics import RayMetrics
    from cluster.vectors.indexed import IndexedVectors
    from cluster.vectors.ray_vectors import RayHolder
    from serve_app.app import create_app
    from serve_app.bootstrap import build_services

    settings = read_settings(os.environ)
    configure_logging(settings, "Api")
    services = build_services(settings, IndexedVectors(RayHolder()))
    return create_app(
        replace(services, texts=RememberedTexts(RayTexts()), metrics=RayMetrics(), nodes=RayClusterNodes())
    )


def deploy() -> None:
    """Start the API. Returns when it answers."""
    from cluster.db.identity import identity_of

    settings = read_settings(os.environ)
    join(settings)
    publish(facts_here(settings, identity_of(settings)))
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": settings.host, "port": settings.port, "request_timeout_s": None},
        grpc_options={"port": settings.ray_port(RayPort.GRPC), "grpc_servicer_functions": []},
    )
    # a further api machine has an API of its own, and this machine's address must not hang on that one
    here = {NODE_ID: ray.get_runtime_context().get_node_id()}
    deployment: Any = serve.deployment(
        serve.ingress(build_api)(),
        name="api",
        num_replicas=1,
        max_ongoing_requests=1000,
        graceful_shutdown_timeout_s=5,
        ray_actor_options={"num_cpus": 0, "label_selector": here},
    )
    serve.run(deployment.bind(), name="immich", route_prefix="/", blocking=False)
    run_text_encoder()


def prepare() -> None:
    """Bring the database to this version, and check the media folders. Raises SettingsInvalid."""
    from cluster.db.engine import Database
    from cluster.db.identity import renew_identity
    from cluster.db.migrations import migrate
    from cluster.db.queries import system, system_flags
    from cluster.db.queue_store import SqlQueueStore
    from serve_app.services.clip_model import let_go_of_others
    from serve_app.services.version_history import note_version

    settings = read_settings(os.environ)
    database = Database(settings.database_url)
    if not settings.skip_migrations:
        migrate(database.durable)
    with database.session(durable=True) as session:
        known = system_flags.known_mounts(session)
        created = check_folders(settings.media_root, known, settings.ignore_mount_check_errors, SystemClock().now())
        system_flags.remember_mounts(session, created)
        renew_identity(session)
        note_version(session, SystemClock().now())
        let_go_of_others(session, SqlQueueStore(database), system.read_config(session, settings))
    database.close()


if __name__ == "__main__":
    try:
        prepare()
    except HeliostatError as error:
        print(error)
        sys.exit(TOLD)
    print(PREPARED, flush=True)
    if sys.stdin.readline():  # Ray runs now; an empty line is a supervisor that gave up
        deploy()
