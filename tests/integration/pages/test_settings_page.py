"""The settings in a real browser: what is wrong is said beside its field, what is right holds at once."""

from playwright.sync_api import expect

from tests.integration.pages.conftest import Site


def test_a_wrong_value_is_told_beside_its_field_and_a_right_one_holds(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/settings#job")
        concurrency = page.get_by_label("Generate Thumbnails")
        assert concurrency.input_value() == "3"
        expect(page.get_by_label("Facial Recognition")).to_be_disabled()
        concurrency.fill("0")
        page.get_by_label("CRF").fill("99")
        expect(page.locator("#save-words")).to_have_text("2 changes")
        page.get_by_role("button", name="Save").click()
        told = page.locator("[data-path='job.thumbnailGeneration.concurrency'] .problem")
        expect(told).to_have_text("Too small: expected number to be >=1")
        expect(page.locator("[data-path='ffmpeg.crf'] .problem")).to_have_text("Too big: expected number to be <=51")
        expect(concurrency).to_be_focused()

        concurrency.fill("4")
        page.get_by_label("CRF").fill("23")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".toast")).to_contain_text("Saved")
        expect(page.locator("#save")).to_be_hidden()
        config = page.request.get("/api/system-config").json()
        assert (config["job"]["thumbnailGeneration"]["concurrency"], config["ffmpeg"]["crf"]) == (4, 23)


def test_a_storage_template_is_shown_by_an_example_while_it_is_typed(site: Site) -> None:
    site.sign_up()
    with site.page() as page:
        page.goto("/admin/settings#storageTemplate")
        template, preview = page.locator("#storageTemplate-template"), page.locator("#template-preview")
        expect(preview).to_contain_text("For example: library/admin/")
        template.fill("{{make}}/{{filename}}")
        expect(preview).not_to_contain_text("/20")
        template.fill("{{nothing}}")
        expect(preview).to_contain_text("Invalid storage template")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("[data-path='storageTemplate.template'] .problem")).to_contain_text(
            "Invalid storage template"
        )
        page.get_by_role("button", name="Discard changes").click()
        expect(page.locator("#save")).to_be_hidden()
