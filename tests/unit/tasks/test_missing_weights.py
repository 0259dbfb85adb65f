"""A queue waits for its weights, says which, and goes on when they lie there whole."""

import time
from pathlib import Path
from typing import Any

import pytest

from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, ModelPool
from cluster.settings import read_settings
from cluster.system_config import SystemConfig, defaults, merge
from tasks import missing_weights
from tasks.job import Job
from tasks.missing_weights import MissingWeights
from tasks.ml import weights as model_folder
from tasks.ml.weights import ModelKind, Weights
from tests.weight_files import cut_short, safetensors

QUEUE = QueueName.SMART_SEARCH


def unused(*arguments: object) -> Any:
    raise AssertionError("nothing runs here")


def clip_weights(config: SystemConfig) -> Weights | None:
    learning = config.machine_learning
    return Weights(ModelKind.CLIP, learning.clip.model_name) if learning.enabled and learning.clip.enabled else None


JOB = Job(JobSpec(JobName.SMART_SEARCH, pool=ModelPool("clip")), unused, unused, unused, weights=clip_weights)


class Desk:
    """The config as it is now, and a look at the folder at each question."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chosen: dict[str, Any] = {}
        self._base = defaults(read_settings({"HOME": str(folder)}))
        self._missing = MissingWeights([JOB], folder, lambda: merge(self._base, self.chosen))

    def reason(self) -> str:
        return self._missing.reason(QUEUE)

    def put(self, model: str, *names: str) -> None:
        for name in names:
            path = self.folder / "clip" / model / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(safetensors() if path.suffix == ".safetensors" else b"{}")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(missing_weights, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(model_folder, "STABLE_S", 0.2)
    return Desk(tmp_path)


def wait_until_whole() -> None:
    time.sleep(0.25)  # what the kernel notes of a file cannot be set


def test_the_queue_waits_until_its_weights_lie_there_whole(desk: Desk) -> None:
    assert "open_clip_config.json and open_clip_model.safetensors" in desk.reason()
    desk.put("ViT-B-32__openai", "open_clip_config.json")
    assert "put open_clip_model.safetensors there" in desk.reason()
    desk.put("ViT-B-32__openai", "open_clip_model.safetensors")
    assert "when it is whole" in desk.reason()
    wait_until_whole()
    assert desk.reason() == ""


def test_the_queue_waits_for_a_file_that_is_whole_again(desk: Desk) -> None:
    desk.put("ViT-B-32__openai", "open_clip_config.json", "open_clip_model.safetensors")
    broken = desk.folder / "clip" / "ViT-B-32__openai" / "open_clip_model.safetensors"
    cut_short(broken)
    assert "when it is whole" in desk.reason()  # it may be on its way
    wait_until_whole()
    assert f"{broken}: it is cut short or damaged" in desk.reason()
    broken.write_bytes(safetensors())
    wait_until_whole()
    assert desk.reason() == ""


def test_another_model_is_another_folder(desk: Desk) -> None:
    desk.put("ViT-B-32__openai", "open_clip_config.json", "open_clip_model.safetensors")
    wait_until_whole()
    assert desk.reason() == ""
    desk.chosen = {"machineLearning": {"clip": {"modelName": "RN50__openai"}}}
    assert str(desk.folder / "clip" / "RN50__openai") in desk.reason()


def test_a_feature_that_is_off_waits_for_nothing(desk: Desk) -> None:
    desk.chosen = {"machineLearning": {"clip": {"enabled": False}}}
    assert desk.reason() == ""


def test_a_queue_without_models_is_never_held_up(desk: Desk) -> None:
    assert desk._missing.reason(QueueName.THUMBNAIL_GENERATION) == ""


def test_the_folder_is_looked_at_once_in_a_while_and_not_for_every_job(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing_weights, "LOOK_EVERY_S", 60.0)
    said = desk.reason()
    desk.put("ViT-B-32__openai", "open_clip_config.json", "open_clip_model.safetensors")
    wait_until_whole()
    assert desk.reason() == said
