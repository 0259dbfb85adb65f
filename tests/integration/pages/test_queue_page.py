"""One queue's page and the list of what admins did, in a real browser."""

import re
import uuid

import pytest
from playwright.sync_api import Route, expect

from cluster.db.queries import admin_actions
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, LeaseToken, NewJob, asset_job
from cluster.queue.store import InHand
from tests.browser import PHONE
from tests.integration.pages.conftest import Site

THUMBNAILS = QueueName.THUMBNAIL_GENERATION
SCRIPT = "<img src=x onerror=\"document.title = 'taken'\">"
UNREADABLE = FailedAttempt(
    "UnreadableImage", f"{SCRIPT}.jpg: truncated", f"Traceback {SCRIPT}", SCRIPT, "desk", 120, 80
)
LOST = FailedAttempt("WorkerLost", "b.jpg: its worker died", node="attic")


def fill(site: Site) -> None:
    """Two unreadable files, one lost worker, one job at work, and one that waits."""
    site.sign_up()
    site.enqueue(*(asset_job(JobName.ASSET_GENERATE_THUMBNAILS, f"asset-{number}") for number in range(5)))
    first, second, third, fourth = site.lease(THUMBNAILS, 4)
    site.fail(UNREADABLE, first, second)
    site.fail(LOST, third)
    store = site.stack.services.store
    with store.transaction() as tx:
        store.note_progress(tx, [InHand(fourth.job_id, LeaseToken(fourth.token), "attic", 0.4)])


def test_a_failure_is_found_understood_and_tried_again(site: Site) -> None:
    fill(site)
    with site.page() as page:
        page.goto("/admin/jobs/thumbnail-generation")
        failures = page.locator("#failures > li")
        expect(failures).to_have_count(3)
        page.get_by_label("Error").select_option("UnreadableImage")
        expect(failures).to_have_count(2)
        expect(page.locator("#failed-count")).to_have_text("2 match")

        failures.first.get_by_text("Show what happened").click()
        attempt = failures.first.locator(".attempt")
        expect(attempt).to_contain_text("Attempt 1 · UnreadableImage")
        expect(attempt.locator("pre").first).to_have_text(f"Traceback {SCRIPT}")
        expect(attempt.locator("pre").last).to_have_text(SCRIPT)
        assert "taken" not in page.title()

        failures.first.get_by_role("button", name="Retry").click()
        expect(failures).to_have_count(1)
        page.get_by_role("button", name="Retry matching").click()
        expect(page.locator("#no-failures")).to_have_text("Nothing matches.")
        expect(page.locator("#badges")).to_contain_text("3 waiting")
        page.get_by_label("Error").select_option("Any")
        page.get_by_role("button", name="Discard all").click()
        page.get_by_role("dialog").get_by_role("button", name="Discard").click()
        expect(page.locator("#no-failures")).to_have_text("Nothing failed here.")


@pytest.mark.parametrize("narrowed", [False, True])
def test_what_fails_again_at_once_comes_back_to_the_list(site: Site, narrowed: bool) -> None:
    """Between two looks of the stream, so that the count of failed jobs never changes."""
    fill(site)
    site.fail(LOST, *site.lease(THUMBNAILS, 5))
    with site.page() as page:
        page.goto("/admin/jobs/thumbnail-generation")
        failures = page.locator("#failures > li")
        expect(failures).to_have_count(4)
        if narrowed:
            page.get_by_label("Error").select_option("WorkerLost")
            expect(failures).to_have_count(2)
        there = failures.count()
        page.wait_for_timeout(2500)  # nothing of the beginning is still on its way

        def late(route: Route) -> None:
            answer = route.fetch()
            site.fail(FailedAttempt("WorkerLost", "c.jpg: again"), *site.lease(THUMBNAILS))
            route.fulfill(response=answer)

        page.route(re.compile(r"/failures(\?|$)"), late, times=1)
        failures.first.get_by_role("button", name="Retry").click()
        expect(page.locator(".toast")).to_have_text("Tried again")
        expect(failures.first).to_contain_text("c.jpg: again")
        expect(failures).to_have_count(there)


def test_what_somebody_reads_stays_until_they_have_read_it(site: Site) -> None:
    fill(site)
    with site.page() as page:
        page.goto("/admin/jobs/thumbnail-generation")
        failures = page.locator("#failures > li")
        expect(failures).to_have_count(3)
        failures.first.get_by_text("Show what happened").click()
        expect(failures.first.locator(".attempt")).to_have_count(1)
        site.fail(LOST, *site.lease(THUMBNAILS))
        expect(page.locator("#badges")).to_contain_text("4 failed")
        page.wait_for_timeout(2500)
        expect(failures).to_have_count(3)
        failures.first.get_by_text("Show what happened").click()
        expect(failures).to_have_count(4)


def test_what_was_asked_for_last_is_shown_whatever_comes_last(site: Site) -> None:
    fill(site)
    held: list[Route] = []
    with site.page() as page:
        page.goto("/admin/jobs/thumbnail-generation")
        failures = page.locator("#failures > li")
        expect(failures).to_have_count(3)
        page.route("**/failures?errorClass=UnreadableImage*", lambda route: held.append(route))
        with page.expect_request("**/failures?errorClass=UnreadableImage*"):
            page.get_by_label("Error").select_option("UnreadableImage")
        page.get_by_label("Error").select_option("WorkerLost")
        expect(failures).to_have_count(1)
        with page.expect_response("**/failures?errorClass=UnreadableImage*"):
            held[0].continue_()
        page.wait_for_timeout(300)
        expect(failures).to_have_count(1)
        expect(page.locator("#failed-count")).to_have_text("1 match")


