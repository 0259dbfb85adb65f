"""The door and the jobs page in a real browser: who may come in, what the cards show, what their buttons do."""

import re
from datetime import datetime, timedelta

from playwright.sync_api import Page, Route, expect

from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, NewJob, asset_job
from tests.browser import PHONE
from tests.integration.pages.conftest import ADMIN, Site

THUMBNAILS = QueueName.THUMBNAIL_GENERATION
ORDER = [
    "Generate Thumbnails",
    "Extract Metadata",
    "External Libraries",
    "Sidecar Metadata",
    "Smart Search",
    "Duplicate Detection",
    "Face Detection",
    "Facial Recognition",
    "OCR",
    "Transcode Videos",
    "Storage Template Migration",
    "Migration",
]


def thumbnails(count: int, first: int = 0) -> list[NewJob]:
    return [asset_job(JobName.ASSET_GENERATE_THUMBNAILS, f"asset-{first + number}") for number in range(count)]


def waiting(page: Page, queue: QueueName = THUMBNAILS) -> str:
    return page.locator(f"#{queue} [data-count=waiting]").inner_text()


def test_the_first_visitor_makes_the_admin_and_signs_in(site: Site) -> None:
    with site.page(signed_in=False) as page:
        page.goto("/")
        page.get_by_label("Your name").fill(ADMIN["name"])
        page.get_by_label("E-mail").fill(ADMIN["email"])
        page.get_by_label("Password", exact=True).fill(ADMIN["password"])
        page.get_by_label("Password once more").fill("something else")
        page.get_by_role("button", name="Create the admin").click()
        expect(page.get_by_role("alert")).to_have_text("The two passwords differ.")
        page.get_by_label("Password once more").fill(ADMIN["password"])
        page.get_by_role("button", name="Create the admin").click()
        page.wait_for_url("**/photos")
        page.get_by_role("link", name="Jobs").click()
        expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()

        page.get_by_label("Account: Ada").click()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/auth/login*")
        page.goto("/admin/jobs#ocr")
        page.wait_for_url("**/auth/login?next=*")
        page.get_by_label("E-mail").fill(ADMIN["email"])
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("Incorrect email or password")
        page.get_by_label("Password").fill(ADMIN["password"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/jobs")


def test_cards_stand_in_immichs_order_with_their_buttons(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/jobs")
        assert page.locator(".card h2").all_inner_texts() == ORDER
        buttons = [card.locator(".buttons button").all_inner_texts() for card in page.locator(".card").all()]
        assert buttons[:4] == [["All", "Missing"], ["All", "Missing"], ["Rescan"], ["Sync", "Discover"]]
        assert buttons[6:8] == [["Reset", "Refresh", "Missing"], ["Reset", "Missing"]]
        assert buttons[10:] == [["Start"], ["Start"]]


def test_counts_move_without_a_reload(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/jobs")
        assert waiting(page) == "0"
        site.enqueue(*thumbnails(3))
        card = page.locator(f"#{THUMBNAILS}")
        expect(card.locator("[data-count=waiting]")).to_have_text("3")
        held = site.lease(THUMBNAILS, 2)
        expect(card.locator("[data-count=active]")).to_have_text("2")
        expect(card.locator(".badges")).to_have_text("Active")
        site.finish(held[0])
        site.fail(FailedAttempt("UnreadableImage", "IMG_1.jpg: truncated"), held[1])
        expect(card.locator(".badges")).to_contain_text("1 failed")
        expect(card.locator(".pace")).to_contain_text("jobs/")
        expect(card.locator("svg rect.good")).to_have_count(1)
        card.get_by_role("button", name="Clear failed jobs of Generate Thumbnails").click()
        expect(card.locator(".badges")).to_have_text("")


def test_a_pause_says_who_why_and_until_when_and_ends_by_resume(site: Site) -> None:
    site.sign_up()
    site.enqueue(*thumbnails(2))
    with site.page() as page:
        page.goto("/admin/jobs")
        card = page.locator(f"#{THUMBNAILS}")
        card.get_by_role("button", name="Pause").click()
        page.get_by_label("Until").select_option("in an hour")
        page.get_by_label("Reason").fill("<b>guests</b>")
        page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        expect(card.locator(".badges")).to_have_text("Paused")
        now = datetime.now()
        day = "" if (now + timedelta(hours=1)).date() == now.date() else r"\d{1,2} \w{3} \d{4}, "
        until = rf"{day}\d\d:\d\d"
        expect(card.locator(".why")).to_have_text(re.compile(rf"^Paused by Ada until {until}: <b>guests</b>$"))
        assert site.lease(THUMBNAILS) == []
        page.get_by_role("button", name="Resume 1 paused job").click()
        expect(card.get_by_role("button", name="Pause")).to_be_visible()
        assert len(site.lease(THUMBNAILS)) == 1

        card.get_by_role("button", name="Clear").click()
        expect(page.locator(".toast")).to_contain_text("Cleared jobs for: Generate Thumbnails")
        expect(card.locator("[data-count=waiting]")).to_have_text("0")


def test_a_reset_is_asked_about_first(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/jobs")
        card = page.locator(f"#{QueueName.FACE_DETECTION}")
        card.get_by_role("button", name="Reset").click()
        dialog = page.get_by_role("dialog", name="Reset: Face Detection")
        dialog.get_by_role("button", name="Cancel").click()
        assert waiting(page, QueueName.FACE_DETECTION) == "0"
        card.get_by_role("button", name="Reset").click()
        dialog.get_by_role("button", name="Reset").click()
        expect(card.locator("[data-count=waiting]")).to_have_text("1")


def test_a_job_is_created_from_the_keyboard(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/jobs")
        page.keyboard.press("Shift+N")
        create = page.get_by_role("button", name="Create", exact=True)
        page.get_by_label("Job", exact=True).fill("Tag")
        expect(create).to_be_disabled()
        page.get_by_label("Job", exact=True).fill("Tag cleanup")
        create.click()
        expect(page.locator(".toast")).to_have_text("Job created")
        expect(page.locator("[data-row=backgroundTask] [data-count=waiting]")).to_have_text("1")


def test_a_waiting_queue_says_why(site: Site) -> None:
    site.sign_up()
    site.enqueue(*thumbnails(1))
    store = site.stack.services.store
    with store.transaction() as tx:
        store.say_why_waiting(tx, {THUMBNAILS: "no live node serves thumbnailGeneration"})
    with site.page(size=PHONE) as page:
        page.goto("/admin/jobs")
        expect(page.locator(f"#{THUMBNAILS} .why")).to_have_text("Waits: no live node serves thumbnailGeneration")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_who_is_no_admin_sees_no_page_of_theirs(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        session = page.request.post("/api/admin/users", data={"email": "b@x.org", "password": "12345678", "name": "B"})
        assert session.status == 201
    with site.page(signed_in=False) as page:
        page.request.post("/api/auth/login", data={"email": "b@x.org", "password": "12345678"})
        assert page.goto("/admin/jobs").status == 403  # type: ignore[union-attr]
        expect(page.get_by_role("heading", name="Admins only")).to_be_visible()
        assert page.request.get("/api/queue-activity/stream").status == 403


def test_who_was_signed_out_elsewhere_is_led_to_the_door(site: Site) -> None:
    site.sign_up()
    with site.page() as page:

        def refuse(route: Route) -> None:
            page.context.clear_cookies()
            route.fulfill(status=401)

        page.route("**/queue-activity/stream", refuse)
        page.goto("/admin/jobs")
        page.wait_for_url("**/auth/login?next=%2Fadmin%2Fjobs")


def test_all_queues_together_have_a_forecast_that_moves(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/jobs")
        expect(page.locator("#summary")).to_have_text("Nothing to do")
        site.enqueue(*thumbnails(61))
        site.finish(*site.lease(THUMBNAILS), duration_ms=60_000)
        site.lease(THUMBNAILS, 3)
        expect(page.locator("#summary")).to_have_text("3 active, 57 waiting · about 19 min left")  # three at once
        with site.stack.services.store.transaction() as tx:
            site.stack.services.store.pause(tx, THUMBNAILS)
        expect(page.locator("#summary")).to_have_text("3 active, 57 waiting")


def test_every_page_is_named_in_a_phones_bar(site: Site) -> None:
    site.sign_up()
    with site.page(size=PHONE) as page:
        page.goto("/admin/audit")
        for link in page.get_by_label("Pages").get_by_role("link").all():
            expect(link).to_be_in_viewport(ratio=1)


def test_a_task_is_run_from_a_phone(site: Site) -> None:
    site.sign_up()
    with site.page(size=PHONE) as page:
        page.goto("/admin/schedule")
        expect(page.get_by_role("button", name="Run now: Nightly tasks")).to_be_in_viewport(ratio=1)
