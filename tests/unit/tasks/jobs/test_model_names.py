"""Which model a config means, however its name is spelled: what one spelling made belongs to the other."""

import pytest

from cluster.settings import read_settings
from cluster.system_config import SystemConfig, defaults, merge
from tasks.jobs import detect_faces, read_text, smart_search
from tasks.ml.weights import ModelKind, Weights


def config(**chosen: str) -> SystemConfig:
    """`chosen`: section of machineLearning → name of its model."""
    sections = {section: {"modelName": name} for section, name in chosen.items()}
    return merge(defaults(read_settings({"HOME": "/nowhere"})), {"machineLearning": {"enabled": True} | sections})


@pytest.mark.parametrize("name", ["buffalo_l", "immich-app/buffalo_l"])
def test_a_face_pack_has_one_name(name: str) -> None:
    chosen = config(facialRecognition=name)
    assert detect_faces.face_model(chosen) == "buffalo_l"
    assert detect_faces.face_weights(chosen) == Weights(ModelKind.FACES, "buffalo_l")


@pytest.mark.parametrize("name", ["PP-OCRv5_mobile", "immich-app/PP-OCRv5_mobile"])
def test_what_comes_with_the_installation_is_wanted_from_nowhere(name: str) -> None:
    assert read_text.model_of(config(ocr=name)) == "PP-OCRv5_mobile"
    assert read_text.wanted_weights(config(ocr=name)) is None


def test_clip_is_called_as_immich_calls_it() -> None:
    assert smart_search.model_of(config(clip="org/ViT-B-16::openai")) == "ViT-B-16__openai"
