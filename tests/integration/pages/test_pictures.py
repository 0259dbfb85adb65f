"""Every page, light and dark: looked at by axe, which knows what people with other eyes and hands need, and drawn for
`tests/e2e/screenshots`."""

import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page
from sqlalchemy import insert

from cluster.db.tables.job import JobStatistic
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, asset_job
from cluster.queue.store import InHand
from serve_app.cluster_nodes import ClusterNode
from tests.browser import DESK, PHONE, picture
from tests.inline_server import inline_server
from tests.integration.pages.conftest import ADMIN, Site, site_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

Q, J = QueueName, JobName
TRACEBACK = """Traceback (most recent call last):
  File "tasks/run_call.py", line 74, in _run_one
    returned = job.work(given, tools)
  File "tasks/media/image.py", line 131, in decode
    raise UnreadableImage(f"{path.name}: {reason}") from error
cluster.errors.UnreadableImage: IMG_2041.CR3: the file ends in the middle of its picture"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, from the registry that npm is set to."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing: nothing here can fetch axe-core")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        [npm, "install", "--silent", "--prefix", str(folder), "axe-core@4"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot fetch axe-core: {done.stderr[-300:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


class TwoMachines:
    """What a small cluster looks like."""

    def live(self) -> Sequence[ClusterNode]:
        everything = tuple(sorted(QueueName))
        encoding = (QueueName.VIDEO_CONVERSION, QueueName.THUMBNAIL_GENERATION, QueueName.METADATA_EXTRACTION)
        return [
            ClusterNode("attic", "10.0.0.7", 8, 1, 2**35, ("encoding",), encoding, {"floor": "third"}),
            ClusterNode("studio", "10.0.0.2", 4, 0, 2**34, ("api", "microservices"), everything[:-5]),
        ]


@pytest.fixture
def site(chromium: Browser, sqlite_database_url: str, tmp_path: Path) -> Iterator[Site]:
    with site_of(TwoMachines(), chromium, sqlite_database_url, tmp_path) as made:
        yield made


def serious_findings(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def busy_server(site: Site) -> None:
    """A library that is being imported: some queues run, one is paused, one waits for a node, some jobs failed."""
    chance = random.Random(7)
    store = site.stack.services.store
    for name, count in (
        (J.ASSET_EXTRACT_METADATA, 12),
        (J.ASSET_GENERATE_THUMBNAILS, 60),
        (J.SMART_SEARCH, 240),
        (J.OCR, 300),
        (J.ASSET_ENCODE_VIDEO, 9),
    ):
        site.enqueue(*(asset_job(name, f"asset-{number}") for number in range(count)))
    broken = FailedAttempt("UnreadableImage", "IMG_2041.CR3: the file ends in the middle of its picture", TRACEBACK)
    lost = FailedAttempt(
        "WorkerLost", "Holiday.mov: its worker was killed for memory", node="attic", peak_memory_mb=1900
    )
    site.fail(
        FailedAttempt(*vars_of(broken), "exiftool: warning", "studio", 812, 310), *site.lease(Q.THUMBNAIL_GENERATION, 3)
    )
    site.fail(lost, *site.lease(Q.THUMBNAIL_GENERATION, 1))
    site.fail(lost, *site.lease(Q.VIDEO_CONVERSION, 1))
    running = site.lease(Q.THUMBNAIL_GENERATION, 3) + site.lease(Q.VIDEO_CONVERSION, 2)
    ended = site.lease(Q.METADATA_EXTRACTION, 12) + site.lease(Q.THUMBNAIL_GENERATION, 12)
    site.finish(*ended, duration_ms=420, node="studio")
    with store.transaction() as tx:
        store.note_progress(
            tx,
            [
                InHand(one.job_id, one.token, chance.choice(("studio", "attic")), chance.uniform(0.1, 0.9))
                for one in running
            ],
        )
        store.say_why_waiting(tx, {Q.OCR: "no live node serves ocr: start one with this queue"})
        until = site.stack.services.clock.now() + timedelta(hours=2)
        store.pause(tx, Q.SMART_SEARCH, "the fan is too loud", "Ada", until)
    minute = int(site.stack.services.clock.now().timestamp() // 60)
    rows = [
        {"minute": minute - ago, "queue": queue, "name": name, "done": chance.randint(*done), "skipped": 0}
        | {"failed": int(chance.random() < 0.1), "retried": 0, "run_ms": 30_000, "wait_ms": 0}
        for queue, name, done in (
            (Q.THUMBNAIL_GENERATION, J.ASSET_GENERATE_THUMBNAILS, (40, 90)),
            (Q.METADATA_EXTRACTION, J.ASSET_EXTRACT_METADATA, (60, 120)),
            (Q.VIDEO_CONVERSION, J.ASSET_ENCODE_VIDEO, (0, 3)),
            (Q.FACE_DETECTION, J.ASSET_DETECT_FACES, (10, 30)),
        )
        for ago in range(1, 29)
    ]
    with site.stack.services.database.session() as session:
        session.execute(insert(JobStatistic), rows)


def library(site: Site, folder: Path) -> None:
    """Landscapes of three months, through every job."""
    folder.mkdir()
    chance = np.random.default_rng(5)
    with httpx.Client(base_url=f"{site.url}/api") as client:
        client.post("/auth/login", json=ADMIN).raise_for_status()
        for number in range(26):
            path = folder / f"Walk {number + 1:02d}.jpg"
            landscape(chance).save(path, quality=88)
            taken = f"2026-{3 + number % 3:02d}-{1 + number:02d}T10:00:00Z"
            times = {"fileCreatedAt": taken, "fileModifiedAt": taken}
            with path.open("rb") as file:
                client.post("/assets", data=times, files={"assetData": (path.name, file)}).raise_for_status()
    with inline_server(site.stack.services.settings.database_url, site.stack.services.layout.media_root) as server:
        server.drain()


def landscape(chance: np.random.Generator) -> Image.Image:
    """A sky, a sun or none, and three ranges of hills."""
    width, height = ((900, 600), (600, 900), (1000, 560))[chance.choice(3, p=(0.6, 0.2, 0.2))]
    top, low = chance.integers(60, 200, 3), chance.integers(170, 250, 3)
    rows = np.linspace(0, 1, height)[:, None, None]
    sky = np.broadcast_to(top * (1 - rows) + low * rows, (height, width, 3))
    picture = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y, radius = chance.uniform(0.1, 0.9) * width, chance.uniform(0.12, 0.5) * height, chance.uniform(25, 60)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 236, 190))
    hill = chance.integers(40, 120, 3)
    for distance in range(3):
        base, steep = height * (0.55 + 0.14 * distance), height * chance.uniform(0.04, 0.1)
        waves, start = chance.uniform(1, 4), chance.uniform(0, 6)
        edge = [(at, base - steep * np.sin(start + at / width * waves * 3.1)) for at in range(0, width + 8, 8)]
        draw.polygon(
            [*edge, (width, height), (0, height)], fill=tuple(int(one * (1 - 0.28 * distance)) for one in hill)
        )
    return picture


def vars_of(attempt: FailedAttempt) -> tuple[str, str, str]:
    return attempt.error_class, attempt.message, attempt.traceback_tail


PAGES = (
    ("photos", "/photos"),
    ("jobs", "/admin/jobs"),
    ("queue", "/admin/jobs/thumbnail-generation"),
    ("workers", "/admin/workers"),
    ("schedule", "/admin/schedule"),
    ("settings", "/admin/settings"),
    ("audit", "/admin/audit"),
)


def show(page: Page, path: str) -> None:
    page.goto(path)
    page.wait_for_load_state("load")
    if path.endswith("thumbnail-generation"):
        page.locator("#failures > li").nth(1).get_by_text("Show what happened").click()
        page.locator(".attempt").wait_for()
    if path == "/photos":
        page.locator(".tile img.there").nth(11).wait_for()
    page.wait_for_timeout(2500)  # the stream's first word, and what is fetched


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_are_fit_to_be_seen(site: Site, axe: str, colours: Literal["light", "dark"], tmp_path: Path) -> None:
    findings: dict[str, list[str]] = {}
    with site.page(signed_in=False, colours=colours) as page:
        page.goto("/")
        picture(page, f"sign-up-{colours}")
        findings["sign-up"] = serious_findings(page, axe)
    site.sign_up()
    library(site, tmp_path / "photos")
    busy_server(site)
    with site.page(signed_in=False, colours=colours) as page:
        page.goto("/")
        picture(page, f"sign-in-{colours}")
        findings["sign-in"] = serious_findings(page, axe)
    for size, suffix in ((DESK, ""), (PHONE, "-phone")):
        with site.page(size=size, colours=colours) as page:
            page.request.put("/api/queues/migration", data={"isPaused": True, "reason": "not today"})
            page.request.put("/api/queues/migration", data={"isPaused": False})
            page.goto("/photos")
            photo = page.locator(".tile").nth(2).get_attribute("href") or ""
            for name, path in (*PAGES, ("photo", photo)):
                show(page, path)
                picture(page, f"{name}{suffix}-{colours}")
                findings[name + suffix] = serious_findings(page, axe)
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert {name: found for name, found in findings.items() if found} == {}
