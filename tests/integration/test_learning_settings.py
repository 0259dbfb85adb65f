"""What an admin may set of machine learning, and what clients are told is on. Source: spec/jobs-ml.md §1."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import ApiClient, api_client

FEATURES = {"smartSearch", "facialRecognition", "duplicateDetection", "ocr"}
EDGES = [
    ("duplicateDetection.maxDistance", 0.001, 0.1),
    ("facialRecognition.minScore", 0.1, 1),
    ("facialRecognition.maxDistance", 0.1, 2),
    ("facialRecognition.minFaces", 1, None),
    ("ocr.minDetectionScore", 0.1, 1),
    ("ocr.minRecognitionScore", 0.1, 1),
    ("ocr.maxResolution", 1, None),
]


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as client:
        yield client


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *sections, key = path.split(".")
    place = config["machineLearning"]
    for section in sections:
        place = place[section]
    place[key] = value
    return config


@pytest.mark.parametrize(("path", "least", "most"), EDGES)
def test_a_limit_may_be_reached_and_not_passed(api: ApiClient, path: str, least: float, most: float | None) -> None:
    admin = api.sign_up()
    config = admin.get("/system-config").json()
    for value in (least, most):
        if value is not None:
            assert admin.put("/system-config", changed(config, path, value)).status_code == 200, value
    for value in (least - 0.001, least - 1, "many", None if most is None else most + 0.001):
        if value is not None:
            assert admin.put("/system-config", changed(config, path, value)).status_code == 400, value


@pytest.mark.parametrize(("path", "wrong"), [("urls", []), ("urls", [5]), ("enabled", "yes"), ("clip.modelName", 7)])
def test_what_is_no_setting_is_refused_with_its_name(api: ApiClient, path: str, wrong: Any) -> None:
    admin = api.sign_up()
    answer = admin.put("/system-config", changed(admin.get("/system-config").json(), path, wrong))
    assert answer.status_code == 400
    assert path.split(".")[-1] in answer.text


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ViT-B-32__nobody", "Unknown CLIP model: ViT-B-32__nobody."),
        ("LABSE-Vit-L-14", "The CLIP model LABSE-Vit-L-14 cannot be used: it is in M-CLIP's format"),
        ("immich-app/nllb-clip-large-siglip::mrl", "cannot be used: the text half of it is described on a hub alone"),
    ],
)
def test_a_clip_model_that_nothing_here_runs_is_refused_with_the_reason(api: ApiClient, name: str, why: str) -> None:
    admin = api.sign_up()
    answer = admin.put("/system-config", changed(admin.get("/system-config").json(), "clip.modelName", name))
    assert answer.status_code == 400
    assert why in answer.json()["message"]
    kept = changed(admin.get("/system-config").json(), "clip.modelName", "ViT-B-16-SigLIP2__webli")
    assert admin.put("/system-config", kept).status_code == 200


@pytest.mark.parametrize(
    ("switch", "off"),
    [
        ("enabled", FEATURES),
        ("clip.enabled", {"smartSearch", "duplicateDetection"}),
        ("duplicateDetection.enabled", {"duplicateDetection"}),
        ("facialRecognition.enabled", {"facialRecognition"}),
        ("ocr.enabled", {"ocr"}),
    ],
)
def test_clients_are_told_what_is_on(api: ApiClient, switch: str, off: set[str]) -> None:
    admin = api.sign_up()
    config = changed(admin.get("/system-config").json(), switch, False)
    assert admin.put("/system-config", config).status_code == 200
    features = api.get("/server/features").json()
    assert {name for name in FEATURES if not features[name]} == off
