"""The workers page where a cluster has machines: one is drained by its button, and let work again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from cluster.names import QueueName
from serve_app.cluster_nodes import ClusterNode
from serve_app.services.nodes import read_drains
from tests.integration.pages.conftest import Site, site_of


class OneMachine:
    def live(self) -> Sequence[ClusterNode]:
        return [ClusterNode("attic", "10.0.0.7", 8, 1, 2**35, ("encoding",), (QueueName.VIDEO_CONVERSION,))]


@pytest.fixture
def site(chromium: Browser, sqlite_database_url: str, tmp_path: Path) -> Iterator[Site]:
    with site_of(OneMachine(), chromium, sqlite_database_url, tmp_path) as made:
        yield made


def test_a_machine_is_drained_and_let_work_again(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/workers")
        attic = page.locator("#nodes .card")
        expect(attic.locator(".badge").first).to_have_text("Alive")
        attic.get_by_role("button", name="Drain").click()
        page.locator("#confirm-ok").click()
        expect(attic.locator(".badge").first).to_have_text("Drained")
        expect(attic).to_contain_text("by Ada")
        with site.stack.services.database.reader() as session:
            assert set(read_drains(site.stack.services, session)) == {"attic"}
        attic.get_by_role("button", name="Let it work again").click()
        expect(attic.locator(".badge").first).to_have_text("Alive")
        with site.stack.services.database.reader() as session:
            assert read_drains(site.stack.services, session) == {}
