"""CPU time of metadata extraction per photo, in all processes: this one with its queue and rows, and exiftool.

`metadata.cpu_ms` is the whole job from lease to settled rows on SQLite, run without Ray, after a few photos that start
what must start (exiftool does once in 2,000 files). `metadata.work_cpu_ms` is the work on
the file alone, and `metadata.exiftool_cpu_ms` exiftool's share of it. The photos are `make_corpus.py`'s, 12 megapixels
with full EXIF and mostly a position.

    python -m bench.metadata
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil

from bench.make_corpus import Corpus, large_jpegs, make
from bench.thumbnails import OUT as THUMBNAILS_OUT
from bench.thumbnails import SHARED
from cluster.names import QueueName
from tasks.jobs.extract_metadata import MetadataInput, work
from tasks.tools import Tools
from tests.inline_stack import Stack, inline_stack

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FEW = 8


def run(photos: int = 24, rounds: int = 3) -> dict[str, float]:
    """Medians over the rounds."""
    files = corpus(photos)
    alone = [work_cost_ms(files) for _ in range(rounds)]
    whole = [job_cpu_ms(files * 5) for _ in range(rounds)]
    return {
        "metadata.cpu_ms": median(whole),
        "metadata.work_cpu_ms": median(cost[0] for cost in alone),
        "metadata.exiftool_cpu_ms": median(cost[1] for cost in alone),
        "metadata.work_wall_ms": median(cost[2] for cost in alone),
    }


def corpus(count: int) -> list[Path]:
    """Made once and kept."""
    folder = THUMBNAILS_OUT.parent / "corpus-metadata"
    if len(list(folder.glob("*.jpg"))) != count:
        sources = large_jpegs(SHARED / "media") if SHARED.is_dir() else ()
        make(Corpus(out=folder, count=count, sources=sources, jobs=os.cpu_count() or 1))
    return sorted(folder.glob("*.jpg"))


def work_cost_ms(files: Sequence[Path]) -> tuple[float, float, float]:
    """(CPU of this process and exiftool, exiftool's part, wall) per file. The first file warms up."""
    tools = Tools()
    inputs = [MetadataInput(str(file), file.name, None, False, NOW, find_place=True) for file in files]
    work(inputs[0], tools)
    child = psutil.Process(tools.exiftool.process_id)
    began_s, own_s, child_s = time.perf_counter(), time.process_time(), sum(child.cpu_times()[:2])
    for given in inputs:
        work(given, tools)
    own_s, child_s = time.process_time() - own_s, sum(child.cpu_times()[:2]) - child_s
    wall_s = time.perf_counter() - began_s
    tools.close()
    return tuple(seconds * 1000 / len(files) for seconds in (own_s + child_s, child_s, wall_s))  # type: ignore[return-value]


def job_cpu_ms(files: Sequence[Path]) -> float:
    """CPU of this process and its children per file, from accepted uploads until their metadata is saved."""
    with (
        tempfile.TemporaryDirectory(prefix="hb") as folder,
        inline_stack(f"sqlite:///{folder}/bench.db", Path(folder)) as stack,
    ):
        with stack.store.transaction() as tx:
            stack.store.pause(tx, QueueName.STORAGE_TEMPLATE_MIGRATION, "bench")
        for few_or_all in (files[:FEW], files):
            for number, file in enumerate(few_or_all):
                stack.upload(f"{number}.jpg", file, link=True)
            before_s = cpu_s()
            extract(stack)
            used_s = cpu_s() - before_s
    return used_s * 1000 / len(files)


def extract(stack: Stack) -> None:
    """Run the metadata queue until it is empty."""
    while True:
        stack.dispatcher.tick()
        stack.settler.tick()
        with stack.store.transaction(reading=True) as tx:
            left = stack.store.counts(tx)[QueueName.METADATA_EXTRACTION]
        if not left.waiting + left.active + left.delayed:
            return


def cpu_s() -> float:
    """Of this process, and of the children that live."""
    children = [sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True)]
    return time.process_time() + sum(children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=24, help="different ones (default 24)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (default 3)")
    arguments = parser.parse_args()
    for key, value in run(arguments.photos, arguments.rounds).items():
        print(f"{key:40} {value:10.3f}")


if __name__ == "__main__":
    main()
