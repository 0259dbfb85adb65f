"""Texts as points: in this process, or wherever the model is kept. What people ask again is remembered."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.ml.clip import load_text_encoder
from tasks.ml.loaded import LoadedModels
from tasks.ml.weights import ModelKind, Weights, find_weights, stamp

Point = NDArray[np.float32]

REMEMBERED = 100
"""Source: spec/jobs-ml.md §4."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is asked for. `model`: by Immich's name; `language`: as the client says, for models that want to know."""

    model_folder: Path
    model: str
    words: str
    language: str | None = None


class TextPoints(Protocol):
    """Blocks. Float32 (dimensions,), unit length. Raises ModelUnavailable, and Unavailable when nobody answers."""

    def point(self, text: Text) -> Point: ...


class LocalTexts:
    """Keeps the model in this process: for tests, and inside the process that serves the others."""

    def __init__(self) -> None:
        self._models, self._lock = LoadedModels(), threading.Lock()

    def point(self, text: Text) -> Point:
        return self.points(text.model_folder, text.model, [text.words])[0]

    def points(self, model_folder: Path, model: str, words: list[str]) -> list[Point]:
        """One per text, in one go."""
        threads = len(os.sched_getaffinity(0))
        with self._lock:  # one model, one thread at a time
            files = find_weights(model_folder, Weights(ModelKind.CLIP, model))  # what lies there counts, not what lay
            encoder = self._models.get(
                "clip", (model, stamp(files)), lambda: load_text_encoder(model_folder, model, threads)
            )
            return list(encoder.embed(words))


class RememberedTexts:
    """The last texts and their points, in front of somebody who takes longer."""

    def __init__(self, behind: TextPoints) -> None:
        self._behind, self._lock = behind, threading.Lock()
        self._known: OrderedDict[Text, Point] = OrderedDict()

    def point(self, text: Text) -> Point:
        with self._lock:
            if (known := self._known.get(text)) is not None:
                self._known.move_to_end(text)
                return known
        point = self._behind.point(text)
        with self._lock:
            self._known[text] = point
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return point
