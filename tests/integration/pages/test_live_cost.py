"""What an open page costs the server, and whether it stays smooth, while a hundred thousand jobs have failed and others
come and go."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import text

from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import asset_job
from cluster.queue.store import Finish
from serve_app.app import create_app
from serve_app.cluster_nodes import ClusterNode
from tests.api_stack import ApiStack, api_stack, served, served_apart
from tests.browser import tab
from tests.integration.pages.conftest import ADMIN

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

FAILED = 100_000
WATCHED_S = 15.0
QUEUES = {QUEUE_OF_JOB[name]: name for name in JobName}


@pytest.fixture
def stack(sqlite_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiStack]:
    """A hundred thousand failed jobs, and something that waits in every queue."""
    with api_stack(sqlite_database_url, tmp_path_factory.mktemp("media")) as stack:
        with stack.services.database.session() as session:
            session.execute(
                text(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
                    "INSERT INTO job (queue, name, payload, state, order_key, enqueued_at, run_at, attempts, deaths, "
                    "alone, last_error) SELECT 'thumbnailGeneration', 'AssetGenerateThumbnails', '{}', 'failed', "
                    "i, i, i, 1, 0, false, 'broken' FROM n"
                ),
                {"count": FAILED},
            )
            session.execute(
                text(
                    "INSERT INTO job_attempt (job_id, name, queue, attempt, error_class, message, traceback_tail, "
                    "stderr_tail, node, duration_ms, peak_memory_mb, at) SELECT id, name, queue, 1, 'UnreadableImage', "
                    "'broken', '', '', 'desk', 5, 5, 5 FROM job"
                )
            )
            for name in QUEUES.values():
                stack.services.store.enqueue(session, [asset_job(name, f"asset-{n}") for n in range(50)])
        yield stack


@contextmanager
def busy(stack: ApiStack) -> Iterator[None]:
    """Ten times a second a job of each queue ends and another comes."""
    over = threading.Event()

    def move() -> None:
        number, store = 1000, stack.services.store
        while not over.wait(0.1):
            number += 1
            with store.transaction() as tx:
                for queue, name in QUEUES.items():
                    store.settle(tx, [Finish(one, duration_ms=50) for one in store.lease(tx, queue, 1, 30, "c", "1")])
                    store.enqueue(tx, [asset_job(name, f"asset-{number}")])

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield
    finally:
        over.set()
        mover.join()


def cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def cpu_share(pid: int) -> float:
    before, began_s = cpu_s(pid), time.monotonic()
    time.sleep(WATCHED_S)
    return (cpu_s(pid) - before) / (time.monotonic() - began_s)


def test_an_open_stream_costs_less_than_a_hundredth_of_a_core(stack: ApiStack, report: Callable[[str], None]) -> None:
    with served_apart(stack) as (url, pid), busy(stack):
        httpx.post(f"{url}/api/auth/admin-sign-up", json=ADMIN)
        token = httpx.post(f"{url}/api/auth/login", json=ADMIN).json()["accessToken"]
        heard: list[int] = []
        over = threading.Event()

        def listen() -> None:
            headers = {"authorization": f"Bearer {token}"}
            with httpx.stream("GET", f"{url}/api/queue-activity/stream", headers=headers, timeout=30) as answer:
                for line in answer.iter_lines():
                    heard.append(len(line))
                    if over.is_set():
                        return

        alone = cpu_share(pid)
        listener = threading.Thread(target=listen)
        listener.start()
        time.sleep(2)  # the first look reads everything
        before, watched = len(heard), cpu_share(pid)
        over.set()
        listener.join()
    report(
        f"an open jobs page: {(watched - alone) * 100:.2f} % of a core, {len(heard) - before} lines in {WATCHED_S} s"
    )
    assert len(heard) > before
    assert watched - alone < 0.01


class EightMachines:
    """All queues on each; the last two share a name."""

    def live(self) -> Sequence[ClusterNode]:
        names = [*(f"desk-{number}" for number in range(7)), "desk-6"]
        return [ClusterNode(name, f"10.0.0.{n}", 8, 1, 2**35, (), tuple(QueueName)) for n, name in enumerate(names)]


def test_pages_stay_smooth(stack: ApiStack, chromium: Browser, report: Callable[[str], None]) -> None:
    services = replace(stack.services, nodes=EightMachines())
    with served(replace(stack, services=services, app=create_app(services))) as url, busy(stack):
        httpx.post(f"{url}/api/auth/admin-sign-up", json=ADMIN)
        for path in ("/admin/jobs", "/admin/jobs/thumbnail-generation", "/admin/workers"):
            with tab(chromium, url) as page:
                page.request.post("/api/auth/login", data={name: ADMIN[name] for name in ("email", "password")})
                page.add_init_script(
                    "window.longTasks = []; new PerformanceObserver(list => list.getEntries().forEach("
                    "one => window.longTasks.push(one.duration))).observe({ entryTypes: ['longtask'] })"
                )
                page.goto(path)
                if path == "/admin/workers":
                    expect(page.locator("#nodes .card")).to_have_count(8)
                else:
                    page.locator("#connection").wait_for(state="hidden")
                page.evaluate("window.longTasks.length = 0")  # what the page's start took
                page.wait_for_timeout(10_000)
                longest = page.evaluate("Math.max(0, ...window.longTasks)")
                report(f"{path} with {FAILED} failed jobs: longest task {longest:.0f} ms")
                assert longest < 100
