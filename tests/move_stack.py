"""A database, a media folder and the loops, without Ray: for tests of jobs that move files.

As a program it is a server of runs that die: each line of its input is a run in a process of its own (forked, since
importing takes longer than moving), which ends itself with SIGKILL before its n-th system call or commit.
"""

import hashlib
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Dialect

from cluster.db.engine import Database
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.album import Album, AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.base import Base
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.user import User
from cluster.loops import dispatcher as dispatching
from cluster.loops import settler as settling
from cluster.loops.dispatcher import Dispatcher, Identity
from cluster.loops.in_flight import InFlight
from cluster.loops.settler import Settler
from cluster.loops.submitter import Call, CallEnd, CallReturned
from cluster.names import JobName, QueueName
from cluster.queue.job import Done, Fact, FollowUps, Lease, NewJob, Place, Skipped
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord
from cluster.settings import read_settings
from cluster.storage.layout import Folder, StorageLayout
from cluster.system_config import SystemConfig, defaults, merge
from cluster.vectors.exact import ExactVectors
from tasks.binding import Contexts, bind
from tasks.pipeline import follow
from tasks.registry import JOBS
from tasks.row_runner import RowRunner
from tasks.run_call import run_items
from tasks.tools import Tools

TAKEN = datetime(2021, 7, 14, 16, 30, 5, tzinfo=UTC)
TEMPLATE = "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}"


@dataclass
class Clock:
    """The wall's time and what was added to it."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class Here:
    """Runs calls in the caller's thread. `before(call)` is told first."""

    def __init__(self, rows: RowRunner) -> None:
        self._rows, self._tools = rows, Tools()
        self.before: Callable[[Call], None] = lambda call: None

    def submit(self, call: Call, on_end: Callable[[CallEnd], None]) -> None:
        self.before(call)
        if call.spec.place is Place.ROW_JOBS:
            on_end(self._rows.run(call))
            return
        tickets = [lease.ticket for lease in call.leases]
        worked = run_items(call.spec.name, tickets, call.inputs, self._tools, "here", lambda index: None)
        on_end(CallReturned(call, call.results("here", worked)))

    def cancel(self, call_id: str) -> None:
        raise AssertionError("nothing here cancels")

    def nodes_for(self, queue: QueueName) -> int:
        return 1


