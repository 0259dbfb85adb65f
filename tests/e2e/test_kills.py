"""Kill -9 in the middle of an import. Afterwards every accepted photo is complete, none is there twice, the originals
are as they were, and nobody had to do anything.

Each fault runs once with a few photos; `long` runs it with 300.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from cluster.errors import ProgramMissing
from cluster.storage.incoming import cleanup_incoming
from cluster.storage.layout import StorageLayout
from cluster.storage.sweep import STRAY
from serve_app.client import ApiRefused, ServerUnreachable, sha1_hex
from tests.e2e.photos import CAMERA, make_photos
from tests.e2e.real_stack import RealStack, describe, kill, real_stack, rows, wait_until
from tests.postgres_server import private_postgres
from tests.programs import skip_or_fail

pytestmark = pytest.mark.timeout(900)

CONNECTIONS = 3
CLIENT_PATIENCE_S = 180.0
"""How long a client tries one photo anew before it gives up."""
RECOVERY_S = 150.0
IMPORTS = [pytest.param(24, id="24"), pytest.param(300, id="300", marks=pytest.mark.long)]

Kill = Callable[[RealStack], None]


def kill_one(*titles: str, by: signal.Signals = signal.SIGKILL) -> Kill:
    """Kill the first process seen whose title begins like this. It has to be caught at work, so look often."""

    def now(stack: RealStack) -> None:
        caught: list[int] = []

        def seen() -> bool:
            caught.extend(pid for pid, title in stack.processes().items() if title.startswith(titles))
            return bool(caught)

        wait_until(seen, 60, f"a process called {' or '.join(titles)}", stack.still_runs, every_s=0.002)
        os.kill(caught[0], by)

    return now


def kill_everything(stack: RealStack) -> None:
    for pid in stack.processes():
        kill(pid)


FAULTS = {
    "a worker": kill_one("ray::AssetGenerateThumbnails", "ray::AssetExtractMetadata"),
    "the controller": kill_one("ray::ControllerActor"),
    "the API replica": kill_one("ray::ServeReplica"),
    "all of Ray": kill_everything,
}


@pytest.mark.parametrize("count", IMPORTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_an_import_survives_the_death_of(
    stack: RealStack, fault: str, count: int, tmp_path: Path, report: Callable[[str], None]
) -> None:
    photos = make_photos(tmp_path, count, seed=100 + list(FAULTS).index(fault))

    recovery = import_with_fault(stack, photos, FAULTS[fault])

    assert_complete(stack, recovery)
    report(f"{count} photos, {fault} killed: {recovery}")


@pytest.mark.long
def test_an_import_survives_a_controller_that_freezes(
    stack: RealStack, tmp_path: Path, report: Callable[[str], None]
) -> None:
    """Ray believes that it lives, so nobody but the supervisor can see it."""
    # the API answers before the controller has begun, and a start that does not end is a start that failed
    wait_until(lambda: "ready after" in stack.log, 60, "the start to end", stack.still_runs)
    photos = make_photos(tmp_path, 24, seed=150)

    recovery = import_with_fault(stack, photos, kill_one("ray::ControllerActor", by=signal.SIGSTOP))

    assert_complete(stack, recovery)
    assert "the controller was silent for" in stack.log
    report(f"24 photos, the controller frozen: {recovery}")


@pytest.mark.parametrize("count", IMPORTS)
def test_an_import_survives_the_crash_of_postgresql(count: int, tmp_path: Path, report: Callable[[str], None]) -> None:
    photos = make_photos(tmp_path / "photos", count, seed=200)
    with crashable_postgres() as server, real_stack(3413, tmp_path, DB_URL=server.url) as stack:
        stack.sign_in()

        recovery = import_with_fault(stack, photos, lambda _: server.crash_and_start_again())

        assert_complete(stack, recovery)
    report(f"{count} photos, PostgreSQL crashed and was back after {server.away_s:.1f} s: {recovery}")


@dataclass(frozen=True)
class Recovery:
    """What an import with a fault came to. Seconds count from the fault."""

    accepted: dict[str, Path]
    photos_before: int
    answered_s: float
    complete_s: float

    def __str__(self) -> str:
        return f"the API answered after {self.answered_s:.1f} s, the import was complete after {self.complete_s:.1f} s"


def import_with_fault(stack: RealStack, photos: Sequence[Path], fault: Kill) -> Recovery:
    """Upload, strike when a third is accepted and the rest is on its way, wait until all is done."""
    assert stack.failed() == {}
    before = stack.count()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        uploads = [pool.submit(upload_patiently, stack, photo) for photo in photos]
        wait_until(lambda: accepted(uploads) >= len(photos) // 3, 120, "a third to be uploaded", stack.still_runs)
        fault(stack)
        struck_s = time.monotonic()
        wait_until(stack.is_up, RECOVERY_S, "the API to answer again", stack.still_runs, every_s=0.05)
        answered_s = time.monotonic() - struck_s
        ids = {upload.result(): photo for upload, photo in zip(uploads, photos, strict=True)}
    try:
        stack.wait_until_idle(RECOVERY_S + len(photos))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{describe(stack)}") from error
    return Recovery(ids, before, answered_s, time.monotonic() - struck_s)


def accepted(uploads: Sequence[Future[str]]) -> int:
    return sum(upload.done() for upload in uploads)


def upload_patiently(stack: RealStack, photo: Path) -> str:
    """What a client on a phone does: try again until the server has the photo. Its id."""
    checksum = sha1_hex(photo)
    deadline_s = time.monotonic() + CLIENT_PATIENCE_S
    while True:
        try:
            return stack.client.upload(photo, checksum)[1]
        except (ServerUnreachable, ApiRefused) as error:
            refused = isinstance(error, ApiRefused) and error.status < 500
            if refused or time.monotonic() > deadline_s:
                raise
            time.sleep(0.5)


def assert_complete(stack: RealStack, recovery: Recovery) -> None:
    """Every photo is there once, whole and finished."""
    ids = recovery.accepted
    assert stack.failed() == {}, describe(stack)
    assert len(ids) == len(set(ids.values()))
    assert stack.count() == recovery.photos_before + len(ids)
    files = files_in_database(stack)
    for asset_id, photo in ids.items():
        asset = stack.asset(asset_id)
        assert asset["thumbhash"], photo.name
        assert (asset["exifInfo"]["make"], asset["exifInfo"]["model"]) == CAMERA, photo.name
        assert Path(asset["originalPath"]).read_bytes() == photo.read_bytes(), photo.name
        kinds = sorted(kind for kind, _ in files[asset_id])
        assert kinds == ["preview", "thumbnail"], photo.name
        for _, path in files[asset_id]:
            assert path.stat().st_size > 0, path
            assert not STRAY.search(path.name), path
    assert_every_original_has_its_row(stack)


def files_in_database(stack: RealStack) -> dict[str, list[tuple[str, Path]]]:
    """Asset id → (kind, path) of each file that was made of it."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for asset_id, kind, path in rows(stack, "SELECT asset_id, type, path FROM asset_file"):
        found.setdefault(asset_id, []).append((kind, Path(path)))
    return found


