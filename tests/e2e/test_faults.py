"""What a fault costs while work is out: nothing lost, nothing done twice, late results refused, and how long until all
is well again. Counted by `job_statistic`, which counts in the transaction that saves a result.
"""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.storage.layout import StorageLayout
from cluster.storage.sweep import OLD, STRAY, sweep_strays
from serve_app.client import ApiRefused, sha1_hex
from tests.e2e.photos import make_photos
from tests.e2e.private_network import Machine, private_network
from tests.e2e.real_nodes import RealNode, real_node
from tests.e2e.real_stack import RealStack, describe, kill, real_stack, rows, wait_until
from tests.e2e.test_force_table import make_video
from tests.e2e.test_kills import CrashablePostgres, Recovery, assert_complete, crashable_postgres, import_with_fault
from tests.programs import program

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

AWAY_S = 120.0
PHOTOS, SIZE = 80, (3000, 2000)
VIDEOS, VIDEO_S = 6, 150
WORK = ("AssetEncodeVideo", "AssetGenerateThumbnails")
"""Any of these is out on the node when the fault comes: a call that beats, or a short one that nobody has heard of."""
WAIT_S, DONE_S = 180.0, 420.0
LATE = 16
AT_ONCE = 8
"""Photos for two nodes, so that both get some."""


@dataclass
class Cluster:
    """A first machine that serves the API alone, and two that work; each has an address of its own."""

    stack: RealStack
    struck: RealNode
    machine: Machine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    for needed in ("exiftool", "ffmpeg"):
        program(needed)
    with ExitStack() as opened:
        network = opened.enter_context(private_network())
        api, struck, other = (network.machine(name) for name in ("api", "struck", "other"))
        environ = {
            "IMMICH_WORKERS_INCLUDE": "api",
            "IMMICH_HOST": "0.0.0.0",
            "HELIOSTAT_RAY_HOST": api.address,
            "HELIOSTAT_NODE_NAME": "first",
            "HELIOSTAT_VIDEO_PARTS_FROM_S": "0",
        }
        folder = tmp_path_factory.mktemp("faults")
        stack = opened.enter_context(real_stack(3461, folder, api.prefix, host=api.address, **environ))
        nodes = [
            opened.enter_context(
                real_node(stack, name, machine.prefix, HELIOSTAT_RAY_HOST=machine.address, HELIOSTAT_NUM_CPUS="2")
            )
            for name, machine in (("struck", struck), ("other", other))
        ]
        stack.sign_in()
        yield Cluster(stack, nodes[0], struck)


@dataclass(frozen=True)
class Fault:
    """What happens and what, `AWAY_S` later, ends it; None: nobody has to. `rejoins`: the struck node loses its Ray."""

    strike: Callable[[Cluster], None]
    end: Callable[[Cluster], None] | None = None
    rejoins: bool = True


def kill_part(of: RealStack | RealNode, *titles: str) -> None:
    """Kill its first process that is called so."""
    found: list[int] = []

    def seen() -> bool:
        found.extend(pid for pid, title in of.processes().items() if any(name in title for name in titles))
        return bool(found)

    wait_until(seen, WAIT_S, f"a process called {titles}", of.still_runs, 0.002)
    kill(found[0])


