"""The whole server with the tiny face pack: from photos to people with pictures, and a name outlives "Reset"."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serve_app.client import sha1_hex
from tests.api_stack import free_port
from tests.drawn_faces import group_photo, random_look
from tests.e2e.real_stack import RealStack, real_stack
from tests.tiny_models import put_faces

pytest.importorskip("insightface")
pytestmark = pytest.mark.timeout(400)

PATIENCE_S = 240.0
PHOTOS = 8


def test_people_come_out_of_photos(tmp_path: Path) -> None:
    models = tmp_path / "models"
    put_faces(models)
    environ = {"IMMICH_MACHINE_LEARNING_ENABLED": "true", "HELIOSTAT_MODEL_FOLDER": str(models)}
    with real_stack(free_port(), tmp_path / "stack", **environ) as stack:
        stack.sign_in()
        leave_only_faces(stack)
        upload_photos(stack, tmp_path / "photos")
        stack.wait_until_idle(PATIENCE_S)
        start(stack, "facialRecognition")
        found = people(stack)
        assert len(found) == 2
        assert stack.failed() == {}
        assert all(Path(one["thumbnailPath"]).read_bytes().startswith(b"\xff\xd8") for one in found)

        stack.client.call("PUT", f"/people/{found[0]['id']}", json={"name": "Ada"})
        start(stack, "facialRecognition")
        assert {one["id"]: one["name"] for one in people(stack)} == {found[0]["id"]: "Ada", found[1]["id"]: ""}
        for one in found:
            statistics = stack.client.call("GET", f"/people/{one['id']}/statistics")
            assert statistics["assets"] >= PHOTOS - 1


def leave_only_faces(stack: RealStack) -> None:
    config = stack.client.call("GET", "/system-config")
    config["machineLearning"]["ocr"]["enabled"] = False
    config["machineLearning"]["clip"]["enabled"] = False
    stack.client.call("PUT", "/system-config", json=config)


def upload_photos(stack: RealStack, folder: Path) -> None:
    """Of the same two people each."""
    folder.mkdir()
    rng = np.random.default_rng(21)
    looks = [random_look(rng), random_look(rng)]
    for number in range(PHOTOS):
        path = folder / f"{number}.jpg"
        Image.fromarray(group_photo(looks, rng, 720, 480)[0]).save(path, quality=92)
        stack.client.upload(path, sha1_hex(path))


def start(stack: RealStack, queue: str) -> None:
    """Press "Reset", and wait."""
    stack.client.call("PUT", f"/jobs/{queue}", json={"command": "start", "force": True})
    stack.wait_until_idle(PATIENCE_S)


def people(stack: RealStack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.client.call("GET", "/people")["people"]
    return sorted(found, key=lambda one: one["id"])
