"""An external library of tiny photos: the first scan, scans of the unchanged library, and scans that overlap. The chain
behind a scan (sidecars, metadata, thumbnails) is paused: `pipeline` measures that.

A scan of the unchanged library is compared with the least that any scan must do: list every folder and ask for every
file's status. Both are CPU seconds, since a busy machine lets nobody compare clocks. `…cpu_us_per_file` and the ratio
are of dispatcher, jobs, settler and database in one process; `…stack_cpu_us_per_file` is what the whole stack takes,
less what it takes while idle and without the API, which only answers whether the scan is over: there Ray's own work
comes on top, and the start of worker processes, which Ray ends as soon as they have nothing to do.

    python -m bench.library --files 10000
"""

import argparse
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image

from bench.processes import Watch
from bench.running_stack import BenchFailed, RunningStack, running_stack
from cluster.db.engine import Database
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.asset import Library
from cluster.names import QueueName
from cluster.queue.job import NewJob
from serve_app.client import ApiClient
from serve_app.wire.library import DEFAULT_EXCLUSIONS
from tasks.libraries import scan_jobs
from tests.inline_stack import Stack, inline_stack

FILES = 10_000
FILES_PER_FOLDER = 200
ROUNDS = 5
OVERLAPPING = 3
ADDED_SHARE = 0.2
SCAN_TIMEOUT_S = 600.0
IDLE_S = 5.0
API_PARTS = ("api replica", "haproxy")

Tell = Callable[[str], None]


def run(files: int = FILES, tell: Tell = print) -> dict[str, float]:
    """Keys `library.…`. Raises BenchFailed when a scan misses a file or finds one twice."""
    with tempfile.TemporaryDirectory(prefix="hbl", dir="/tmp") as folder:
        root = Path(folder) / "photos"
        tell(f"library: making {files} photos")
        make_photos(root, files)
        tell(f"library: {ROUNDS + 1} scans without Ray")
        alone = measure_alone(root, files)
        with running_stack() as stack:
            return alone | measure_stack(stack, root, files, tell)


def measure_alone(root: Path, files: int) -> dict[str, float]:
    """CPU of the scans themselves, on SQLite."""
    stat_cpu_s = min(stat_everything(root) for _ in range(ROUNDS))
    with inline_stack(f"sqlite:///{root.parent / 'alone.db'}", root.parent / "alone") as stack:
        now = stack.clock.now()
        library = Library(id=str(uuid.uuid4()), owner_id=stack.owner, name="", created_at=now, updated_at=now)
        library.import_paths, library.exclusion_patterns = [str(root)], list(DEFAULT_EXCLUSIONS)
        with stack.store.transaction() as tx:
            tx.add(library)
            stack.store.pause(tx, QueueName.SIDECAR)
        first_s = scan_alone(stack, library.id)
        again_s = statistics.median(scan_alone(stack, library.id) for _ in range(ROUNDS))
    return {
        "library.scan.cpu_us_per_file": first_s / files * 1e6,
        "library.rescan.cpu_us_per_file": again_s / files * 1e6,
        "library.rescan.ratio_to_stat": again_s / stat_cpu_s,
        "library.stat.cpu_us_per_file": stat_cpu_s / files * 1e6,
    }


def scan_alone(stack: Stack, library: str) -> float:
    """CPU seconds."""
    started_s = time.process_time()
    stack.enqueue(*scan_jobs(library))
    while True:
        stack.dispatcher.tick()
        stack.settler.tick()
        with stack.store.transaction(reading=True) as tx:
            count = stack.store.counts(tx)[QueueName.LIBRARY]
        if not count.waiting + count.active:
            return time.process_time() - started_s


