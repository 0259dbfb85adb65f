"""Faces in pictures: where they are, and for each a point that is near those of the same person.

A pack is a folder with a detector and a recogniser in insightface's formats (SCRFD, ArcFace), read by its own loader.
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


def load_faces(folder: Path, threads: int) -> FaceModel:
    """The pack in `folder`, whose files are there. Raises ModelUnavailable when they are not what they should be."""
    import onnxruntime
    from insightface.app import FaceAnalysis

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        analysis = FaceAnalysis(name=str(folder), allowed_modules=list(TASKS), sess_options=options)
    except Exception as error:  # insightface asserts, onnxruntime has errors of its own without a common name
        raise ModelUnavailable(
            folder.name, folder, f"its files are no face models ({error or 'no detector'})"
        ) from error
    if lacking := [task for task in TASKS if task not in analysis.models]:
        raise ModelUnavailable(folder.name, folder, f"put a model for {' and '.join(lacking)} there")
    analysis.prepare(ctx_id=0, det_size=(DETECTION_PX, DETECTION_PX))
    return FaceModel(analysis.models["detection"], analysis.models["recognition"])


def _has_direction(embedding: NDArray[np.float32]) -> bool:
    length = float(np.linalg.norm(embedding))
    return bool(np.isfinite(length)) and length > 0
