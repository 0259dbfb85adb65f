"""The one place that wires everything: settings → database, store, layout → services for the API, loops for Ray."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cluster.clock import SystemClock
from cluster.db.changes import Changes
from cluster.db.engine import Database
from cluster.db.queries import admin_actions, notes, queue_activity, readings
from cluster.db.queries import assets as asset_queries
from cluster.db.queries import libraries as library_queries
from cluster.db.queries import system as system_queries
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.base import to_ms
from cluster.draining import Drain
from cluster.loops.controller import Controller, Surroundings
from cluster.loops.dispatcher import Identity
from cluster.loops.library_watcher import STABLE_S, LibraryChanges, LibraryWatcher, WatchedLibrary
from cluster.loops.scaler import Scaler
from cluster.loops.scheduler import Scheduler
from cluster.loops.settler import Settler
from cluster.loops.submitter import Submitter
from cluster.metrics import Metrics
from cluster.names import JobName, QueueName
from cluster.notices import tell_admins
from cluster.queue.job import Handler, NewJob, Place
from cluster.queue.statistics import Mark, Readings
from cluster.queue.store import Transaction
from cluster.quiet_hours import QuietHours, parse_quiet_hours
from cluster.ray_nodes import RayNodes
from cluster.scaling import Bundle, Fleet
from cluster.settings import Settings
from cluster.storage.incoming import cleanup_incoming
from cluster.storage.layout import StorageLayout
from cluster.storage.mounts import marker_present
from cluster.storage.sweep import OLD, sweep_strays
from cluster.system_config import SystemConfig, concurrency_of
from cluster.telemetry import follow_config
from cluster.vectors.exact import ExactVectors
from cluster.vectors.index import Vectors
from serve_app.deps import Services
from serve_app.services.held_queues import HeldQueues
from serve_app.services.nodes import bench, read_drains
from tasks import registry
from tasks.binding import Contexts, bind
from tasks.libraries import MEDIA_EXTENSIONS, import_jobs, remove_jobs, scan_jobs
from tasks.missing_weights import MissingWeights
from tasks.pipeline import follow, follow_failure
from tasks.row_runner import Beats, RowRunner
from tasks.timetable import timetable

QUIET_HOURS_TTL_S = 5.0


def build_services(settings: Settings, vectors: Vectors | None = None) -> Services:
    """What the API needs. Opens the database. `vectors`: without Ray the rows themselves are read."""
    database = Database(settings.database_url)
    return Services(
        settings=settings,
        database=database,
        store=SqlQueueStore(database),
        layout=StorageLayout(settings.media_root),
        clock=SystemClock(),
        vectors=vectors or ExactVectors(),
    )


def build_handlers(services: Services) -> dict[JobName, Handler]:
    """Every job, bound to what this server is set to. Raises RegistryWrong for a name with no job or two."""
    registry.check_registry()
    read_config = LiveConfig(services).read
    contexts = Contexts(
        services.store, services.settings, services.layout, read_config, services.clock, services.vectors
    )
    return bind(registry.JOBS, contexts)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The machines that can be started, and how Ray's autoscaler is asked for them."""

    fleet: Fleet
    ask: Callable[[Sequence[Bundle]], None]


def build_controller(
    services: Services,
    submitters: Mapping[Place, Submitter],
    nodes: RayNodes,
    pool_trouble: Callable[[QueueName], str],
    metrics: Metrics,
    name: str,
    restart_controller: Callable[[str], None],
    scaling: Scaling | None = None,
) -> Controller:
    """The loops of one controller, not started. `pool_trouble`: why a queue's models could not be loaded; `name`: under
    which it leases; `scaling`: where Ray's autoscaler runs."""
    settings = services.settings
    changes = Changes(services.database)
    config = LiveConfig(services)
    quiet = LiveQuietHours(services)
    missing = MissingWeights(registry.JOBS, settings.model_folder, config.current)
    store = SqlQueueStore(services.database)

    def read(mark: Mark | None) -> Readings:
        with services.database.reader() as session:
            return readings.read(session, store, mark)

    def held_back(queue: QueueName) -> str:
        return quiet.reason(queue) or missing.reason(queue) or pool_trouble(queue)

    def usual_s(session: Transaction, queue: QueueName) -> float:
        return queue_activity.usual_s(session, queue, to_ms(services.clock.now()))

    handlers = build_handlers(services)
    scaler = None
    if scaling is not None:
        fleet = scaling.fleet

        def idle() -> Mapping[str, int]:
            return fleet.counted((node.labels, node.cpus, node.gpus) for node in nodes.drained_by_hand())

        scaler = Scaler(
            store, handlers, fleet, config.concurrency, held_back, nodes.serving, usual_s, scaling.ask, idle
        )

    return Controller(
        services.store,
        handlers,
        follow,
        submitters,
        Identity(name, uuid.uuid4().hex),
        Surroundings(
            clock=services.clock,
            concurrency=config.concurrency,
            cpus=nodes.cpus,
            batch=nodes.batch,
            media_present=lambda: marker_present(settings.media_root, settings.ignore_mount_check_errors),
            rows_changed=changes.wait,
            sweep_files=lambda: sweep_files(services),
            prune_actions=lambda before, limit: prune_actions(services, before, limit),
            watch_libraries=build_library_watcher(services, config).tick,
            schedule=Scheduler(services.store, services.clock, timetable(settings), config.read, notes).tick,
            held_back=held_back,
            drained=nodes.drained,
            left_out=nodes.left_out,
            why_nobody=nodes.why_nobody,
            bench=lambda node, why: bench(services, node, why),
            restart_controller=restart_controller,
            tell_of_held=HeldQueues(services, quiet.reason).tick,
            readings=read,
            metrics=metrics,
            scale=None if scaler is None else scaler.tick,
            starting=lambda queue: "" if scaler is None else held_back(queue) or scaler.starting(queue),
        ),
        on_failed=follow_failure,
        tell_admins=lambda tx, found: tell_admins(services.store, tx, found, services.clock.now()),
    )


