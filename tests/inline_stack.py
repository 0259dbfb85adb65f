"""A server without HTTP and without Ray: loops, store and programs are real, only the runner is the inline one."""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.base import from_ms
from cluster.db.tables.job import Event, Job
from cluster.db.tables.user import User
from cluster.loops.dispatcher import Dispatcher, Identity
from cluster.loops.in_flight import InFlight
from cluster.loops.settler import Settler
from cluster.loops.submitter import Call, CallEnd
from cluster.names import JobName, QueueName
from cluster.queue.job import Done, Fact, FollowUps, Lease, NewJob, Place, Skipped
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord
from cluster.settings import read_settings
from cluster.storage.layout import StorageLayout
from cluster.system_config import SystemConfig, defaults, merge
from cluster.vectors.exact import ExactVectors
from cluster.vectors.index import Vectors
from tasks.binding import CONFIG_TTL_S, Contexts, bind
from tasks.inline_runner import InlineRunner
from tasks.pipeline import after_upload, follow
from tasks.registry import JOBS
from tasks.row_runner import RowRunner
from tests.programs import program


@dataclass
class Clock:
    """The wall's time and what was added to it."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Stack:
    """A server without HTTP and without Ray: a database, a media folder, the loops and the inline runner."""

    database: Database
    store: SqlQueueStore
    media: Path
    clock: Clock
    stored_config: dict[str, Any]
    owner: str
    dispatcher: Dispatcher
    settler: Settler
    vectors: Vectors
    seen: list[tuple[JobName, str | None]] = field(default_factory=list)

    def upload(self, name: str, content: bytes | Path, *, link: bool = False, **columns: Any) -> str:
        """Rows and a file as an accepted upload leaves them, and the first job of the chain. Returns the asset's id.
        `link`: the file is a link to `content`, which is not copied."""
        asset_id, now = str(uuid.uuid4()), datetime.now(UTC)
        path = self.media / "upload" / self.owner / f"{uuid.uuid4()}{Path(name).suffix.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if link and isinstance(content, Path):
            path.symlink_to(content.absolute())
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        row = Asset(
            id=asset_id,
            owner_id=self.owner,
            type=columns.pop("type", "IMAGE"),
            original_path=str(path),
            original_file_name=name,
            checksum=hashlib.sha1(asset_id.encode()).digest(),
            file_created_at=now,
            file_modified_at=now,
            local_date_time=now,
            created_at=now,
            updated_at=now,
            **columns,
        )
        with self.database.session() as session:
            session.add(row)
            session.flush()
            session.add(AssetExif(asset_id=asset_id, file_size_bytes=path.stat().st_size, updated_at=now))
            self.store.enqueue(session, [after_upload(asset_id)])
        return asset_id

    def set_config(self, **sections: Any) -> None:
        """What an admin saves, in wire spelling; known to every job from now on."""
        self.stored_config.clear()
        self.stored_config.update(sections)
        self.clock.sleep(CONFIG_TTL_S)

    def enqueue(self, *jobs: NewJob) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, jobs)

    def drain(self, timeout_s: float = 60, *, leave_delayed: bool = False) -> None:
        """Run until nothing waits and nothing runs. A delayed job is an error, unless it is to be left: nothing in
        these tests may pass."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            self.dispatcher.tick()
            self.settler.tick()
            with self.store.transaction(reading=True) as tx:
                counts = self.store.counts(tx).values()
            if not any(count.waiting + count.active for count in counts) and leave_delayed:
                return
            if not any(count.waiting + count.active + count.delayed for count in counts):
                return
            assert leave_delayed or not any(count.delayed for count in counts), self.failed()
        raise AssertionError(f"not done after {timeout_s} s")

    def settle_one(self, timeout_s: float = 60) -> None:
        """Wait for what was dispatched, and settle it."""
        until_s, before = time.monotonic() + timeout_s, len(self.seen)
        while len(self.seen) == before and time.monotonic() < until_s:
            self.settler.tick()

    def end_delays(self) -> None:
        """What was put off is due now."""
        with self.store.transaction() as tx:
            tx.execute(update(Job).where(Job.state == JobState.DELAYED).values(run_at=from_ms(0)))
            self.store.promote_due(tx)

    def failed(self) -> dict[str | None, JobRecord]:
        """Failed jobs by asset."""
        with self.store.transaction(reading=True) as tx:
            records = [
                record for queue in QueueName for record in self.store.jobs(tx, queue, list(JobState), limit=100)
            ]
        return {record.asset_id: record for record in records if record.error}

    def asset(self, asset_id: str) -> Asset:
        with self.database.reader() as session:
            return session.get_one(Asset, asset_id)

    def exif(self, asset_id: str) -> AssetExif:
        with self.database.reader() as session:
            return session.get_one(AssetExif, asset_id)

    def files(self, asset_id: str) -> dict[str, Path]:
        """Derived files by type."""
        with self.database.reader() as session:
            rows = session.scalars(select(AssetFile).where(AssetFile.asset_id == asset_id))
            return {row.type: Path(row.path) for row in rows}

    def events(self) -> list[tuple[str, Any]]:
        with self.database.reader() as session:
            return [(event.type, event.data) for event in session.scalars(select(Event).order_by(Event.id))]

    def change(self, asset_id: str, **columns: Any) -> None:
        with self.database.session() as session:
            session.execute(update(Asset).where(Asset.id == asset_id).values(**columns))


