"""Faces in pictures: where they are, and for each a point that is near those of the same person.

A pack is a detector and a recogniser in insightface's formats (SCRFD, ArcFace), read by its own loader: side by side in
one folder, or each in its own as in Immich's model cache.
The weights that insightface publishes are for non-commercial research only. Source: spec/jobs-ml.md §2.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import ModelUnavailable
from tasks.ml.picture import Pixels
from tasks.ml.weights import ModelKind, Weights, checked_weights, damaged

DETECTION_PX = 640
"""Pictures are shrunk into a square of this side to look for faces."""

CROPS_AT_ONCE = 32
TASKS = ("detection", "recognition")


@dataclass(frozen=True, slots=True)
class FoundFace:
    """`box`: left, top, right, bottom in whole pixels of the picture, not beyond its edges. `embedding`: float32 (512,)
    of any length."""

    box: tuple[int, int, int, int]
    score: float
    embedding: NDArray[np.float32]


class FaceModel:
    """A pack that is loaded. One call at a time."""

    def __init__(self, detector: Any, recognizer: Any) -> None:
        self._detector, self._recognizer = detector, recognizer

    def find(self, pictures: Sequence[Pixels], min_score: float) -> list[list[FoundFace]]:
        """Per picture its faces, the surest first. `pictures`: RGB, uint8 (height, width, 3)."""
        seen = [self._seen(picture, min_score) for picture in pictures]
        embeddings = iter(self._embeddings([crop for faces in seen for _, _, crop in faces]))
        return [
            [
                FoundFace(box, score, embedding)
                for (box, score, _), embedding in zip(faces, embeddings, strict=False)
                if _has_direction(embedding)
            ]
            for faces in seen
        ]

    def _seen(self, picture: Pixels, min_score: float) -> list[tuple[tuple[int, int, int, int], float, Pixels]]:
        """Box, score and aligned crop of each face."""
        from insightface.utils.face_align import norm_crop

        height, width = picture.shape[:2]
        if min(height, width) * DETECTION_PX < max(height, width):
            return []  # shrunk, nothing would be left of its shorter side
        turned = np.ascontiguousarray(picture[:, :, ::-1])
        boxes, landmarks = self._detector.detect(turned, input_size=(DETECTION_PX, DETECTION_PX), det_thresh=min_score)
        if landmarks is None:
            raise ValueError("the detector gives no landmarks, without which no face can be recognized")
        found = []
        for (*edges, score), marks in zip(boxes.tolist(), landmarks, strict=True):
            left, top, right, bottom = (round(edge) for edge in edges)
            box = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
            if box[0] < box[2] and box[1] < box[3]:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)  # how insightface calls scikit-image
                    crop = norm_crop(turned, marks, self._recognizer.input_size[0])
                found.append((box, score, crop))
        return found

    def _embeddings(self, crops: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        at_once = 1 if self._recognizer.input_shape[0] == 1 else CROPS_AT_ONCE
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(crops), at_once):
            found.extend(np.asarray(self._recognizer.get_feat(list(crops[start : start + at_once])), np.float32))
        return found


def load_faces(model_folder: Path, name: str, threads: int) -> FaceModel:
    """The pack of this name. Raises ModelUnavailable when files are missing, or not what they should be."""
    weights = Weights(ModelKind.FACES, name)
    files, folder = checked_weights(model_folder, weights), weights.folder(model_folder)
    try:
        models = _models(folder, files, threads)
        speechless = [task for task, model in models.items() if not _answers_with_numbers(model)]
    except ImportError:
        raise
    except Exception as error:  # insightface asserts, onnxruntime has errors of its own without a common name
        raise damaged(name, _unreadable(files) or folder, error or "it holds no detector") from error
    if lacking := [task for task in TASKS if task not in models]:
        raise ModelUnavailable(name, folder, f"put a model for {' and '.join(lacking)} there")
    if speechless:
        raise damaged(name, folder, f"the model for {' and '.join(speechless)} answers without numbers")
    return FaceModel(models["detection"], models["recognition"])


def _models(folder: Path, files: Sequence[Path], threads: int) -> dict[str, Any]:
    """By task, as insightface's own loaders give them: of a folder with all files, else of each file in its own."""
    import onnxruntime
    from insightface.app import FaceAnalysis
    from insightface.model_zoo import get_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if all(path.parent == folder for path in files):
        analysis = FaceAnalysis(name=str(folder), allowed_modules=list(TASKS), sess_options=options)
        models: dict[str, Any] = analysis.models
    else:
        loaded = [get_model(str(path), sess_options=options) for path in files]
        models = {model.taskname: model for model in loaded if model is not None and model.taskname in TASKS}
    for task, model in models.items():
        model.prepare(0, **({"input_size": (DETECTION_PX, DETECTION_PX)} if task == "detection" else {}))
    return models


def _unreadable(files: Sequence[Path]) -> Path | None:
    """The file that is no network; who loads them all does not always say which."""
    import onnxruntime

    for path in files:
        try:
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception:
            return path
    return None


def _answers_with_numbers(model: Any) -> bool:
    """Tried on a blank: of a damaged pack every picture would be one without faces."""
    side = DETECTION_PX if model.taskname == "detection" else model.input_size[0]
    given = model.session.get_inputs()[0]
    blank = np.zeros((1, 3, side, side), np.uint8 if "uint8" in given.type else np.float32)
    return all(bool(np.isfinite(made).all()) for made in model.session.run(None, {given.name: blank}))


def _has_direction(embedding: NDArray[np.float32]) -> bool:
    length = float(np.linalg.norm(embedding))
    return bool(np.isfinite(length)) and length > 0
