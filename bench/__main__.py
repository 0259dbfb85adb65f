"""`python -m bench [PART …]`: every part or those named, a table, and `bench/out/results.json` (key → number).

A run of some parts keeps the other parts' keys. A part that needs what is not here is left out, and says why.
"""

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from rich.console import Console
from rich.table import Table

from bench import api, idle, library, pipeline
from bench.api import WrkMissing
from cluster.errors import ProgramMissing
from tests.postgres_server import private_postgres

RESULTS = Path(__file__).resolve().parent / "out" / "results.json"

MARKS: Mapping[str, tuple[str, float]] = {
    "queue.sqlite.batch1.jobs_per_s": ("≥", 1_000),
    "queue.sqlite.batch16.jobs_per_s": ("≥", 8_000),
    "queue.postgres.batch16.jobs_per_s": ("≥", 4_000),
    "thumbnails.cpu_ratio_to_sharp_srgb": ("≤", 0.25),
    "thumbnails.cpu_ratio_to_sharp_p3": ("≤", 0.25),
    "thumbnails.cpu_ratio_to_sharp_none": ("≤", 0.4),
    "thumbnails.psnr_delta_db": ("≤", 1.0),
    "metadata.cpu_ms": ("≤", 20),
    "transcode.cpu_ratio_to_ffmpeg": ("≤", 1.05),
    "transcode.cpu_s_per_part": ("≤", 0.5),
    "pipeline.cpu_s_per_photo": ("≤", 0.20),
    "idle.pss_mb": ("≤", 1_300),
    "library.scan.cpu_us_per_file": ("≤", 200),
    "library.rescan.ratio_to_stat": ("≤", 8),
    "library.overlap.duplicates": ("≤", 0),
    "ml.queue.batch8.share_of_bare": ("≥", 0.9),
    "ml.queue.batch32.share_of_bare": ("≥", 0.9),
    "vectors.sqlite.1000000.all.limit10.p50_ms": ("≤", 10),
    "vectors.sqlite.1000000.all.recall_at_10": ("≥", 0.98),
    "vectors.sqlite.1000000.owner.limit10.p50_ms": ("≤", 10),
    "vectors.sqlite.1000000.owner.recall_at_10": ("≥", 0.98),
    "vectors.postgres.1000000.all.limit10.p50_ms": ("≤", 10),
    "vectors.postgres.1000000.all.recall_at_10": ("≥", 0.98),
    "vectors.postgres.1000000.owner.limit10.p50_ms": ("≤", 10),
    "vectors.postgres.1000000.owner.recall_at_10": ("≥", 0.98),
}
"""What we hold ourselves to."""

Tell = Callable[[str], None]


def queue(tell: Tell) -> dict[str, float]:
    """No-op jobs through every part, on SQLite and, where it is installed, PostgreSQL."""
    from bench import queue_ray

    tell("queue: no-op jobs through Ray, three rounds at each batch")
    with databases(tell) as urls:
        return queue_ray.run(urls)


def nodes(tell: Tell) -> dict[str, float]:
    """Jobs that wait, on one, two and three nodes, and what controllers can do."""
    from bench import nodes

    tell("nodes: 100,000 jobs of 50 ms on one, two and three nodes; about a quarter of an hour")
    return nodes.run(tell)


def store(tell: Tell) -> dict[str, float]:
    """The queue's tables alone."""
    from bench import queue_store

    tell("store: enqueue, lease and settle without Ray")
    with databases(tell) as urls:
        return queue_store.run(urls)


def thumbnails(tell: Tell) -> dict[str, float]:
    """One photo's preview, thumbnail and hash, ours and sharp's."""
    from bench import thumbnails

    tell("thumbnails: ours and sharp, by turns")
    return thumbnails.run()


def metadata(tell: Tell) -> dict[str, float]:
    """What extracting one photo's metadata costs."""
    from bench import metadata

    tell("metadata: 120 photos through the queue without Ray, three rounds")
    return metadata.run()


def transcode(tell: Tell) -> dict[str, float]:
    """What transcoding a clip costs, against plain ffmpeg, and in parts."""
    from bench import transcode

    return transcode.run(tell=tell)


