"""Small trained models in a model folder, under the names of the large ones that they stand in for."""

from pathlib import Path

from tasks.ml.weights import ModelKind, Weights
from tests.shared_media import REPOSITORY

TRAINED = REPOSITORY / "tests" / "data" / "models"
CLIP = Weights(ModelKind.CLIP, "ViT-B-32__openai")
FACES = Weights(ModelKind.FACES, "buffalo_l")


def put_clip(model_folder: Path) -> None:
    """The CLIP that knows `drawn_scenes`."""
    folder = CLIP.folder(model_folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(TRAINED / "clip" / "tiny")


def put_faces(model_folder: Path) -> None:
    """The face pack that knows `drawn_faces`."""
    folder = FACES.folder(model_folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(TRAINED / "facial-recognition" / "tiny")
