"""The whole way: our own client sends photos over HTTP, and the clock stops when every queue is empty.

CPU seconds are those of every process of the stack: the API, the controller, workers and their exiftool, Ray's own; the
start of worker processes too. Only what the stack uses while idle, measured just before, is taken off. The client's own
are told apart.

    python -m bench.pipeline --photos 40 --rounds 1
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.make_corpus import Corpus, large_jpegs, make
from bench.processes import Cost, Watch
from bench.running_stack import EMAIL, PASSWORD, PROJECT, BenchFailed, RunningStack, running_stack, wait_until_idle

CORPUS = PROJECT / "bench" / "out" / "corpus"
SHARED = Path(os.environ.get("HELIOSTAT_SHARED", PROJECT.parent / "shared"))
IDLE_S = 10.0
SETTLE_S = 5.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Import:
    """One import of `photos` photos. CPU in seconds; `idle_…` is what the stack used a second before it began."""

    photos: int
    seconds: float
    cost: Cost
    idle_cpu_per_s: float
    idle_parts_per_s: dict[str, float]
    client_cpu_s: float
    peak_pss_mb: float
    peak_by_part_mb: dict[str, float]

    @property
    def net_cpu_s(self) -> float:
        return self.cost.total_s - self.idle_cpu_per_s * self.seconds


def run(photos: int = 300, rounds: int = 3, tell: Tell = print) -> dict[str, float]:
    """Medians of `rounds` imports, each into a library of its own."""
    folder = corpus(photos, tell)
    imports = []
    for number in range(1, rounds + 1):
        tell(f"pipeline: import {number} of {rounds}, {photos} photos of 12 megapixels")
        imports.append(measure_import(folder, photos))
    middle = sorted(imports, key=lambda one: one.net_cpu_s)[len(imports) // 2]
    Console(width=120).print(table(middle))
    return {
        "pipeline.cpu_s_per_photo": statistics.median(one.net_cpu_s / one.photos for one in imports),
        "pipeline.cpu_s_per_photo_with_idle": statistics.median(one.cost.total_s / one.photos for one in imports),
        "pipeline.client_cpu_s_per_photo": statistics.median(one.client_cpu_s / one.photos for one in imports),
        "pipeline.assets_per_s": statistics.median(one.photos / one.seconds for one in imports),
        "pipeline.peak_pss_mb": statistics.median(one.peak_pss_mb for one in imports),
        "pipeline.idle_cpu_per_s": statistics.median(one.idle_cpu_per_s for one in imports),
    }


def corpus(photos: int, tell: Tell = print) -> Path:
    """A folder with this many photos, made once and kept."""
    folder = CORPUS / str(photos)
    if len(list(folder.glob("*.jpg"))) != photos:
        tell(f"pipeline: making {photos} photos")
        sources = large_jpegs(SHARED / "media") if SHARED.is_dir() else ()
        make(Corpus(out=folder, count=photos, sources=sources, jobs=os.cpu_count() or 1))
    return folder


def measure_import(folder: Path, photos: int) -> Import:
    """A new stack, left alone for a while, then given the photos. Raises BenchFailed when a photo is not complete."""
    with running_stack() as stack:
        client = stack.sign_up()
        time.sleep(SETTLE_S)
        with Watch(stack.state_dir, stack.process.pid, with_memory=False) as idle:
            time.sleep(IDLE_S)
        before_s = _children_cpu_s()
        with Watch(stack.state_dir, stack.process.pid) as watch:
            started_s = time.monotonic()
            upload(stack, folder)
            wait_until_idle(client)
            seconds = time.monotonic() - started_s
        client_cpu_s = _children_cpu_s() - before_s
        failed = sum(queue.failed for queue in client.queues())
        made = client.call("GET", "/assets/statistics")["images"]
        if failed or made != photos:
            raise BenchFailed(f"{failed} jobs failed, and {made} of {photos} photos are in the library")
    parts = {part: cpu_s / IDLE_S for part, cpu_s in idle.cost().cpu_s.items()}
    return Import(
        photos,
        seconds,
        watch.cost(),
        idle.cost().total_s / IDLE_S,
        parts,
        client_cpu_s,
        watch.peak_pss_mb,
        watch.peak_by_part_mb,
    )


def upload(stack: RunningStack, folder: Path) -> None:
    """As a person would: `heliostat upload`, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "serve_app.cli", "upload", str(folder), "--no-wait", "--email", EMAIL],
        env=os.environ | {"IMMICH_INSTANCE_URL": stack.url, "HELIOSTAT_PASSWORD": PASSWORD},
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchFailed(f"the upload ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


def table(one: Import) -> Table:
    """CPU and memory by part."""
    shown = Table(title=f"{one.photos} photos in {one.seconds:.1f} s", title_justify="left")
    for name in ("part", "CPU s", "of it idle", "ms per photo, net", "MB at the peak"):
        shown.add_column(name, justify="left" if name == "part" else "right")
    rows = [(part, cpu_s, one.idle_parts_per_s.get(part, 0.0) * one.seconds) for part, cpu_s in one.cost.cpu_s.items()]
    rows += [(f"short-lived children of {part}", cpu_s, 0.0) for part, cpu_s in one.cost.children_cpu_s.items()]
    for part, cpu_s, idle_s in sorted(rows, key=lambda row: row[2] - row[1]):
        per_photo = f"{(cpu_s - idle_s) / one.photos * 1000:.1f}"
        shown.add_row(part, f"{cpu_s:.2f}", f"{idle_s:.2f}", per_photo, f"{one.peak_by_part_mb.get(part, 0):.0f}")
    shown.add_section()
    idle_s = one.idle_cpu_per_s * one.seconds
    net_ms = one.net_cpu_s / one.photos * 1000
    shown.add_row("all", f"{one.cost.total_s:.2f}", f"{idle_s:.2f}", f"{net_ms:.1f}", f"{one.peak_pss_mb:.0f}")
    client_ms = one.client_cpu_s / one.photos * 1000
    shown.add_row("the client, not counted", f"{one.client_cpu_s:.2f}", "", f"{client_ms:.1f}", "")
    return shown


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for key, value in run(given.photos, given.rounds).items():
        print(f"{key} {value:.4f}")


if __name__ == "__main__":
    main()