def test_attempts_that_could_not_be_read_are_read_again(site: Site) -> None:
    fill(site)
    with site.page() as page:
        page.goto("/admin/jobs/thumbnail-generation")
        first = page.locator("#failures > li").first
        page.route("**/attempts", lambda route: route.abort())
        first.get_by_text("Show what happened").click()
        expect(page.locator(".toast.bad")).to_contain_text("The server cannot be reached")
        page.unroute("**/attempts")
        first.get_by_text("Show what happened").click()
        first.get_by_text("Show what happened").click()
        expect(first.locator(".attempt")).to_have_count(1)


def test_what_runs_shows_where_and_how_far_it_is_and_can_be_cancelled(site: Site) -> None:
    fill(site)
    with site.page(size=PHONE) as page:
        page.goto("/admin/jobs/thumbnail-generation")
        row = page.locator("#running tbody tr")
        expect(row).to_contain_text("attic")
        assert row.locator("progress").get_attribute("value") == "0.4"
        row.get_by_role("button", name="Cancel").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
        expect(page.locator("#running")).to_have_text("Nothing runs.")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

        page.goto("/admin/audit")
        expect(page.locator("#lines tr")).to_have_count(1)
        expect(page.locator("#lines tr")).to_contain_text(re.compile(r"Ada\s*cancel\s*Generate Thumbnails\s*job \d+"))


def test_what_admins_did_is_read_on_a_phone(site: Site) -> None:
    site.sign_up()
    services = site.stack.services
    with services.database.session() as session:
        at = services.clock.now()
        detail = "job.thumbnailGeneration.concurrency: 3 → 5, backup.database.cronExpression: 0 02 * * * → 0 03 * * *"
        admin_actions.add(session, at, str(uuid.uuid4()), "Ada Lovelace", "configure", "system-config", detail)
    with site.page(size=PHONE) as page:
        page.goto("/admin/audit")
        line = page.locator("#lines tr")
        expect(line).to_have_count(1)
        details = line.locator(".words")
        expect(details).to_have_text(detail)
        box, room = details.bounding_box(), page.locator("main .scroll").bounding_box()
        assert box is not None
        assert room is not None
        assert box["width"] > 300
        assert box["height"] < 120
        assert box["x"] + box["width"] <= room["x"] + room["width"] + 1
        assert page.evaluate("(box => box.scrollWidth <= box.clientWidth)(document.querySelector('main .scroll'))")


def test_failures_are_downloaded_as_json(site: Site) -> None:
    fill(site)
    with site.page() as page:
        page.goto("/admin/jobs/thumbnail-generation")
        page.get_by_label("Node").select_option("attic")
        expect(page.locator("#failures > li")).to_have_count(1)
        with page.expect_download() as download:
            page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename == "failed-thumbnailGeneration.json"
        assert "its worker died" in download.value.path().read_text()


def test_what_has_nothing_to_do_is_switched_off(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/jobs/thumbnail-generation")
        expect(page.locator("#no-failures")).to_be_visible()
        remove = page.get_by_role("button", name="Remove failed jobs")
        expect(remove).to_be_disabled()
        expect(page.locator("#download")).to_be_disabled()
        expect(page.locator("#download")).not_to_have_attribute("href", re.compile(".*"))
        site.enqueue(asset_job(JobName.ASSET_GENERATE_THUMBNAILS, "asset"))
        site.fail(LOST, *site.lease(THUMBNAILS))
        expect(remove).to_be_enabled()
        expect(page.get_by_role("link", name="Download")).to_have_attribute("href", re.compile("failures/download"))
        remove.click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(remove).to_be_disabled()
        page.goto("/admin/audit")
        expect(page.locator("#lines")).to_contain_text("1 failed job dropped")


def test_an_unknown_queue_leads_to_the_list(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/queues/nothing")
        page.wait_for_url("**/admin/jobs")
        page.goto("/admin/queues/face-detection")
        page.wait_for_url("**/admin/jobs/face-detection")


def test_the_nightly_tasks_are_run_now(site: Site) -> None:
    site.sign_up()
    site.enqueue(NewJob(JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL))
    site.finish(*site.lease(THUMBNAILS))
    with site.page() as page:
        page.goto("/admin/schedule")
        last = page.locator("[data-entry=nightly]").get_by_role("cell")
        expect(last.nth(1)).to_have_text("–")  # what somebody started elsewhere is no run of it
        expect(last.nth(2)).to_have_text("–")
        page.get_by_role("button", name="Run now: Nightly tasks").click()
        expect(page.locator(".toast")).to_have_text("Started: Nightly tasks")
        expect(last.nth(1)).to_have_text(re.compile(r"^\d\d:\d\d$"))
        expect(last.nth(2)).to_have_text("–")
        page.goto("/admin/jobs")
        expect(page.locator("#thumbnailGeneration [data-count=waiting]")).to_have_text("1")


def test_workers_show_what_they_run_and_which_queue_runs_nowhere(site: Site) -> None:
    fill(site)
    with site.page() as page:
        page.goto("/admin/workers")
        expect(page.locator("#nodes .card")).to_have_count(1)  # no cluster, but a worker was heard of
        expect(page.locator("#nodes .card")).to_contain_text("Not in the cluster")
        expect(page.locator("#nodes .card .working li")).to_contain_text("40 %")
        expect(page.locator("#matrix tr")).to_have_count(len(QueueName))
