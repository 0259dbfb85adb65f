"""A whole server without HTTP and without Ray: a migrated database, marked media folders, the loops, the inline runner.

Unlike `inline_stack` it knows its settings, so that a backup, a restore and the API work on the same database.
"""

import contextlib
import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queries import system as system_queries
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.job import Event, JobStatistic
from cluster.db.tables.user import User
from cluster.loops.dispatcher import Dispatcher, Identity
from cluster.loops.in_flight import InFlight
from cluster.loops.settler import Settler
from cluster.names import JobName, QueueName
from cluster.notices import tell_admins
from cluster.queue.job import NewJob, Place
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord
from cluster.settings import read_settings
from cluster.storage.layout import Folder, StorageLayout
from cluster.storage.mounts import check_folders
from cluster.system_config import SystemConfig, merge
from cluster.vectors.exact import ExactVectors
from serve_app.deps import Services
from tasks.binding import CONFIG_TTL_S, Contexts, bind
from tasks.inline_runner import InlineRunner
from tasks.pipeline import after_upload, follow, follow_failure
from tasks.registry import JOBS
from tasks.row_runner import RowRunner
from tests.inline_stack import Clock, InlineRows


@dataclass
class InlineServer:
    """`config`: what an admin has saved, in wire spelling; see `configure`."""

    services: Services
    clock: Clock
    owner: str
    dispatcher: Dispatcher
    settler: Settler
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def media(self) -> Path:
        return self.services.layout.media_root

    @property
    def database(self) -> Database:
        return self.services.database

    def configure(self, **sections: Any) -> None:
        """What an admin saves; known to every job from now on."""
        self.config.clear()
        self.config.update(sections)
        self.clock.sleep(CONFIG_TTL_S)

    def add_asset(self, name: str, content: bytes, *, chain: bool = False, **columns: Any) -> str:
        """Rows and a file as an accepted upload leaves them; `chain`: with its first job. Returns the asset's id."""
        asset_id, now = columns.pop("id", None) or str(uuid.uuid4()), self.clock.now()
        path = self.services.layout.upload_path(self.owner, uuid.uuid4(), Path(name).suffix.lower())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        row: dict[str, Any] = {
            "id": asset_id,
            "owner_id": self.owner,
            "type": "IMAGE",
            "original_path": str(path),
            "original_file_name": name,
            "checksum": hashlib.sha1(content, usedforsecurity=False).digest(),
            "file_created_at": now,
            "file_modified_at": now,
            "local_date_time": now,
            "created_at": now,
            "updated_at": now,
        }
        with self.database.session() as session:
            session.add(Asset(**row | columns))
            session.flush()
            session.add(AssetExif(asset_id=asset_id, file_size_bytes=len(content), updated_at=now))
            if chain:
                self.services.store.enqueue(session, [after_upload(asset_id)])
        return asset_id

    def enqueue(self, *jobs: NewJob) -> int:
        with self.services.store.transaction() as tx:
            return self.services.store.enqueue(tx, jobs)

    def drain(self, timeout_s: float = 60) -> None:
        """Run until nothing waits and nothing runs."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            self.dispatcher.tick()
            self.settler.tick()
            with self.services.store.transaction(reading=True) as tx:
                counts = self.services.store.counts(tx).values()
            if not any(count.waiting + count.active + count.delayed for count in counts):
                return
        raise AssertionError(f"not done after {timeout_s} s: {self.jobs()}")

    def jobs(self, *states: JobState) -> list[JobRecord]:
        """Jobs of every queue in these states, or in all."""
        with self.services.store.transaction(reading=True) as tx:
            store, wanted = self.services.store, states or tuple(JobState)
            return [one for queue in QueueName for one in store.jobs(tx, queue, wanted, limit=5000)]

    def ended(self) -> Mapping[str, int]:
        """How many jobs of each name have ended since the start."""
        total = func.sum(JobStatistic.done + JobStatistic.skipped + JobStatistic.failed)
        with self.database.reader() as session:
            rows = session.execute(select(JobStatistic.name, total).group_by(JobStatistic.name))
            return {name: int(count) for name, count in rows}

    def ended_since(self, before: Mapping[str, int]) -> dict[JobName, int]:
        """What has ended since `ended` said `before`."""
        now = self.ended()
        return {JobName(name): now[name] - before.get(name, 0) for name in now if now[name] != before.get(name, 0)}

    def files(self, asset_id: str) -> dict[str, Path]:
        with self.database.reader() as session:
            rows = session.scalars(select(AssetFile).where(AssetFile.asset_id == asset_id))
            return {row.type: Path(row.path) for row in rows}

    def events(self) -> list[tuple[str, Any]]:
        with self.database.reader() as session:
            return [(event.type, event.data) for event in session.scalars(select(Event).order_by(Event.id))]

    def backups(self) -> list[Path]:
        """Everything in the folder of backups but its marker."""
        return sorted(path for path in self.services.layout.folder(Folder.BACKUPS).iterdir() if path.name[0] != ".")


@contextlib.contextmanager
def inline_server(database_url: str, media_root: Path) -> Iterator[InlineServer]:
    """A fresh one, or one more on what an earlier one left; without machine learning, which takes more time than all
    else."""
    own = {"IMMICH_MEDIA_LOCATION": str(media_root), "HOME": str(media_root.parent)}
    settings = read_settings({"DB_URL": database_url, "IMMICH_MACHINE_LEARNING_ENABLED": "false", **own})
    database, layout, clock = Database(settings.database_url), StorageLayout(media_root), Clock()
    migrate(database.durable)
    check_folders(media_root, {}, False, clock.now())
    services = Services(settings, database, SqlQueueStore(database), layout, clock, ExactVectors())
    owner, config = _owner(database), dict[str, Any]()

    def read_config(session: Any) -> SystemConfig:
        return merge(system_queries.read_config(session, settings), config)

    handlers = bind(JOBS, Contexts(services.store, settings, layout, read_config, clock, services.vectors))
    runner = InlineRunner()
    settler = Settler(
        services.store,
        handlers,
        follow,
        on_failed=follow_failure,
        tell_admins=lambda tx, notices: tell_admins(services.store, tx, notices, clock.now()),
    )
    rows = RowRunner(services.store, settler, handlers, settings.database_url)
    dispatcher = Dispatcher(
        services.store,
        handlers,
        {Place.CLUSTER: runner, Place.ROW_JOBS: InlineRows(rows)},
        settler,
        InFlight(),
        Identity("test", "1"),
        owned=lambda: set(QueueName),
        concurrency=lambda queue: 2,
        cpus=lambda: 2.0,
        media_present=lambda: True,
    )
    try:
        yield InlineServer(services, clock, owner, dispatcher, settler, config)
    finally:
        runner.close()
        database.close()


def _owner(database: Database) -> str:
    with database.session() as session:
        known = session.scalar(select(User.id).limit(1))
        if known is not None:
            return known
        now, user_id = datetime.now(UTC), str(uuid.uuid4())
        times = {"profile_changed_at": now, "created_at": now, "updated_at": now}
        session.add(User(id=user_id, email="ada@example.org", is_admin=True, **times))
        return user_id