class InlineRows:
    """Row jobs as a Submitter, in the caller's thread."""

    def __init__(self, runner: RowRunner) -> None:
        self._runner = runner

    def submit(self, call: Call, on_end: Callable[[CallEnd], None]) -> None:
        on_end(self._runner.run(call))

    def cancel(self, call_id: str) -> None:
        raise AssertionError("nothing here cancels")

    def nodes_for(self, queue: QueueName) -> int:
        return 1


@contextmanager
def inline_stack(database_url: str, folder: Path, threads: int = 1, **environ: str) -> Iterator[Stack]:
    """A fresh server with one user; media lie in `folder`. `threads`: calls that are worked on at a time; `environ`:
    more settings. Machine learning is off unless they or the config say otherwise: it takes more time than all else."""
    program("exiftool"), program("ffmpeg")
    database, media = Database(database_url), folder / "media"
    migrate(database.durable)
    owner, stored_config = add_user(database), dict[str, Any]()
    own = {"IMMICH_MEDIA_LOCATION": str(media), "HOME": str(folder), "IMMICH_MACHINE_LEARNING_ENABLED": "false"}
    settings = read_settings({**own, **environ})
    store, clock, seen = SqlQueueStore(database), Clock(), list[tuple[JobName, str | None]]()

    def read_config(session: Any) -> SystemConfig:
        return merge(defaults(settings), stored_config)

    def follow_and_note(lease: Lease, outcome: Done | Skipped, facts: frozenset[Fact]) -> FollowUps:
        seen.append((lease.name, lease.asset_id))
        return follow(lease, outcome, facts)

    vectors = ExactVectors()
    contexts = Contexts(store, settings, StorageLayout(media), read_config, clock, vectors)
    handlers, runner = bind(JOBS, contexts), InlineRunner(threads)
    settler = Settler(store, handlers, follow_and_note)
    dispatcher = Dispatcher(
        store,
        handlers,
        {Place.CLUSTER: runner, Place.ROW_JOBS: InlineRows(RowRunner(store, settler, handlers, database_url))},
        settler,
        InFlight(),
        Identity("test", "1"),
        owned=lambda: set(QueueName),
        concurrency=lambda queue: 2 * threads,
        cpus=lambda: 2.0 * threads,
        media_present=lambda: True,
        hold_s=0.0,
    )
    yield Stack(database, store, media, clock, stored_config, owner, dispatcher, settler, vectors, seen)
    runner.close()
    database.close()


def add_user(database: Database) -> str:
    user_id, now = str(uuid.uuid4()), datetime.now(UTC)
    with database.session() as session:
        session.add(User(id=user_id, email="a@b.c", profile_changed_at=now, created_at=now, updated_at=now))
    return user_id


def names_seen(stack: Stack, asset_id: str) -> list[JobName]:
    return [name for name, of_asset in stack.seen if of_asset == asset_id]