def ml(tell: Tell) -> dict[str, float]:
    """Pictures and texts through a ViT-B-32 with random weights, in the queue and without it."""
    from bench import ml

    return ml.run(tell)


def faces(tell: Tell) -> dict[str, float]:
    """Photos and faces through networks of buffalo_l's sizes."""
    from bench import faces

    return faces.run(tell)


def text(tell: Tell) -> dict[str, float]:
    """Reading text in pictures, and finding pictures by it."""
    from bench import text

    tell("text: previews through PP-OCR, then searches among 100,000 texts")
    with databases(tell) as urls:
        return text.run(urls)


def vectors(tell: Tell) -> dict[str, float]:
    """Nearest neighbours up to a million, and people among a hundred thousand faces."""
    from bench import vectors

    tell("vectors: 10,000, 100,000 and a million embeddings on each database; about half an hour")
    with databases(tell) as urls:
        return vectors.run(urls)


PARTS: Mapping[str, Callable[[Tell], dict[str, float]]] = {
    "queue": queue,
    "nodes": nodes,
    "store": store,
    "thumbnails": thumbnails,
    "metadata": metadata,
    "transcode": transcode,
    "pipeline": lambda tell: pipeline.run(tell=tell),
    "api": lambda tell: api.run(tell=tell),
    "idle": lambda tell: idle.run(tell=tell),
    "library": lambda tell: library.run(tell=tell),
    "ml": ml,
    "faces": faces,
    "text": text,
    "vectors": vectors,
}


@contextmanager
def databases(tell: Tell) -> Iterator[dict[str, str]]:
    """Name → URL of an empty database."""
    with tempfile.TemporaryDirectory(prefix="hb") as folder:
        sqlite = {"sqlite": f"sqlite:///{folder}/bench.db"}
        try:
            with private_postgres() as server:
                yield sqlite | {"postgres": empty_database(server)}
        except ProgramMissing as missing:
            tell(f"PostgreSQL is left out: {missing}")
            yield sqlite


def empty_database(server: str) -> str:
    """The URL of a new database on the server, as our engine takes it."""
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    parts = urlsplit(server)
    return urlunsplit(parts._replace(scheme="postgresql+psycopg", path=f"/{name}"))


def keep(results: Mapping[str, float], path: Path = RESULTS) -> dict[str, float]:
    """Write `results` over those of earlier runs; returns all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else {}
    together = dict(sorted((before | {key: round(value, 4) for key, value in results.items()}).items()))
    part = path.with_suffix(".part")
    part.write_text(json.dumps(together, indent=2) + "\n")
    part.replace(path)
    return together


def table(results: Mapping[str, float]) -> Table:
    """Figures with the mark that each is held to, where there is one."""
    shown = Table(title="Bench", title_justify="left")
    shown.add_column("key")
    shown.add_column("measured", justify="right")
    shown.add_column("mark", justify="right")
    for key, value in sorted(results.items()):
        sign, mark = MARKS.get(key, ("", 0.0))
        shown.add_row(key, number(value), f"[{color(key, value)}]{sign} {number(mark)}[/]" if sign else "")
    return shown


def color(key: str, value: float) -> str:
    """Green when the mark is met."""
    sign, mark = MARKS[key]
    met = value >= mark if sign == "≥" else value <= mark
    return "green" if met else "red"


def number(value: float) -> str:
    """Four figures that count."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def main() -> int:
    """Measure; 1 when a part failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none means all")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    console = Console(width=120)
    measured: dict[str, float] = {}
    failed = False
    for part in parts:
        started_s = time.monotonic()
        try:
            results = PARTS[part](lambda text: console.print(f"[dim]{text}[/dim]", highlight=False))
        except (ProgramMissing, WrkMissing) as missing:
            console.print(f"{part} is left out: {missing}")
            continue
        except Exception:
            console.print_exception(show_locals=False)
            failed = True
            continue
        measured |= results
        keep(results)
        console.print(f"{part}: {time.monotonic() - started_s:.0f} s")
    console.print(table(measured))
    console.print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}: on a busy machine trust CPU time, not rates.")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
