"""A search for a text on the whole server: weights that come late, the model's process, the text encoder."""

import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from serve_app.client import ApiRefused, sha1_hex
from tests.drawn_scenes import KINDS, draw_scene
from tests.e2e.real_stack import RealStack, describe, real_stack, wait_until
from tests.figures import FIGURES
from tests.programs import program
from tests.tiny_models import CLIP, put_clip

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(400)

SHOWN = KINDS[::3]
PATIENCE_S = 150


def test_photos_are_found_by_what_they_show(tmp_path: Path) -> None:
    program("exiftool")
    models = tmp_path / "models"
    environ = {"IMMICH_MACHINE_LEARNING_ENABLED": "true", "HELIOSTAT_MODEL_FOLDER": str(models)}
    with real_stack(3433, tmp_path, **environ) as stack:
        stack.sign_in()
        leave_the_rest_out(stack)
        ids = upload_scenes(stack, tmp_path)

        wait_until(lambda: stack.queues()["smartSearch"].to_do == len(ids), PATIENCE_S, "all to wait", stack.still_runs)
        with pytest.raises(ApiRefused, match=str(CLIP.folder(models))):  # it says which folder is to have what
            search(stack, "red circle")
        put_clip(models)
        stack.wait_until_idle(PATIENCE_S)
        assert stack.failed() == {}, describe(stack)

        taken_ms = []
        for (colour, shape), asset_id in ids.items():
            began_s = time.perf_counter()
            found = search(stack, f"a {colour} {shape}")
            taken_ms.append(1000 * (time.perf_counter() - began_s))
            assert found[0] == asset_id, (colour, shape)
        FIGURES.append(
            f"first search {taken_ms[0]:.0f} ms, then p50 {statistics.median(taken_ms[1:]):.0f} ms over HTTP"
        )


def leave_the_rest_out(stack: RealStack) -> None:
    config = stack.client.call("GET", "/system-config")
    for name in ("facialRecognition", "ocr", "duplicateDetection"):
        config["machineLearning"][name]["enabled"] = False
    stack.client.call("PUT", "/system-config", json=config)


def upload_scenes(stack: RealStack, folder: Path) -> dict[tuple[str, str], str]:
    """One of each kind; its asset."""
    random, ids = np.random.default_rng(6), {}
    for colour, shape in SHOWN:
        path = folder / f"{colour} {shape}.jpg"
        draw_scene(random, colour, shape, (320, 240)).save(path, quality=90)
        _, ids[colour, shape] = stack.client.upload(path, sha1_hex(path))
    return ids


def search(stack: RealStack, words: str) -> list[str]:
    answer = stack.client.call("POST", "/search/smart", json={"query": words, "size": 5})
    return [item["id"] for item in answer["assets"]["items"]]
