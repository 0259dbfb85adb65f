"""What reading text in pictures costs, and what finding it again takes.

`text.read.<what>.cpu_s`: CPU seconds for one preview (1920 x 1440), in a process that has both networks loaded, on one
thread: a page of 24 lines, a sign of two, none at all. `text.read.peak_mb`: the most that this process held, and
`text.read.panorama_peak_mb` with a preview of 20 to 1. `text.search.<database>.p50_ms`, `.p99_ms`: a page of results
for two words among 100,000 pictures with 30 words each, a third of them with a letter misread.

    python -m bench.text
"""

import json
import random
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import insert
from sqlalchemy import text as sql

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queries.asset_search import AssetFilter, search
from cluster.db.tables.asset import Asset
from cluster.db.tables.learned import OcrSearch
from cluster.db.text_search import searchable
from tests.inline_stack import add_user
from tests.shared_media import REPOSITORY

PICTURES, WORDS_EACH, VOCABULARY, SEARCHES = 100_000, 30, 20_000, 60
SIZE = (1920, 1440)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def run(urls: Mapping[str, str]) -> dict[str, float]:
    """`urls`: name → URL of an empty database."""
    found = read_apart()
    for name, url in urls.items():
        found |= {f"text.search.{name}.{key}": value for key, value in search_ms(url).items()}
    return found


def read_apart() -> dict[str, float]:
    """In a process of its own, whose memory is that of the model."""
    command = [sys.executable, "-m", "bench.text", "--read"]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
    results: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return results


def read(rounds: int = 5) -> dict[str, float]:
    """Medians over the rounds."""
    from tasks.ml.ocr import TextReader, ocr_files
    from tests.printed_text import picture_of

    reader = TextReader(ocr_files(Path("/nowhere"), "PP-OCRv6_small"), threads=1)
    shown = {
        "page": picture_of(*((f"Line {row} of a printed page", (60, 70 + 56 * row)) for row in range(24)), size=SIZE),
        "sign": picture_of(("PLATFORM 9", (200, 400)), ("to Hogsmeade", (200, 700)), size=SIZE),
        "nothing": picture_of(size=SIZE),
    }
    limits = {"max_resolution": 736, "min_detection_score": 0.5, "min_recognition_score": 0.8}
    found: dict[str, float] = {}
    for what, picture in shown.items():
        taken = []
        for _ in range(rounds):
            began_s = time.process_time()
            reader.read(picture, **limits)  # type: ignore[arg-type]
            taken.append(time.process_time() - began_s)
        found[f"text.read.{what}.cpu_s"] = median(taken)
    found["text.read.peak_mb"] = peak_mb()
    reader.read(picture_of(("A WIDE VIEW", (9000, 700)), size=(28_800, 1440)), **limits)  # type: ignore[arg-type]
    found["text.read.panorama_peak_mb"] = peak_mb()
    return found


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def search_ms(url: str) -> dict[str, float]:
    """Milliseconds a search, rows included."""
    database, chance = Database(url), random.Random(1)
    migrate(database.durable)
    words = vocabulary(chance)
    owner, texts = add_user(database), [chance.choices(words, k=WORDS_EACH) for _ in range(PICTURES)]
    fill(database, owner, texts)
    taken = []
    for number in range(SEARCHES):
        start = chance.randrange(WORDS_EACH - 1)
        wanted = " ".join(chance.choice(texts)[start : start + 2])
        if number % 3 == 0:
            wanted = wanted.replace(wanted[2], "x", 1)
        began_s = time.perf_counter()
        with database.reader() as session:
            found = search(session, AssetFilter(owner_id=owner, has_text=wanted), (), limit=251)
        taken.append(1000 * (time.perf_counter() - began_s))
        assert found or number % 3 == 0, wanted
    database.close()
    return {"p50_ms": median(taken), "p99_ms": quantiles(taken, n=100, method="inclusive")[98]}


def vocabulary(chance: random.Random) -> list[str]:
    """Words that may be spoken."""
    syllables = [first + second for first in "bcdfghklmnprstvw" for second in "aeiou"]
    return ["".join(chance.choices(syllables, k=chance.randint(2, 4))) for _ in range(VOCABULARY)]


def fill(database: Database, owner: str, texts: Sequence[Sequence[str]]) -> None:
    for start in range(0, len(texts), 5_000):
        page = [(str(uuid.uuid4()), words) for words in texts[start : start + 5_000]]
        with database.session() as session:
            session.execute(insert(Asset), [asset_row(owner, asset_id) for asset_id, _ in page])
            rows = [{"asset_id": asset_id, "text": searchable(" ".join(words))} for asset_id, words in page]
            session.execute(insert(OcrSearch), rows)
    with database.session() as session:
        session.execute(sql("ANALYZE"))


def asset_row(owner: str, asset_id: str) -> dict[str, object]:
    times = dict.fromkeys(("file_created_at", "file_modified_at", "local_date_time", "created_at", "updated_at"), NOW)
    names = {"original_path": f"/{asset_id}.jpg", "original_file_name": "a.jpg", "checksum": asset_id.encode()[:20]}
    return {"id": asset_id, "owner_id": owner, "type": "IMAGE", **names, **times}


def main() -> None:
    if sys.argv[1:] == ["--read"]:
        print(json.dumps(read()))
        return
    from bench.__main__ import databases

    with databases(print) as urls:
        for key, value in run(urls).items():
            print(f"{key:40} {value:10.2f}")


if __name__ == "__main__":
    main()
