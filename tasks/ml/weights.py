"""The model folder: where each model's files lie, whether they are there, and whether they are what they were.

`<model folder>/<kind>/<name>/`, the name being Immich's; faces and texts also as Immich's own model cache has them.
Looked at before any library is called, which would answer a missing file with a download or a bare assertion. Only
formats that hold numbers and run nothing: safetensors, ONNX.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cluster.errors import ModelUnavailable
from tasks.ml.clip_names import needs_transformers, why_never_here
from tasks.ml.model_names import FOLDER_NAME, clean_name
from tasks.ml.whole_files import is_whole

MANIFEST = "SHA256SUMS"
"""Beside the files, as `sha256sum -c` reads it. Models that were put there by hand may do without."""

STABLE_S = 3.0
SAID_MOST = 300
"""Letters of what a library says, which may name every layer."""

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".pdparams"})
"""What may run code when it is read; no file of these kinds comes in by our hands."""


class ModelKind(StrEnum):
    """What a model is for; its folder's name, as in Immich's model cache."""

    CLIP = "clip"
    FACES = "facial-recognition"
    OCR = "ocr"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`count` files of a model, below its folder, that match `pattern`; `example` is one of them, for messages."""

    pattern: str
    example: str
    count: int = 1


IMMICHS_OWN = (
    Wanted("detection/model.onnx", "detection/model.onnx"),
    Wanted("recognition/model.onnx", "recognition/model.onnx"),
)
"""Faces and texts in Immich's own model cache. Source: spec/jobs-ml.md §2."""

LAYOUTS: dict[ModelKind, tuple[tuple[Wanted, ...], ...]] = {
    ModelKind.CLIP: (
        (
            Wanted("open_clip_config.json", "open_clip_config.json"),
            Wanted("*.safetensors", "open_clip_model.safetensors"),
        ),
    ),
    ModelKind.FACES: ((Wanted("*.onnx", "a detector and a recognizer, both .onnx", count=2),), IMMICHS_OWN),
    ModelKind.OCR: ((Wanted("det*.onnx", "det.onnx"), Wanted("rec*.onnx", "rec.onnx")), IMMICHS_OWN),
}
"""How the files of a kind may lie; the first that is complete counts."""

PARTS = {
    ModelKind.CLIP: ("textual", "visual"),
    ModelKind.FACES: ("detection", "recognition"),
    ModelKind.OCR: ("detection", "recognition"),
}
"""Folders of a model in Immich's own cache."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One model by Immich's name."""

    kind: ModelKind
    name: str

    @property
    def folder_name(self) -> str:
        """Its folder below its kind's. Raises ModelUnavailable for a name that no folder can have."""
        cleaned = clean_name(self.name)
        if FOLDER_NAME.fullmatch(cleaned) is None:
            raise ModelUnavailable(self.name, self.kind, "no model has such a name, choose another in the settings")
        return cleaned

    def folder(self, model_folder: Path) -> Path:
        """Where its files lie, whether they do or not."""
        return model_folder / self.kind / self.folder_name


def find_weights(model_folder: Path, weights: Weights) -> tuple[Path, ...]:
    """The model's files, in the order of its layout. Raises ModelUnavailable when one is missing, empty or cut short;
    reads no more of them than how long they are to be."""
    folder = weights.folder(model_folder)
    if weights.kind is ModelKind.CLIP and (why := why_never_here(weights.name)):
        raise ModelUnavailable(weights.name, folder, f"{why}: choose another in the settings")
    layouts = [[_matches(folder, wanted) for wanted in layout] for layout in LAYOUTS[weights.kind]]
    for layout, found in zip(LAYOUTS[weights.kind], layouts, strict=True):
        if all(len(paths) >= wanted.count for wanted, paths in zip(layout, found, strict=True)):
            files = tuple(path for paths in found for path in paths)
            _require_whole(weights.name, files)
            return files
    raise ModelUnavailable(weights.name, folder, _what_to_put(folder, weights, layouts[0]))


def damaged(name: str, path: Path, said: object = "") -> ModelUnavailable:
    """`path`: the file, or the folder where it is not known which of them; `said`: by whoever could not read it."""
    words = " ".join(str(said).split())[:SAID_MOST]
    why = f"it cannot be read ({words})" if words else "it is cut short or damaged"
    return ModelUnavailable(name, path, f"{why}: fetch or add the model again, or put a whole copy there")


def checked_weights(model_folder: Path, weights: Weights) -> tuple[Path, ...]:
    """As `find_weights`, and every file that the manifest names has its SHA-256: half a second per gigabyte.

    Raises ModelUnavailable for one that is missing or damaged.
    """
    files, folder = find_weights(model_folder, weights), weights.folder(model_folder)
    for name, digest in read_manifest(folder).items():
        if not (folder / name).is_file() or sha256_of(folder / name) != digest:
            fix = f"{name} is not what {MANIFEST} beside it says; fetch or add the model again"
            raise ModelUnavailable(weights.name, folder, fix)
    return files


def stamp(files: Sequence[Path]) -> tuple[object, ...]:
    """Another one when one of these files was replaced or changed: what was loaded before is then not them."""
    seen = [(str(path), path.stat()) for path in files]
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in seen)


def is_being_written(files: Sequence[Path]) -> bool:
    """One of them changed within the last seconds: whoever copies a model by hand may not be done."""
    now_s = time.time()
    return any(0 <= now_s - path.stat().st_ctime < STABLE_S for path in files)


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
    found = (path for path in folder.glob(wanted.pattern) if not path.name.startswith("."))
    return sorted(path for path in found if path.is_file() and path.stat().st_size > 0)


def _require_whole(name: str, files: Sequence[Path]) -> None:
    for path in files:
        try:
            whole = is_whole(path)
        except OSError as error:
            raise damaged(name, path, error.strerror) from error
        if not whole:
            raise damaged(name, path)


def _what_to_put(folder: Path, weights: Weights, found: Sequence[Sequence[Path]]) -> str:
    wanted = zip(LAYOUTS[weights.kind][0], found, strict=True)
    lacking = " and ".join(one.example for one, paths in wanted if len(paths) < one.count)
    fetch = f"or run `heliostat models fetch {weights.kind} {weights.name}`"
    there = [part for part in PARTS[weights.kind] if (folder / part).is_dir()]
    if weights.kind is ModelKind.CLIP and needs_transformers(weights.name):
        fetch += "; its texts also need the Python library transformers on nodes for machine learning"
    if not there:
        return f"put {lacking} there, {fetch}"
    seen = f"this is a folder of Immich's own model cache ({', '.join(f'{part}/' for part in there)})"
    if weights.kind is ModelKind.CLIP:
        return f"{seen}, whose CLIP files are not read here: put {lacking} beside them, {fetch}"
    parts = [one.example for one in IMMICHS_OWN if not _matches(folder, one)]
    return f"{seen}, in which {' and '.join(parts)} is missing or empty: put that there, or {lacking}, {fetch}"