def build_library_watcher(services: Services, config: "LiveConfig", stable_s: float = STABLE_S) -> LibraryWatcher:
    """Watches the libraries, while the config says so, and enqueues what their jobs are to look at."""

    def watched() -> Sequence[WatchedLibrary]:
        with services.database.reader() as session:
            if not config.read(session).library.watch.enabled:
                return ()
            return [
                WatchedLibrary(found.id, tuple(found.import_paths), tuple(found.exclusion_patterns))
                for found in library_queries.libraries(session)
            ]

    def report(changes: Sequence[LibraryChanges]) -> None:
        with services.database.session() as session:
            services.store.enqueue(session, [job for one in changes for job in jobs_for(one)])

    return LibraryWatcher(watched, report, MEDIA_EXTENSIONS, services.settings.media_root, stable_s=stable_s)


def jobs_for(changes: LibraryChanges) -> list[NewJob]:
    """What the watcher's word on one library leads to."""
    library_id = changes.library_id
    jobs = import_jobs(library_id, changes.present) + remove_jobs(library_id, changes.gone)
    return jobs + (scan_jobs(library_id) if changes.scan else [])


def sweep_files(services: Services) -> int:
    """Delete what attempts and uploads that died have left; returns how many files. Whatever is younger than a day may
    still be written to."""

    def in_use(path: Path) -> bool:
        with services.database.reader() as session:
            return asset_queries.path_in_use(session, str(path))

    now = services.clock.now()
    return sweep_strays(services.layout, now) + cleanup_incoming(services.layout, now - OLD, in_use)


def prune_actions(services: Services, before: datetime, limit: int) -> int:
    """Delete what admins did before a time, the oldest first; returns how many lines."""
    with services.database.session() as session:
        return admin_actions.prune(session, before, limit)


def build_row_runner(services: Services, beats: Beats, node: str) -> RowRunner:
    """What the row_jobs actor holds, on the node of this name."""
    handlers = build_handlers(services)
    settler = Settler(
        services.store,
        handlers,
        follow,
        on_failed=follow_failure,
        tell_admins=lambda tx, found: tell_admins(services.store, tx, found, services.clock.now()),
    )
    return RowRunner(services.store, settler, handlers, services.settings.database_url, beats, node)


def drained_nodes(services: Services) -> Mapping[str, Drain]:
    """Name → why, of the nodes that admins have drained."""
    with services.database.reader() as session:
        return read_drains(services, session)


class LiveQuietHours:
    """In which hours of the day which queues start nothing, as admins set them; at most a few seconds old."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._windows: dict[str, QuietHours] = {}
        self._read_at: datetime | None = None

    def reason(self, queue: QueueName) -> str:
        """Why the queue waits now, empty when it need not."""
        now = self._services.clock.now()
        if self._read_at is None or abs((now - self._read_at).total_seconds()) > QUIET_HOURS_TTL_S:
            with self._services.database.reader() as session:
                found = notes.read(session, notes.QUIET_HOURS) or {}
            self._windows = {name: parse_quiet_hours(text) for name, text in found.items()}
            self._read_at = now
        window = self._windows.get(queue)
        return window.reason(now.astimezone()) if window is not None else ""


class LiveConfig:
    """The system config as the admin set it, and what it says of each queue's concurrency."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._config: SystemConfig | None = None
        self._read_at: datetime | None = None

    def read(self, tx: Transaction) -> SystemConfig:
        """The config in force in this transaction; this process logs from now on as it says."""
        config = system_queries.read_config(tx, self._services.settings)
        follow_config(self._services.settings, config.logging.enabled, config.logging.level)
        return config

    def concurrency(self, queue: QueueName) -> int:
        return concurrency_of(self.current(), queue)

    def current(self) -> SystemConfig:
        """The config in force, at most a second old."""
        now = self._services.clock.now()
        if self._config is None or self._read_at is None or abs((now - self._read_at).total_seconds()) > 1:
            with self._services.database.reader() as session:
                self._config = self.read(session)
            self._read_at = now
        return self._config
