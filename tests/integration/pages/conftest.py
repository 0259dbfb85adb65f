"""What the tests of the pages stand on: one browser, and a server of our own for each test."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from cluster.names import QueueName
from cluster.queue.job import FailedAttempt, Lease, NewJob
from cluster.queue.store import Fail, Finish
from serve_app.app import create_app
from serve_app.cluster_nodes import ClusterNodes
from tests.api_stack import ApiStack, api_stack, served
from tests.browser import DESK, browser, tab

ADMIN = {"email": "ada@example.org", "password": "correct horse", "name": "Ada"}


@dataclass(frozen=True)
class Site:
    """A server without workers: tests lease and settle themselves."""

    stack: ApiStack
    url: str
    browser: Browser

    def sign_up(self) -> None:
        assert httpx.post(f"{self.url}/api/auth/admin-sign-up", json=ADMIN).status_code == 201

    @contextlib.contextmanager
    def page(self, signed_in: bool = True, size: tuple[int, int] = DESK, **options: Any) -> Iterator[Page]:
        """A tab; signed in as the admin unless told otherwise."""
        with tab(self.browser, self.url, size=size, **options) as page:
            if signed_in:
                who = {name: ADMIN[name] for name in ("email", "password")}
                assert page.request.post("/api/auth/login", data=who).status == 201
            yield page

    def enqueue(self, *jobs: NewJob) -> None:
        with self.stack.services.store.transaction() as tx:
            self.stack.services.store.enqueue(tx, jobs)

    def lease(self, queue: QueueName, limit: int = 1) -> list[Lease]:
        with self.stack.services.store.transaction() as tx:
            return self.stack.services.store.lease(tx, queue, limit, 600, "controller", "first")

    def finish(self, *leases: Lease, duration_ms: int = 100, node: str = "desk") -> None:
        with self.stack.services.store.transaction() as tx:
            self.stack.services.store.settle(tx, [Finish(one, duration_ms=duration_ms, node=node) for one in leases])

    def fail(self, attempt: FailedAttempt, *leases: Lease) -> None:
        with self.stack.services.store.transaction() as tx:
            self.stack.services.store.settle(tx, [Fail(one, attempt) for one in leases])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Not for the whole run: while it lives, Playwright's loop runs in this thread, and others cannot run theirs."""
    with browser() as running:
        yield running


@contextlib.contextmanager
def site_of(nodes: ClusterNodes, chromium: Browser, database_url: str, folder: Path) -> Iterator[Site]:
    """One with these machines."""
    with api_stack(database_url, folder / "media") as made:
        services = replace(made.services, nodes=nodes)
        stack = replace(made, services=services, app=create_app(services))
        with served(stack) as url:
            yield Site(stack, url, chromium)


@pytest.fixture
def site(chromium: Browser, sqlite_database_url: str, tmp_path: Path) -> Iterator[Site]:
    with api_stack(sqlite_database_url, tmp_path / "media") as stack, served(stack) as url:
        yield Site(stack, url, chromium)
