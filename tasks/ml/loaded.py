"""The models of one process: loaded at first use, kept until another takes the place."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

Model = TypeVar("Model")


class LoadedModels:
    """One model per slot ("clip", "faces", "ocr"): when its key changes, the one before is let go first."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[object, Any]] = {}
        self._lock = threading.Lock()

    def get(self, slot: str, key: object, load: Callable[[], Model]) -> Model:
        """What `load()` made for this key. `key`: all that decides what is loaded (name, folder, limits)."""
        with self._lock:
            held = self._held.get(slot)
            if held is not None and held[0] == key:
                model: Model = held[1]
                return model
            self._held.pop(slot, None)
            model = load()
            self._held[slot] = (key, model)
            return model