FAULTS = {
    "a worker killed": Fault(lambda cluster: kill_part(cluster.struck, *map("ray::{}".format, WORK)), rejoins=False),
    "the controller killed": Fault(lambda cluster: kill_part(cluster.stack, "ray::ControllerActor"), rejoins=False),
    "Ray's head killed": Fault(lambda cluster: kill_part(cluster.stack, "gcs_server")),
    "a node's raylet killed": Fault(lambda cluster: kill(cluster.struck.raylet())),
    "a node frozen for 120 s": Fault(
        lambda cluster: cluster.struck.freeze(), lambda cluster: cluster.struck.freeze(signal.SIGCONT)
    ),
    "a node cut off for 120 s": Fault(lambda cluster: cluster.machine.cut(), lambda cluster: cluster.machine.heal()),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_import_survives(cluster: Cluster, name: str, tmp_path: Path, report: Callable[[str], None]) -> None:
    stack, node, fault = cluster.stack, cluster.struck, FAULTS[name]
    row = list(FAULTS).index(name)
    seed = 400 + row
    before, photos_before, joined = Tallied.of(stack), stack.count(), node.times_joined
    length_s = VIDEO_S + row  # of two that are the same the second is not taken
    paths = [make_video(tmp_path / f"video_{number}.avi", number, length_s) for number in range(VIDEOS)]
    photos = make_photos(tmp_path / "photos", PHOTOS, seed, SIZE)
    stack.client.command("thumbnailGeneration", "pause")
    for path in paths:
        upload(stack, path)
    ids = {upload(stack, path): path for path in photos}
    stack.client.command("thumbnailGeneration", "resume")
    wait_until(lambda: works(node, *WORK), WAIT_S, "work on the node", stack.still_runs, 0.002)

    fault.strike(cluster)
    struck_s = time.monotonic()
    there = Counter(in_hand(stack, node.name))
    end = threading.Timer(AWAY_S, fault.end or (lambda _: None), (cluster,))
    try:
        if fault.end is not None:
            end.start()
        try:
            stack.wait_until_idle(DONE_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{describe(stack)}") from error
        done_s = time.monotonic() - struck_s
        if fault.rejoins:
            wait_until(lambda: node.times_joined > joined, WAIT_S, "the node to join again", node.still_runs)
        joined_s = time.monotonic() - struck_s
    finally:
        if end.is_alive():
            end.join()
    more = work_there_again(cluster, tmp_path / "again", seed + 50)
    works_s = time.monotonic() - struck_s

    every_photo = ids | more
    expected = {
        "AssetExtractMetadata": len(every_photo) + VIDEOS,
        "AssetGenerateThumbnails": len(every_photo) + VIDEOS,
        "AssetEncodeVideo": VIDEOS,
    }
    strays = strays_in(stack)
    counted = Tallied.of(stack).since(before)
    again = f"node joined again {joined_s:.0f}, " if fault.rejoins else ""
    report(
        f"{name} · {counted.judged(expected)} · heard of there until then: {dict(there)}"
        f" · files of late results that never came into place: {len(strays)} · seconds from the fault: all work done "
        f"elsewhere {done_s:.0f}, {again}first job there {works_s:.0f} · load {os.getloadavg()[0]:.0f}"
    )
    counted.must_be(expected)
    assert sweep_strays(StorageLayout(stack.media), datetime.now(UTC) + 2 * OLD) == len(strays)
    assert_complete(stack, Recovery(every_photo, photos_before, 0.0, done_s))


def test_a_result_that_comes_when_the_lease_is_gone_is_refused(
    cluster: Cluster, tmp_path: Path, report: Callable[[str], None]
) -> None:
    """Somebody cancels what is worked on and has it done anew. The workers know of neither and give their results."""
    stack, client = cluster.stack, cluster.stack.client
    before, photos_before = Tallied.of(stack), stack.count()
    client.command("thumbnailGeneration", "pause")
    ids = {upload(stack, photo): photo for photo in make_photos(tmp_path, LATE, 490, SIZE)}
    done = {"AssetExtractMetadata": LATE}
    wait_until(lambda: Tallied.of(stack).since(before).has(done), WAIT_S, "metadata", stack.still_runs)
    client.command("thumbnailGeneration", "resume")
    active = "SELECT id FROM job WHERE state = 'active' AND name = 'AssetGenerateThumbnails'"
    wait_until(lambda: bool(rows(stack, active)) and bool(strays_in(stack)), WAIT_S, "thumbnails", every_s=0.002)
    cancelled = [job_id for (job_id,) in rows(stack, active)]
    for job_id in cancelled:
        with contextlib.suppress(ApiRefused):  # it has ended meanwhile
            client.call("DELETE", f"/queues/thumbnailGeneration/running/{job_id}")
    stack.wait_until_idle(DONE_S)
    client.command("thumbnailGeneration", "start", False)
    stack.wait_until_idle(DONE_S)
    expected = dict.fromkeys(("AssetExtractMetadata", "AssetGenerateThumbnails"), LATE)
    strays, counted = strays_in(stack), Tallied.of(stack).since(before)
    report(
        f"{len(cancelled)} jobs cancelled while they were worked on, and begun anew · {counted.judged(expected)} · "
        f"files of late results that never came into place: {len(strays)}"
    )
    counted.must_be(expected)
    assert counted.refused > 0
    assert sweep_strays(StorageLayout(stack.media), datetime.now(UTC) + 2 * OLD) == len(strays)
    assert_complete(stack, Recovery(ids, photos_before, 0.0, 0.0))


POSTGRES = {"restarted": 0.5, "away for 60 s": 60.0}


@pytest.mark.parametrize("name", POSTGRES)
def test_an_import_survives_postgresql(name: str, tmp_path: Path, report: Callable[[str], None]) -> None:
    photos = make_photos(tmp_path / "photos", PHOTOS, seed=460 + list(POSTGRES).index(name))
    with crashable_postgres() as server, real_stack(3462, tmp_path, DB_URL=server.url) as stack:
        stack.sign_in()
        before = Tallied.of(stack)
        back_s: list[float] = []

        def strike(_: RealStack) -> None:
            leave(server, POSTGRES[name])
            back_s.append(time.monotonic())

        recovery = import_with_fault(stack, photos, strike)

        complete_s = time.monotonic() - back_s[0]
        expected = dict.fromkeys(("AssetExtractMetadata", "AssetGenerateThumbnails"), PHOTOS)
        counted = Tallied.of(stack).since(before)
        report(
            f"PostgreSQL {name} ({server.away_s:.1f} s until it answered) · {counted.judged(expected)} · the import of "
            f"{PHOTOS} was complete {complete_s:.0f} s after it was back"
        )
        counted.must_be(expected)
        assert_complete(stack, recovery)


def leave(server: CrashablePostgres, pause_s: float) -> None:
    """As `pg_ctl restart -m fast`, with a pause."""
    server.crash_and_start_again(signal.SIGINT, pause_s)


@dataclass(frozen=True)
class Tallied:
    """Jobs that ended well, by name; attempts that were counted, by error; results that were refused."""

    done: Counter[str]
    attempts: Counter[str]
    refused: int

    @classmethod
    def of(cls, stack: RealStack) -> "Tallied":
        done = rows(stack, "SELECT name, sum(done + skipped) FROM job_statistic GROUP BY name")
        attempts = rows(stack, "SELECT error_class, count(*) FROM job_attempt GROUP BY error_class")
        logs = (stack.state_dir / "ray").glob("session_2*/logs/worker-*.err")
        refused = sum(path.read_text(errors="replace").count("is refused: its lease is gone") for path in logs)
        return cls(Counter({k: int(v) for k, v in done}), Counter(dict(map(tuple, attempts))), refused)

    def since(self, before: "Tallied") -> "Tallied":
        done, attempts = Counter(self.done), Counter(self.attempts)
        done.subtract(before.done)
        attempts.subtract(before.attempts)
        return Tallied(done, +attempts, self.refused - before.refused)

    def judged(self, expected: dict[str, int]) -> str:
        lost = sum(max(0, count - self.done[name]) for name, count in expected.items())
        doubled = sum(max(0, self.done[name] - count) for name, count in expected.items())
        return (
            f"{sum(expected.values())} jobs: lost {lost}, doubled {doubled}, late results refused {self.refused}, "
            f"attempts counted {dict(self.attempts)}"
        )

    def has(self, expected: dict[str, int]) -> bool:
        return {name: self.done[name] for name in expected} == expected

    def must_be(self, expected: dict[str, int]) -> None:
        assert self.has(expected), self.done


def upload(stack: RealStack, path: Path) -> str:
    """Its id."""
    return stack.client.upload(path, sha1_hex(path))[1]


def in_hand(stack: RealStack, node: str) -> list[str]:
    """Names of the jobs whose worker was heard on this node."""
    return [name for (name,) in rows(stack, "SELECT name FROM job WHERE state = 'active' AND node = :node", node=node)]


def works(node: RealNode, *jobs: str) -> bool:
    """Whether any of these is being done there."""
    titles = tuple(f"ray::{job}" for job in jobs)
    return any(title.startswith(titles) for title in node.processes().values())


def work_there_again(cluster: Cluster, folder: Path, seed: int) -> dict[str, Path]:
    """Photos, a few at a time, until the node has done one of them. Asset's id → photo."""
    stack, node, uploaded = cluster.stack, cluster.struck, dict[str, Path]()
    (newest,) = rows(stack, "SELECT coalesce(max(id), 0) FROM job_history")[0]
    there = "SELECT count(*) FROM job_history WHERE node = :node AND id > :newest"

    def seen() -> bool:
        return bool(rows(stack, there, node=node.name, newest=newest)[0][0])

    until = datetime.now(UTC) + timedelta(seconds=WAIT_S)
    while not seen():
        assert datetime.now(UTC) < until, f"{node.name} gets no work"
        batch = make_photos(folder / str(len(uploaded)), AT_ONCE, seed + len(uploaded))
        uploaded |= {upload(stack, photo): photo for photo in batch}
        stack.wait_until_idle(WAIT_S)
    return uploaded


def strays_in(stack: RealStack) -> list[Path]:
    """Files of attempts that do not count."""
    folders = ("thumbs", "encoded-video")
    return [path for name in folders for path in (stack.media / name).rglob("*") if STRAY.search(path.name)]
