"""Text in pictures on the whole server: read by processes that keep the model, shown and searched for over HTTP."""

from pathlib import Path

import pytest

from serve_app.client import sha1_hex
from tests.e2e.real_stack import RealStack, describe, real_stack
from tests.figures import FIGURES
from tests.printed_text import as_jpeg, picture_of
from tests.programs import program
from tests.shared_media import find_shared_dir

pytest.importorskip("rapidocr")
pytestmark = pytest.mark.timeout(400)

PATIENCE_S = 150
SIGNS = {"platform": ("PLATFORM 9", "to Hogsmeade"), "shop": ("OPEN DAILY", "Tea & Cake")}


def test_three_photos_are_found_by_what_they_say(tmp_path: Path) -> None:
    program("exiftool")
    with real_stack(3437, tmp_path, IMMICH_MACHINE_LEARNING_ENABLED="true") as stack:
        stack.sign_in()
        leave_the_rest_out(stack)
        photos = {name: draw(tmp_path / f"{name}.jpg", *lines) for name, lines in SIGNS.items()}
        shared = find_shared_dir()
        if shared is not None:
            photos["beer"] = shared / "media" / "albums" / "text" / "craft-beer.jpg"
        ids = {name: stack.client.upload(path, sha1_hex(path))[1] for name, path in photos.items()}

        stack.wait_until_idle(PATIENCE_S)

        assert stack.failed() == {}, describe(stack)
        for name, lines in SIGNS.items():
            assert lines_of(stack, ids[name]) == list(lines)
        assert found(stack, "hogsmeade") == [ids["platform"]]
        assert found(stack, "tea cake") == [ids["shop"]]
        if "beer" in ids:
            assert found(stack, "weekend warrior") == [ids["beer"]]
        for name, asset_id in ids.items():
            FIGURES.append(f"text of {name}: {' / '.join(lines_of(stack, asset_id)[:8])}")


def leave_the_rest_out(stack: RealStack) -> None:
    config = stack.client.call("GET", "/system-config")
    for name in ("facialRecognition", "clip", "duplicateDetection"):
        config["machineLearning"][name]["enabled"] = False
    stack.client.call("PUT", "/system-config", json=config)


def draw(path: Path, *lines: str) -> Path:
    path.write_bytes(as_jpeg(picture_of(*((line, (40, 120 + 150 * row)) for row, line in enumerate(lines)))))
    return path


def lines_of(stack: RealStack, asset_id: str) -> list[str]:
    return [line["text"] for line in stack.client.call("GET", f"/assets/{asset_id}/ocr")]


def found(stack: RealStack, words: str) -> list[str]:
    answer = stack.client.call("POST", "/search/metadata", json={"ocr": words})
    return [item["id"] for item in answer["assets"]["items"]]
