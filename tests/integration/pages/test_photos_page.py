"""The library in a real browser: files that are dropped on it, months that scroll, a photo and where its jobs stand."""

import base64
import io
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from PIL import Image
from playwright.sync_api import Page, Request, expect
from sqlalchemy import select, update

from cluster.db.queries.printed_text import replace_text
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.learned import AssetOcr
from cluster.db.tables.person import AssetFace, Person
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, asset_job
from cluster.storage.layout import Folder
from tasks.media.thumbhash import thumbhash
from tests.integration.pages.conftest import Site

NOW = dict.fromkeys(("created_at", "updated_at"), datetime(2026, 5, 1, tzinfo=UTC))
DROP = """files => {
    const data = new DataTransfer();
    for (const { name, content } of files) {
        const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
        data.items.add(new File([bytes], name, { type: "image/jpeg" }));
    }
    for (const type of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


def photo(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(file, "JPEG")
    return file.getvalue()


def drop(page: Page, **photos: bytes) -> None:
    page.evaluate(
        DROP, [{"name": name, "content": base64.b64encode(content).decode()} for name, content in photos.items()]
    )


def test_dropped_files_go_up_with_their_progress_and_stand_in_the_timeline(site: Site) -> None:
    site.sign_up()
    script = "<img src=x onerror=alert(1)>.jpg"
    with site.page() as page:
        page.goto("/photos")
        expect(page.locator("#empty")).to_be_visible()
        drop(page, **{script: photo("red"), "b.jpg": photo("blue"), "c.txt": b"no picture"})
        expect(page.locator("#uploads-title")).to_have_text("2 uploaded, 1 refused")
        drop(page, **{"d.jpg": photo("blue")})  # afterwards, or b.jpg might be the one that was here already
        expect(page.locator("#uploads-title")).to_have_text("3 uploaded, 1 refused")
        lines = page.locator("#uploads-list li").all_inner_texts()
        assert any("c.txt" in line and "Unsupported file type" in line for line in lines), lines
        assert any("was here already" in line for line in lines), lines
        assert any(script in line for line in lines), lines
        expect(page.locator(".tile")).to_have_count(2)

        page.get_by_label("Search").fill("b.jpg")
        page.keyboard.press("Enter")
        expect(page.locator("#words")).to_contain_text("1 found for “b.jpg”.")

        say_what_is_printed(site, "b.jpg", "EMERGENCY EXIT")
        page.get_by_label("Search").fill("emergency exit")
        page.keyboard.press("Enter")
        expect(page.locator("#words")).to_contain_text("1 found for “emergency exit”.")

        page.locator(".tile").click()
        expect(page.get_by_role("heading", name="b.jpg")).to_be_visible()
        expect(page.locator("#steps li").first).to_have_text("Metadatawaiting")


def add_thumbnail(site: Site) -> None:
    """As the job does it, for the only asset that there is."""
    path = site.stack.services.layout.folder(Folder.THUMBS) / "thumbnail.jpeg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo("green"))
    with site.stack.services.database.session() as session:
        asset_id = session.scalars(select(Asset.id)).one()
        row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "type": "thumbnail", "path": str(path)}
        session.add(AssetFile(**row, **NOW))


def test_a_tile_fills_by_itself_when_its_picture_is_there(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/photos")
        with page.expect_response(lambda answer: "/thumbnail" in answer.url and answer.status == 404):
            drop(page, **{"a.jpg": photo("green")})
        expect(page.locator(".tile")).to_have_count(1)
        expect(page.locator(".tile")).to_have_accessible_name(re.compile(r"^Photo, of \d+ \w+ 20\d\d at \d\d:\d\d$"))
        add_thumbnail(site)
        picture = page.locator(".tile img.there")
        expect(picture).to_have_count(1)
        expect(picture).to_have_js_property("naturalWidth", 60)


def test_a_tile_that_never_gets_a_picture_is_marked_and_not_asked_for_again(site: Site) -> None:
    site.sign_up()
    asked: list[str] = []

    def count(request: Request) -> None:
        if "/thumbnail" in request.url:
            asked.append(request.url)

    with site.page() as page:
        page.clock.install()
        page.goto("/photos")
        page.on("request", count)
        drop(page, **{"a.jpg": photo("red")})
        expect(page.locator(".tile")).to_have_count(1)
        for _ in range(60):
            page.clock.fast_forward(61_000)
            page.wait_for_timeout(100)
            if page.locator(".tile .none").count():
                break
        expect(page.locator(".tile .none")).to_have_text("No picture")
        expect(page.locator(".tile")).to_have_accessible_name(re.compile("^Photo, .*, no picture$"))
        assert 5 < len(asked) < 20
        before = len(asked)
        for _ in range(5):
            page.clock.fast_forward(61_000)
            page.wait_for_timeout(100)
        assert len(asked) == before


def say_what_is_printed(site: Site, name: str, words: str) -> None:
    """As if it had been read in this picture."""
    with site.stack.services.database.session() as session:
        asset_id = session.scalars(select(Asset.id).where(Asset.original_file_name == name)).one()
        corners = dict.fromkeys(("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"), 0.5)
        line = AssetOcr(
            id=str(uuid.uuid4()), asset_id=asset_id, number=0, text=words, box_score=0.9, text_score=0.9, **corners
        )
        replace_text(session, asset_id, [line], datetime(2026, 5, 1, tzinfo=UTC))


def test_a_photo_tells_its_owner_what_failed(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/photos")
        drop(page, **{"a.jpg": photo("red")})
        expect(page.locator("#uploads-title")).to_have_text("1 uploaded")
        site.fail(
            FailedAttempt("UnreadableImage", "<b>a.jpg</b> is broken"), *site.lease(QueueName.METADATA_EXTRACTION)
        )
        page.locator(".tile").click()
        expect(page.locator("#failures")).to_contain_text("<b>a.jpg</b> is broken")
        expect(page.locator("#steps li").first).to_have_text("Metadatafailed")
        page.get_by_role("button", name="Read again").click()
        expect(page.locator("#steps li").first).to_have_text("Metadatawaiting")


def test_a_photo_of_which_no_picture_can_be_made_says_so(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/photos")
        drop(page, **{"a.jpg": photo("red")})
        expect(page.locator(".tile")).to_have_count(1)
        with site.stack.services.database.session() as session:
            asset_id = session.scalars(select(Asset.id)).one()
        page.goto(f"/photos/{asset_id}")
        expect(page.locator("#stage")).to_have_text("There is no picture of it yet.")
        site.enqueue(asset_job(JobName.ASSET_GENERATE_THUMBNAILS, asset_id))
        site.fail(FailedAttempt("UnreadableImage", "it is broken"), *site.lease(QueueName.THUMBNAIL_GENERATION))
        expect(page.locator("#stage")).to_have_text("No picture could be made of it. The reason stands at its jobs.")
        expect(page.locator("#failures")).to_contain_text("it is broken")

        page.goto("/admin/jobs/thumbnail-generation")
        page.locator("#failures").get_by_role("link", name="a.jpg").click()
        page.wait_for_url(f"**/photos/{asset_id}")


def test_an_admin_retries_from_the_photo_itself(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/photos")
        drop(page, **{"a.jpg": photo("red")})
        expect(page.locator("#uploads-title")).to_have_text("1 uploaded")
        site.fail(FailedAttempt("UnreadableImage", "it is broken"), *site.lease(QueueName.METADATA_EXTRACTION))
        page.locator(".tile").click()
        expect(page.locator("#failures")).to_contain_text("1 attempt")
        page.get_by_role("button", name="Retry").click()
        expect(page.locator("#steps li").first).to_have_text("Metadatawaiting")
        expect(page.locator("#failed-part")).to_be_hidden()


def test_a_photos_page_goes_on_after_the_server_was_away(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/photos")
        drop(page, **{"a.jpg": photo("red")})
        expect(page.locator("#uploads-title")).to_have_text("1 uploaded")
        page.locator(".tile").click()
        expect(page.locator("#steps li").first).to_have_text("Metadatawaiting")
        page.route("**/api/asset-steps/*", lambda route: route.abort())
        expect(page.locator(".toast.bad").first).to_contain_text("The server cannot be reached")
        page.unroute("**/api/asset-steps/*")
        site.lease(QueueName.METADATA_EXTRACTION)
        expect(page.locator("#steps li").first).to_have_text("Metadataactive")


def test_a_placeholder_has_the_colours_of_its_picture(site: Site, tmp_path: Path) -> None:
    """Drawn from the thumbhash by the page, while there is no thumbnail."""
    site.sign_up()
    with site.page() as page:
        page.goto("/photos")
        drop(page, **{"a.jpg": photo("red")})
        expect(page.locator(".tile")).to_have_count(1)
        halves = Image.new("RGB", (90, 60), (200, 40, 30))
        halves.paste((30, 60, 200), (45, 0, 90, 60))
        with site.stack.services.database.session() as session:
            session.execute(
                update(Asset).values(thumbhash=thumbhash(np.asarray(halves.convert("RGBA"))), width_px=90, height_px=60)
            )
        page.goto("/photos")
        canvas = page.locator(".tile canvas")
        expect(canvas).to_have_count(1)
        left, right = (
            page.evaluate(
                "x => { const c = document.querySelector('.tile canvas');"
                " return [...c.getContext('2d').getImageData(Math.floor(x * c.width), c.height / 2, 1, 1).data] }",
                share,
            )
            for share in (0.15, 0.85)
        )
        assert (left[0] > 140, left[2] < 110, right[2] > 140, right[0] < 110) == (True,) * 4, (left, right)


def test_far_months_keep_their_height_and_no_pictures(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/photos")
        drop(page, **{f"{number}.jpg": photo(f"#{number * 7:02x}{255 - number * 7:02x}80") for number in range(36)})
        expect(page.locator("#uploads-title")).to_have_text("36 uploaded")
        with site.stack.services.database.session() as session:
            ids = [one for (one,) in session.query(Asset.id)]
            for number, one in enumerate(ids):
                when = site.stack.services.clock.now().replace(year=1990 + number, month=6, day=1)
                session.execute(update(Asset).where(Asset.id == one).values(local_date_time=when, file_created_at=when))
        page.goto("/photos")
        expect(page.locator("#timeline section")).to_have_count(36)
        expect(page.locator("#timeline section:first-child .tile")).to_have_count(1)
        assert page.locator(".tile").count() < 36
        page.locator("#timeline section:last-child").scroll_into_view_if_needed()
        expect(page.locator("#timeline section:last-child .tile")).to_have_count(1)
        expect(page.locator("#timeline section:first-child .tile")).to_have_count(0)
        assert page.locator("#timeline section:first-child .tiles").evaluate("one => one.offsetHeight") > 100


def test_what_a_file_says_of_itself_is_text_and_nothing_else(site: Site) -> None:
    site.sign_up()
    script = "<img src=x onerror=\"document.title = 'taken'\"><script>document.title = 'taken'</script>"
    with site.page() as page:
        page.goto("/photos")
        drop(page, **{f"{script[:40]}.jpg": photo("red")})
        expect(page.locator(".tile")).to_have_count(1)
        with site.stack.services.database.session() as session:
            (asset_id,) = session.scalars(select(Asset.id)).all()
            words = {"description": script, "make": script, "model": script, "lens_model": script, "city": script}
            session.execute(update(AssetExif).values(**words))
            corners = dict.fromkeys(("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"), 0.0)
            scores = {"box_score": 1.0, "text_score": 1.0, "is_visible": True}
            session.add(AssetOcr(id=str(uuid.uuid4()), asset_id=asset_id, number=0, text=script, **corners, **scores))
            person = Person(id=str(uuid.uuid4()), owner_id=session.scalar(select(Asset.owner_id)), name=script, **NOW)
            session.add(person)
            session.flush()
            session.add(
                AssetFace(
                    id=str(uuid.uuid4()),
                    asset_id=asset_id,
                    person_id=person.id,
                    **{"image_width_px": 60, "image_height_px": 40, "box_x1_px": 0, "box_y1_px": 0, "box_x2_px": 9},
                    **{"box_y2_px": 9, "source_type": "machine-learning", "is_visible": True},
                    **NOW,
                )
            )
        page.goto(f"/photos/{asset_id}")
        expect(page.locator("#text")).to_have_text(script)
        expect(page.locator("#facts")).to_contain_text(script)
        expect(page.locator("#people")).to_contain_text(script)
        assert "taken" not in page.title()
        page.goto(f"/photos?{urlencode({'q': script})}")
        expect(page.locator("#words")).to_contain_text(script)
        assert page.get_by_label("Search").input_value() == script
        assert "taken" not in page.title()
