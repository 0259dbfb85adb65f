"""Weights that were cut short or garbled, without sums to compare with: jobs wait for whole ones, and none of their
attempts is lost. In a process that loads them first, and in one that holds them already."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from cluster.db.tables.job import Job, JobAttempt
from cluster.db.tables.learned import SmartSearch
from cluster.db.tables.person import AssetFace
from tests.drawn_faces import group_photo, random_look
from tests.inline_stack import Stack, inline_stack
from tests.tiny_models import CLIP, FACES, TRAINED
from tests.weight_files import cut_short, garble

pytest.importorskip("torch")

CASES = [
    (CLIP.folder_name, "clip", "open_clip_model.safetensors"),
    (FACES.folder_name, "facial-recognition", "detection.onnx"),
    (FACES.folder_name, "facial-recognition", "recognition.onnx"),
]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model folder whose files may be spoiled."""
    folder = tmp_path / "models"
    for name, kind, _ in CASES:
        (folder / kind / name).mkdir(parents=True, exist_ok=True)
        for file in (TRAINED / kind / "tiny").iterdir():
            copyfile(file, folder / kind / name / file.name)
    return folder


@pytest.fixture
def stack(database_url: str, models: Path, tmp_path: Path) -> Iterator[Stack]:
    with inline_stack(database_url, tmp_path, HELIOSTAT_MODEL_FOLDER=str(models)) as running:
        running.set_config(
            machineLearning={"enabled": True, "ocr": {"enabled": False}, "duplicateDetection": {"enabled": False}}
        )
        yield running


def photo(seed: int) -> bytes:
    """Of two drawn people."""
    rng, buffer = np.random.default_rng(seed), BytesIO()
    picture, _ = group_photo([random_look(rng), random_look(rng)], rng, 720, 480)
    Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def learned(stack: Stack) -> tuple[int, int]:
    """How many assets are embedded, and in how many faces were found."""
    with stack.database.reader() as session:
        embedded = session.scalar(select(func.count()).select_from(SmartSearch)) or 0
        return embedded, session.scalar(select(func.count(AssetFace.asset_id.distinct()))) or 0


def lost_attempts(stack: Stack) -> int:
    with stack.database.reader() as session:
        said = session.scalar(select(func.count()).select_from(JobAttempt)) or 0
        return said + (session.scalar(select(func.sum(Job.attempts))) or 0)


@pytest.mark.parametrize("spoil", [cut_short, garble])
@pytest.mark.parametrize(("model", "kind", "name"), CASES, ids=lambda value: str(value))
def test_jobs_wait_for_whole_weights(
    stack: Stack, models: Path, model: str, kind: str, name: str, spoil: Callable[[Path], None]
) -> None:
    broken = models / kind / model / name
    spoil(broken)
    first = stack.upload("a.jpg", photo(1))
    stack.drain(leave_delayed=True)
    assert learned(stack) == ((0, 1) if kind == "clip" else (1, 0))
    assert "fetch or add the model again" in stack.failed()[first].error
    assert kind in stack.failed()[first].error
    if spoil is cut_short:
        assert str(broken) in stack.failed()[first].error
    assert lost_attempts(stack) == 0

    copyfile(TRAINED / kind / "tiny" / name, broken)
    stack.end_delays()
    stack.drain()
    assert learned(stack) == (1, 1)

    spoil(broken)  # while the process holds it
    second = stack.upload("b.jpg", photo(2))
    stack.drain(leave_delayed=True)
    assert learned(stack) == ((1, 2) if kind == "clip" else (2, 1))
    assert kind in stack.failed()[second].error
    assert lost_attempts(stack) == 0

    copyfile(TRAINED / kind / "tiny" / name, broken)
    stack.end_delays()
    stack.drain()
    assert learned(stack) == (2, 2)