def measure_stack(stack: RunningStack, root: Path, files: int, tell: Tell) -> dict[str, float]:
    """Rates and memory of everything together."""
    client = stack.sign_up()
    client.call("PUT", "/queues/sidecar", json={"isPaused": True})
    owner = client.call("GET", "/users/me")["id"]
    (root.parent / "empty").mkdir()
    scan(client, new_library(client, owner, root.parent / "empty"))  # so that the workers are there
    library = new_library(client, owner, root)
    with Watch(stack.state_dir, stack.process.pid) as idle:
        time.sleep(IDLE_S)
    idle_cpu_per_s = cpu_s(idle) / IDLE_S
    tell("library: the first scan")
    with Watch(stack.state_dir, stack.process.pid) as first:
        first_s = scan(client, library)
    check(client, library, files)
    tell(f"library: {ROUNDS} scans of the unchanged library")
    with Watch(stack.state_dir, stack.process.pid, with_memory=False) as again:
        again_s = [scan(client, library) for _ in range(ROUNDS)]
    check(client, library, files)
    tell(f"library: {OVERLAPPING} scans at a time, with new files")
    more = round(files * ADDED_SHARE)
    make_photos(root / "more", more)
    overlap(stack, client, library)
    duplicates = check(client, library, files + more)
    rescan_cpu_s = (cpu_s(again) - idle_cpu_per_s * sum(again_s)) / ROUNDS
    return {
        "library.scan.files_per_s": files / first_s,
        "library.scan.stack_cpu_us_per_file": (cpu_s(first) - idle_cpu_per_s * first_s) / files * 1e6,
        "library.rescan.files_per_s": files / statistics.median(again_s),
        "library.rescan.stack_cpu_us_per_file": rescan_cpu_s / files * 1e6,
        "library.overlap.duplicates": duplicates,
        "library.peak_mb": first.peak_pss_mb,
        "library.peak_over_idle_mb": first.peak_pss_mb - idle.peak_pss_mb,
    }


def cpu_s(watch: Watch) -> float:
    """CPU seconds of the stack without its API."""
    cost = watch.cost()
    return cost.total_s - sum(cost.cpu_s.get(part, 0.0) for part in API_PARTS)


def new_library(client: ApiClient, owner: str, root: Path) -> str:
    made: str = client.call("POST", "/libraries", json={"ownerId": owner, "importPaths": [str(root)]})["id"]
    return made


def make_photos(root: Path, count: int) -> None:
    """Tiny JPEGs, no two alike, in folders of a few hundred."""
    for number in range(count):
        folder = root / f"{number // FILES_PER_FOLDER:05}"
        if number % FILES_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        image = Image.new("RGB", (8, 8), (number % 256, number // 256 % 256, 128))
        buffer = BytesIO()
        image.save(buffer, "JPEG")
        (folder / f"IMG_{number:07}.JPG").write_bytes(buffer.getvalue())


def stat_everything(root: Path) -> float:
    """CPU seconds to list every folder and look at every file."""
    started_s = time.process_time()
    folders = [str(root)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    os.stat(entry.path)  # noqa: PTH116 - what is measured
    return time.process_time() - started_s


def scan(client: ApiClient, library: str) -> float:
    """Seconds from the request until nothing is left to do in the queue."""
    started_s = time.perf_counter()
    client.call("POST", f"/libraries/{library}/scan")
    return wait(client, started_s)


def wait(client: ApiClient, started_s: float) -> float:
    while time.perf_counter() < started_s + SCAN_TIMEOUT_S:
        counts = client.call("GET", "/queues/library")["statistics"]
        if counts["failed"] or counts["delayed"]:
            raise BenchFailed(f"a scan did not go through: {client.call('GET', '/queues/library/jobs')}")
        if not counts["waiting"] + counts["active"]:
            return time.perf_counter() - started_s
        time.sleep(0.02)
    raise BenchFailed(f"a scan was not done after {SCAN_TIMEOUT_S:.0f} s")


def overlap(stack: RunningStack, client: ApiClient, library: str) -> None:
    """Scans side by side. Requests would be merged into one scan, so these jobs are put in without their keys."""
    started_s = time.perf_counter()
    database = Database(f"sqlite:///{stack.folder / 'm' / 'heliostat.db'}")
    try:
        store = SqlQueueStore(database)
        with store.transaction() as tx:
            jobs = [NewJob(job.name, job.payload) for _ in range(OVERLAPPING) for job in scan_jobs(library)]
            store.enqueue(tx, jobs)
    finally:
        database.close()
    wait(client, started_s)


def check(client: ApiClient, library: str, files: int) -> int:
    """How many assets are there beyond one for each file. Raises BenchFailed where one is missing."""
    found: int = client.call("GET", f"/libraries/{library}/statistics")["total"]
    if found < files:
        raise BenchFailed(f"{found} of {files} files are in the library")
    return found - files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=FILES)
    for key, value in run(parser.parse_args().files).items():
        print(f"{key} {value:.4f}")


if __name__ == "__main__":
    main()
