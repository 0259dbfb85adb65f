"""A person at the browser, in front of the whole server: signs up, drops photos, watches the queues, pauses and resumes
one, finds out why a file failed, mends it and tries again, ends an encode, drains the machine and lets it work again,
runs the nightly tasks, and looks at it all on a phone."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import PHONE, browser, tab
from tests.clips import ffmpeg
from tests.e2e.photos import make_photos
from tests.e2e.real_stack import EMAIL, NAME, PASSWORD, RealStack, real_stack, wait_until
from tests.integration.pages.test_photos_page import DROP
from tests.programs import program

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

WORK_MS = 120_000


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[RealStack]:
    program("exiftool")
    with real_stack(3431, tmp_path / "stack") as running:
        yield running


@pytest.fixture
def chromium() -> Iterator[Browser]:
    with browser() as running:
        yield running


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    page.evaluate(DROP, [{"name": name, "content": base64.b64encode(content).decode()} for name, content in files])


def test_a_library_is_made_watched_and_mended_in_the_browser(
    stack: RealStack, chromium: Browser, tmp_path: Path
) -> None:
    photos = [(path.name, path.read_bytes()) for path in make_photos(tmp_path / "photos", 8, seed=3)]
    whole = photos[0][1]
    clip = tmp_path / "clip.mkv"
    pictures = "testsrc2=size=1920x1080:rate=30:duration=90"
    ffmpeg("-f", "lavfi", "-i", pictures, "-c:v", "mpeg4", "-q:v", "5", clip)
    with tab(chromium, stack.url) as page:
        page.goto("/")
        page.get_by_label("Your name").fill(NAME)
        page.get_by_label("E-mail").fill(EMAIL)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("Password once more").fill(PASSWORD)
        page.get_by_role("button", name="Create the admin").click()
        page.wait_for_url("**/photos")
        stack.sign_in()

        watching = page.context.new_page()
        pause(watching, "thumbnail-generation")
        watching.goto("/admin/jobs")
        drop(page, *photos[1:], ("broken.jpg", whole[: len(whole) // 3]))
        expect(page.locator("#uploads-title")).to_have_text("8 uploaded", timeout=WORK_MS)
        thumbnails = watching.locator("#thumbnailGeneration")
        expect(thumbnails.locator("[data-count=waiting]")).not_to_have_text("0", timeout=WORK_MS)
        thumbnails.get_by_role("button", name="Resume").click()
        expect(thumbnails.locator("svg rect.good").first).to_be_attached(timeout=WORK_MS)
        wait_until(stack.is_idle, 120, "queues to be empty", stack.still_runs)
        failed = [name for name, count in stack.failed().items() if count]
        assert failed, "a broken file fails somewhere"
        expect(watching.locator(f"#{failed[0]} .badges")).to_contain_text("failed")

        # why, mended, tried again
        watching.locator(f"#{failed[0]} .badges a").click()
        story = watching.locator("#failures > li").first
        expect(story).to_contain_text("broken.jpg")
        (asset_id,) = {job["data"]["id"] for job in stack.failed_jobs(failed[0])}
        original = Path(stack.asset(asset_id)["originalPath"])
        original.write_bytes(whole)
        story.get_by_role("button", name="Retry").click()
        expect(watching.locator("#no-failures")).to_be_visible(timeout=WORK_MS)
        wait_until(stack.is_idle, 120, "the mended file", stack.still_runs)
        assert not stack.failed().get(failed[0])

        # an encode is ended
        page.goto("/photos")
        page.locator("#files").set_input_files(clip)
        watching.goto("/admin/jobs/video-conversion")
        row = watching.locator("#running tbody tr").first
        expect(row).to_be_visible(timeout=WORK_MS)
        while row.is_visible():
            row.get_by_role("button", name="Cancel").click()
            watching.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
            watching.wait_for_timeout(1000)
        wait_until(stack.is_idle, 60, "the encode to end", stack.still_runs)

        drain_and_let_work_again(watching, page, photos[0][1])
        wait_until(stack.is_idle, 60, "the photo after the drain", stack.still_runs)

        watching.goto("/admin/schedule")
        watching.get_by_role("button", name="Run now: Nightly tasks").click()
        expect(watching.locator(".toast")).to_have_text("Started: Nightly tasks")
        wait_until(stack.is_idle, 120, "the nightly tasks", stack.still_runs)
        watching.reload()
        expect(watching.locator("[data-entry=nightly]")).to_contain_text("done")
        watching.goto("/admin/audit")
        expect(watching.locator("#lines")).to_contain_text("cancel")
        on_a_phone(watching)
        watching.close()
        page.goto("about:blank")  # no stream is open when the server stops


def pause(page: Page, queue: str) -> None:
    page.goto(f"/admin/jobs/{queue}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def drain_and_let_work_again(watching: Page, page: Page, photo: bytes) -> None:
    """While the only machine is drained, a new photo waits and its queue says why."""
    watching.goto("/admin/workers")
    machine = watching.locator("#nodes .card")
    machine.get_by_role("button", name="Drain").click()
    watching.locator("#confirm-ok").click()
    expect(machine.locator(".badge").first).to_have_text("Drained", timeout=WORK_MS)
    watching.wait_for_timeout(3000)  # the controller asks every two seconds who is drained
    drop(page, ("after.jpg", photo + b"\0"))
    expect(page.locator("#uploads-title")).to_have_text("2 uploaded", timeout=WORK_MS)
    watching.goto("/admin/jobs")
    expect(watching.locator("#metadataExtraction")).to_contain_text("drained", timeout=WORK_MS)
    watching.goto("/admin/workers")
    machine.get_by_role("button", name="Let it work again").click()
    expect(machine.locator(".badge").first).to_have_text("Alive", timeout=WORK_MS)


def on_a_phone(page: Page) -> None:
    """Nothing is wider than the screen, and each page can be reached."""
    width, height = PHONE
    page.set_viewport_size({"width": width, "height": height})
    for path in ("/photos", "/admin/jobs", "/admin/workers", "/admin/schedule", "/admin/settings", "/admin/audit"):
        page.goto(path)
        page.wait_for_load_state("load")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