def assert_every_original_has_its_row(stack: RealStack) -> None:
    """What lies in the upload folder belongs to an asset, once the clean-up has seen to uploads that were cut off.
    It waits a day with those; here it does not."""
    known = {path for (path,) in rows(stack, "SELECT original_path FROM asset")}
    cleanup_incoming(StorageLayout(stack.media), datetime.now(UTC), lambda path: str(path) in known)
    stored = {str(path) for path in (stack.media / "upload").rglob("*") if path.is_file() and path.name != ".immich"}
    assert stored == known


class CrashablePostgres:
    """A PostgreSQL server that can be ended the hard way and started again on the same folder."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.away_s = 0.0
        with psycopg.connect(url) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
            assert row is not None
            self._data = Path(row[0])
        self._again: subprocess.Popen[bytes] | None = None

    def crash_and_start_again(self, by: signal.Signals = signal.SIGQUIT, pause_s: float = 2.0) -> None:
        """As `pg_ctl stop -m immediate`, a pause, long enough for every part of the server to notice, and a start that
        replays its log. `by` SIGINT: as `-m fast`, in good order."""
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().splitlines()[0]))
        command, owner = server.cmdline(), server.uids().real
        started_s = time.monotonic()
        server.send_signal(by)
        with contextlib.suppress(psutil.NoSuchProcess):
            wait_until(lambda: server.status() == psutil.STATUS_ZOMBIE, 30, "PostgreSQL to end")
        time.sleep(pause_s)
        as_root = os.getuid() == 0
        self._again = subprocess.Popen(
            command,
            cwd=self._data,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=owner if as_root else None,
            extra_groups=[] if as_root else None,
        )
        wait_until(self._answers, 60, "PostgreSQL to be back")
        self.away_s = time.monotonic() - started_s

    def stop(self) -> None:
        if self._again is not None:
            self._again.send_signal(signal.SIGINT)
            self._again.wait(30)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url, connect_timeout=5).close()
            return True
        return False


@contextlib.contextmanager
def crashable_postgres() -> Iterator[CrashablePostgres]:
    try:
        with private_postgres() as url:
            server = CrashablePostgres(url)
            try:
                yield server
            finally:
                server.stop()
    except ProgramMissing as missing:
        skip_or_fail(str(missing))


def controllers(stack: RealStack) -> list[int]:
    return [pid for pid, title in stack.processes().items() if title.startswith("ray::ControllerActor")]


def owners(stack: RealStack) -> dict[str, int]:
    """Controller → queues that it owns and has not let run out."""
    living = "owner_expires_at > extract(epoch FROM clock_timestamp()) * 1000"
    return dict(rows(stack, f"SELECT owner, count(*) FROM queue WHERE {living} GROUP BY owner"))  # type: ignore[arg-type]


def done(stack: RealStack, job: str) -> int:
    """By the statistics, which count in the transaction that saves the result."""
    counted = "SELECT coalesce(sum(done + skipped), 0) FROM job_statistic WHERE name = :name"
    return int(rows(stack, counted, name=job)[0][0])


@pytest.mark.long
def test_of_two_controllers_one_takes_over_from_the_other(tmp_path: Path, report: Callable[[str], None]) -> None:
    """It is frozen, and killed in the end: Ray sees only the second, and restarts that one."""
    with (
        crashable_postgres() as server,
        real_stack(3416, tmp_path, DB_URL=server.url, HELIOSTAT_CONTROLLERS="2") as stack,
    ):
        stack.sign_in()
        both = {"controller", "controller-2"}
        shared_s = wait_until(lambda: owners(stack).keys() == both, 60, "two to share the queues", stack.still_runs)
        report(f"two controllers share the queues after {shared_s:.1f} s: {owners(stack)}")

        frozen: list[int] = []

        def freeze(stack: RealStack) -> None:
            frozen.append(controllers(stack)[0])
            os.kill(frozen[0], signal.SIGSTOP)

        recovery = import_with_fault(stack, make_photos(tmp_path / "first", 60, seed=300), freeze)

        assert_complete(stack, recovery)
        report(f"60 photos, one of two controllers frozen: {recovery}")
        wait_until(lambda: owners(stack).keys() == both, 60, "the queues to be shared again", stack.still_runs)
        assert frozen[0] not in controllers(stack), "whoever is frozen is replaced, nobody has to thaw it"

        recovery = import_with_fault(
            stack, make_photos(tmp_path / "second", 60, seed=301), kill_one("ray::ControllerActor")
        )

        assert_complete(stack, recovery)
        assert "starting everything anew" not in stack.log
        assert [done(stack, job) for job in ("AssetExtractMetadata", "AssetGenerateThumbnails")] == [120, 120]
        report(f"60 photos, one of two controllers killed: {recovery}; every job was counted once")
