"""The model folder: where each model's files lie, whether they are there, and whether they are what they were.

`<model folder>/<kind>/<name>/`, the name being Immich's. Looked at before any library is called, which would answer a
missing file with a download or a bare assertion. Only formats that hold numbers and run nothing: safetensors, ONNX.
"""

import hashlib
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from cluster.errors import ModelUnavailable

MANIFEST = "SHA256SUMS"
"""Beside the files, as `sha256sum -c` reads it. Models that were put there by hand may do without."""

STABLE_S = 3.0

NAME = re.compile(r"(?!\.)[\w.+-]+")
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".pdparams"})
"""What may run code when it is read; no file of these kinds comes in by our hands."""


class ModelKind(StrEnum):
    """What a model is for; its folder's name, as in Immich's model cache."""

    CLIP = "clip"
    FACES = "facial-recognition"
    OCR = "ocr"


def clean_name(name: str) -> str:
    """A model's name as Immich reads it: `org/name` is `name`, and `:` counts as `_`."""
    return name.rpartition("/")[2].replace(":", "_")


@dataclass(frozen=True, slots=True)
class Wanted:
    """`count` files of a model whose names match `pattern`; `example` is one of them, for messages."""

    pattern: str
    example: str
    count: int = 1


WANTED: dict[ModelKind, tuple[Wanted, ...]] = {
    ModelKind.CLIP: (
        Wanted("open_clip_config.json", "open_clip_config.json"),
        Wanted("*.safetensors", "open_clip_model.safetensors"),
    ),
    ModelKind.FACES: (Wanted("*.onnx", "a detector and a recognizer, both .onnx", count=2),),
    ModelKind.OCR: (Wanted("det*.onnx", "det.onnx"), Wanted("rec*.onnx", "rec.onnx")),
}


@dataclass(frozen=True, slots=True)
class Weights:
    """One model by Immich's name."""

    kind: ModelKind
    name: str

    @property
    def folder_name(self) -> str:
        """Its folder below its kind's. Raises ModelUnavailable for a name that no folder can have."""
        cleaned = clean_name(self.name)
        if NAME.fullmatch(cleaned) is None:
            raise ModelUnavailable(self.name, self.kind, "no model has such a name, choose another in the settings")
        return cleaned

    def folder(self, model_folder: Path) -> Path:
        """Where its files lie, whether they do or not."""
        return model_folder / self.kind / self.folder_name


def find_weights(model_folder: Path, weights: Weights) -> Path:
    """The folder with the model's files. Raises ModelUnavailable when one is missing or empty; reads none."""
    folder = weights.folder(model_folder)
    lacking = [wanted.example for wanted in WANTED[weights.kind] if len(_matches(folder, wanted)) < wanted.count]
    if lacking:
        fix = f"put {' and '.join(lacking)} there, or run `heliostat models fetch {weights.kind} {weights.name}`"
        raise ModelUnavailable(weights.name, folder, fix)
    return folder


def checked_weights(model_folder: Path, weights: Weights) -> Path:
    """As `find_weights`, and every file that the manifest names has its SHA-256: half a second per gigabyte.

    Raises ModelUnavailable for one that is missing or damaged.
    """
    folder = find_weights(model_folder, weights)
    for name, digest in read_manifest(folder).items():
        if not (folder / name).is_file() or sha256_of(folder / name) != digest:
            fix = f"{name} is not what {MANIFEST} beside it says; fetch or add the model again"
            raise ModelUnavailable(weights.name, folder, fix)
    return folder


def is_being_written(folder: Path) -> bool:
    """A file there changed within the last seconds: whoever copies a model by hand may not be done."""
    now_s = time.time()
    return any(0 <= now_s - path.stat().st_ctime < STABLE_S for path in folder.iterdir())


def read_manifest(folder: Path) -> dict[str, str]:
    """SHA-256 in hex by file name; empty without a manifest. Names that lead out of the folder are left out."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return {}
    pairs = (line.split(maxsplit=1) for line in manifest.read_text().splitlines() if line.strip())
    return {name: digest for digest, name in pairs if Path(name).name == name}


def write_manifest(folder: Path) -> None:
    """Note what every file of the folder is now."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    (folder / MANIFEST).write_text("".join(f"{sha256_of(path)}  {path.name}\n" for path in files))


def sha256_of(path: Path) -> str:
    """In hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matches(folder: Path, wanted: Wanted) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if fnmatchcase(path.name, wanted.pattern) and path.stat().st_size > 0]