@dataclass
class MoveStack:
    """See the module. `queues`: those that run; what waits in others stays there."""

    database: Database
    media: Path
    config: dict[str, Any]
    queues: frozenset[QueueName]
    clock: Clock = field(default_factory=Clock)
    seen: list[tuple[JobName, str | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = read_settings({"IMMICH_MEDIA_LOCATION": str(self.media), "HOME": str(self.media)})
        self.store = SqlQueueStore(self.database, self.clock)

        def read_config(session: Any) -> SystemConfig:
            return merge(defaults(settings), self.config)

        def follow_and_note(lease: Lease, outcome: Done | Skipped, facts: frozenset[Fact]) -> FollowUps:
            self.seen.append((lease.name, lease.asset_id))
            return follow(lease, outcome, facts)

        layout = StorageLayout(self.media)
        self.library = layout.folder(Folder.LIBRARY)
        handlers = bind(JOBS, Contexts(self.store, settings, layout, read_config, self.clock, ExactVectors()))
        self.settler = Settler(self.store, handlers, follow_and_note)
        self.runner = Here(RowRunner(self.store, self.settler, handlers))
        self.dispatcher = Dispatcher(
            self.store,
            handlers,
            {Place.CLUSTER: self.runner, Place.ROW_JOBS: self.runner},
            self.settler,
            InFlight(),
            Identity("test", uuid.uuid4().hex),
            owned=lambda: set(self.queues),
            concurrency=lambda queue: 2,
            cpus=lambda: 2.0,
            media_present=lambda: True,
        )
        with self.store.transaction() as tx:
            self.store.release_predecessor(tx, "test", self.dispatcher._identity.incarnation)

    def set_template(self, template: str = TEMPLATE, **others: Any) -> None:
        self.config["storageTemplate"] = {"enabled": True, "template": template, **others}
        self.clock.sleep(1)

    def add_user(self, label: str | None = None) -> str:
        user_id, now = str(uuid.uuid4()), self.clock.now()
        stamps = {"profile_changed_at": now, "created_at": now, "updated_at": now}
        with self.database.session() as session:
            session.add(User(id=user_id, email=f"{user_id}@b.c", storage_label=label, **stamps))
        return user_id

    def add_asset(
        self, owner: str, name: str, content: bytes | None = None, *, sidecar: bytes | None = None, **columns: Any
    ) -> str:
        """Rows and files of an upload whose metadata is known. `exif`: columns of that table. Returns the id."""
        asset_id, now = str(uuid.uuid4()), self.clock.now()
        content = content if content is not None else os.urandom(3000)
        path = self.media / "upload" / owner / asset_id[:2] / f"{uuid.uuid4()}{Path(name).suffix.lower()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        exif = {"file_size_bytes": len(content), **columns.pop("exif", {})}
        stamps = {"created_at": now, "updated_at": now}
        values = {
            "type": "IMAGE",
            "original_path": str(path),
            "checksum": hashlib.sha1(content).digest(),
            "file_created_at": TAKEN,
            "file_modified_at": TAKEN,
            "local_date_time": TAKEN,
            **columns,
        }
        with self.database.session() as session:
            session.add(Asset(id=asset_id, owner_id=owner, original_file_name=name, **values, **stamps))
            session.flush()
            session.add(AssetExif(asset_id=asset_id, updated_at=now, **exif))
            if sidecar is not None:
                beside = Path(f"{path}.xmp")
                beside.write_bytes(sidecar)
                row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "type": "sidecar", "path": str(beside)}
                session.add(AssetFile(**row, **stamps))
        return asset_id

    def add_album(self, owner: str, name: str, *asset_ids: str, created_at: datetime | None = None) -> None:
        album_id, now = str(uuid.uuid4()), self.clock.now()
        with self.database.session() as session:
            session.add(Album(id=album_id, owner_id=owner, name=name, created_at=created_at or now, updated_at=now))
            session.flush()
            session.add_all(AlbumAsset(album_id=album_id, asset_id=one, created_at=now) for one in asset_ids)

    def enqueue(self, *jobs: NewJob) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, jobs)

    def run(self, timeout_s: float = 60) -> None:
        """Until nothing waits and nothing runs in our queues; what is delayed becomes due at once."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            self.tick()
            with self.store.transaction(reading=True) as tx:
                counts = [count for queue, count in self.store.counts(tx).items() if queue in self.queues]
            if any(count.waiting + count.active for count in counts):
                continue
            if not any(count.delayed for count in counts):
                return
            self.clock.sleep(30)
            with self.store.transaction() as tx:
                self.store.promote_due(tx)
        raise AssertionError(f"not done after {timeout_s} s")

    def tick(self) -> None:
        """Lease once, and settle what that brought."""
        self.dispatcher.tick()
        self.settler.drain()

    def waiting(self, queue: QueueName) -> list[JobRecord]:
        with self.store.transaction(reading=True) as tx:
            return list(self.store.jobs(tx, queue, [JobState.WAITING, JobState.DELAYED], limit=1000))

    def failed(self) -> list[JobRecord]:
        with self.store.transaction(reading=True) as tx:
            return [one for queue in QueueName for one in self.store.jobs(tx, queue, [JobState.FAILED], limit=100)]

    def change(self, asset_id: str, **columns: Any) -> None:
        with self.database.session() as session:
            session.execute(update(Asset).where(Asset.id == asset_id).values(**columns))

    def path(self, asset_id: str) -> Path:
        with self.database.reader() as session:
            return Path(session.get_one(Asset, asset_id).original_path)

    def place(self, asset_id: str) -> str:
        """Where its original lies, below the media folder, and surely does."""
        path = self.path(asset_id)
        assert path.is_file(), path
        return str(path.relative_to(self.media))

    def files(self, asset_id: str) -> dict[str, Path]:
        with self.database.reader() as session:
            rows = session.scalars(select(AssetFile).where(AssetFile.asset_id == asset_id))
            return {row.type: Path(row.path) for row in rows}

    def moves(self) -> list[tuple[str, str]]:
        """State and new path of what is on its way."""
        with self.database.reader() as session:
            return [(row.state, row.new_path) for row in session.scalars(select(MoveHistory))]

    def on_disk(self) -> set[str]:
        """Every file below `upload` and `library`, relative to the media folder."""
        found = [
            Path(root, name)
            for top in ("upload", "library")
            for root, _, names in os.walk(self.media / top)
            for name in names
        ]
        return {str(path.relative_to(self.media)) for path in found}

    def named(self) -> set[str]:
        """What rows name there."""
        with self.database.reader() as session:
            paths = [*session.scalars(select(Asset.original_path)), *session.scalars(select(AssetFile.path))]
        return {str(Path(path).relative_to(self.media)) for path in paths}


MOVING = frozenset({QueueName.STORAGE_TEMPLATE_MIGRATION, QueueName.BACKGROUND_TASK})


@contextmanager
def move_stack(database_url: str, media: Path, queues: frozenset[QueueName] = MOVING) -> Iterator[MoveStack]:
    """A stack on a fresh or known database."""
    database = Database(database_url)
    Base.metadata.create_all(database.durable)
    for folder in Folder:
        (media / folder.value).mkdir(parents=True, exist_ok=True)
    try:
        yield MoveStack(database, media, {}, queues)
    finally:
        database.close()


FILE_CALLS = ("link", "unlink", "replace", "mkdir", "rmdir", "fsync", "utime", "chmod", "sendfile")
MOST_SENT_BYTES = 1024
"""So little at once that a run can die in the middle of a copy."""


class Steps:
    """Counts the system calls that change files, and the commits, and kills this process before the chosen one."""

    def __init__(self, kill_before: int, tell: int) -> None:
        self._kill_before, self._tell = kill_before, tell
        self.count = 0

    def step(self, name: str) -> None:
        self.count += 1
        if self.count == self._kill_before:
            os.write(self._tell, name.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, dialect: Dialect) -> None:
        """From now on every call of these is a step."""
        for name in FILE_CALLS:
            setattr(os, name, self._counted(name, getattr(os, name)))
        send = os.sendfile
        os.sendfile = lambda out, src, offset, count: send(out, src, offset, min(count, MOST_SENT_BYTES))  # type: ignore[assignment]
        dialect.do_commit = self._counted("commit", dialect.do_commit)  # type: ignore[method-assign]

    def _counted(self, name: str, function: Any) -> Any:
        def counted(*args: Any, **named: Any) -> Any:
            self.step(name)
            return function(*args, **named)

        return counted


def run_and_die(order: dict[str, Any], tell: int) -> None:
    """One run: what waits in the queue, until it is done or killed."""
    dispatching.TICKS_APART_S = settling.TRANSACTIONS_APART_S = 0.0
    with move_stack(order["database"], Path(order["media"])) as stack:
        stack.set_template(order["template"])
        stack.clock.sleep(order["ahead_s"])
        steps = Steps(order["kill_before"], tell)
        steps.watch(stack.database.fast.dialect)
        stack.run()
        os.write(tell, f"done {steps.count}".encode())


def main() -> None:
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                run_and_die(json.loads(line), write)
            except BaseException as error:
                os.write(write, f"raised {error!r}".encode())
                raise
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        print(os.read(read, 4000).decode(), flush=True)
        os.close(read)


if __name__ == "__main__":
    main()
