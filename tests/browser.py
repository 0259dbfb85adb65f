"""A real browser for tests: Debian's Chromium, which `make test` installs there, driven by Playwright. On other systems
the calling test is skipped where there is none."""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.programs import program
from tests.shared_media import REPOSITORY

SCREENSHOTS = REPOSITORY / "tests" / "e2e" / "screenshots"
DESK, PHONE = (1280, 860), (390, 800)
MOST_BYTES = 60_000
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window; as root it runs without its sandbox."""
    path = program("chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield running
        finally:
            running.close()


@contextlib.contextmanager
def tab(
    running: Browser,
    base_url: str,
    colours: Literal["light", "dark"] = "light",
    size: tuple[int, int] = DESK,
    **options: Any,
) -> Iterator[Page]:
    """A fresh visitor's tab. What the page complains of in the console, and requests to other hosts, fail the test."""
    width, height = size
    context = running.new_context(
        base_url=base_url, color_scheme=colours, viewport={"width": width, "height": height}, locale="en-GB", **options
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # the browser itself writes a line for an answer of 400 and above, which tests provoke
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if is_foreign(request.url, base_url) else None)
    try:
        yield page
        assert complaints == []
    finally:
        context.close()


def is_foreign(url: str, base_url: str) -> bool:
    return not url.startswith((f"{base_url}/", "data:", "blob:"))


def picture(page: Page, name: str) -> None:
    """A small screenshot for the repository."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.jpg"
    for quality in (70, 55, 40, 25):
        page.screenshot(path=path, type="jpeg", quality=quality)
        if path.stat().st_size <= MOST_BYTES:
            return
