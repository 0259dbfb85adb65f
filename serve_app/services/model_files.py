"""Brings models into the model folder: from a hub, or from files that somebody has. One appears whole or not at all.

It is put together in a folder beside the others, held against its SHA-256 sums, and renamed into place.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cluster.errors import ModelUnavailable, Refused
from tasks.ml.clip_names import clip_model, why_never_here
from tasks.ml.weights import (
    MANIFEST,
    PICKLES,
    ModelKind,
    Weights,
    checked_weights,
    find_weights,
    read_manifest,
    sha256_of,
    write_manifest,
)

SUFFIXES = frozenset({".safetensors", ".onnx", ".json", ".txt", ".model", ".yaml", ".yml"})
INCOMING = ".incoming-"
SHA256_DIGITS = 64
PACK_BYTES_MAX = 64 * 2**30
"""What an archive may become: several times the largest model that Immich knows."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository on the hub, and its name in the model folder. `optional`: not every model has it."""

    path: str
    name: str
    optional: bool = False


TOKENIZER = tuple(
    HubFile(name, name, optional=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "sentencepiece.bpe.model")
)
CLIP_FILES = (
    HubFile("open_clip_config.json", "open_clip_config.json"),
    HubFile("open_clip_model.safetensors", "open_clip_model.safetensors"),
    *TOKENIZER,
)
FACE_FILES = (HubFile("detection/model.onnx", "detection.onnx"), HubFile("recognition/model.onnx", "recognition.onnx"))
OCR_FILES = (HubFile("detection/model.onnx", "det.onnx"), HubFile("recognition/model.onnx", "rec.onnx"))

LICENCES = {
    ModelKind.FACES: (
        "insightface gives its packs (buffalo_*, antelopev2) away for non-commercial research only; for anything else "
        "ask insightface for a licence"
    )
}


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A folder in the model folder. `trouble`: why it cannot be used, `""` when it can."""

    weights: Weights
    size_bytes: int
    trouble: str


def models_in(model_folder: Path, *, verify: bool) -> list[FoundModel]:
    """Every model that lies there, by kind and name. `verify`: read the files and compare their sums."""
    look = checked_weights if verify else find_weights
    found = []
    for kind in ModelKind:
        for folder in sorted(_subfolders(model_folder / kind)):
            weights, trouble = Weights(kind, folder.name), ""
            try:
                look(model_folder, weights)
            except ModelUnavailable as missing:
                trouble = _said(missing, weights)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            found.append(FoundModel(weights, size, trouble))
    return found


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def fetch_model(model_folder: Path, weights: Weights, say: Say) -> Path:
    """Download a model from the hub (`HF_ENDPOINT`, `HF_TOKEN` as its own library reads them).

    Raises Refused when the hub has none or cannot be reached, or when a file is not what the hub says it is.
    """
    repository, files = hub_source(weights)
    with _staged(model_folder, weights) as staging, tempfile.TemporaryDirectory(dir=staging.parent) as downloads:
        for file in files:
            say(f"{repository}: {file.path}")
            if (path := _download(repository, file, Path(downloads))) is not None:
                path.replace(staging / file.name)
    return weights.folder(model_folder)


def hub_source(weights: Weights) -> tuple[str, tuple[HubFile, ...]]:
    """Which repository has a model, and what of it is wanted. Raises Refused for one that none has in a fitting format.

    Source: open_clip's list of pretrained models; spec/jobs-ml.md §2 for faces and texts.
    """
    match weights.kind:
        case ModelKind.CLIP:
            return _clip_repository(weights), CLIP_FILES
        case ModelKind.FACES:
            return f"immich-app/{weights.folder_name}", FACE_FILES
        case ModelKind.OCR:
            return f"immich-app/{weights.folder_name}", OCR_FILES


def _clip_repository(weights: Weights) -> str:
    model = clip_model(weights.name)
    if model is None:
        raise Refused(f"{weights.name} is no CLIP model that Immich knows: check the name for typos")
    if why := why_never_here(weights.name):
        raise Refused(f"{weights.name} cannot be used: {why}")
    from tasks.ml.torchvision_operators import define_missing_operators

    define_missing_operators()
    import open_clip

    found = open_clip.get_pretrained_cfg(model.architecture, model.tag) if model.architecture else {}
    repository = str(found.get("hf_hub", "")).rpartition("/")[0]
    if not repository:
        raise Refused(f"open_clip has no {weights.name} on the hub: bring its files by `heliostat models add`")
    return repository


def _download(repository: str, file: HubFile, downloads: Path) -> Path | None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        known = get_hf_file_metadata(hf_hub_url(repository, file.path))
        path = Path(hf_hub_download(repository, file.path, local_dir=downloads))
    except LocalEntryNotFoundError as error:  # what the library says when nobody answers
        raise Refused(_by_hand(repository, file, error)) from error
    except EntryNotFoundError as error:
        if file.optional:
            return None
        raise Refused(_by_hand(repository, file, error)) from error
    except Exception as error:  # a hub that is away ends in many ways
        raise Refused(_by_hand(repository, file, error)) from error
    if len(known.etag or "") == SHA256_DIGITS and sha256_of(path) != known.etag:
        raise Refused(f"{file.path} of {repository} is not what the hub says it is: its SHA-256 differs. Try again")
    return path


def _by_hand(repository: str, file: HubFile, error: Exception) -> str:
    said = str(error).strip().splitlines()
    return (
        f"{file.path} of {repository} could not be had from the hub ({said[0] if said else type(error).__name__}). "
        "Download it where you can, and bring it in by `heliostat models add`"
    )


def add_model(model_folder: Path, weights: Weights, source: Path) -> Path:
    """Copy a model from a folder, a file or a zip archive. Raises Refused, and leaves nothing, when it is not whole,
    holds pickles, or does not fit a `SHA256SUMS` that lies with it."""
    with _staged(model_folder, weights) as staging:
        if source.is_dir():
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                if name := _name_in_folder(path.relative_to(source).as_posix()):
                    shutil.copyfile(path, _unused(staging / name))
        elif zipfile.is_zipfile(source):
            _unpack(source, staging)
        elif source.is_file() and (name := _name_in_folder(source.name)):
            shutil.copyfile(source, staging / name)
        else:
            raise Refused(f"{source} is no folder, no zip archive and no file of a model")
    return weights.folder(model_folder)


def _unpack(archive: Path, staging: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        members = [member for member in packed.infolist() if not member.is_dir()]
        if sum(member.file_size for member in members) > PACK_BYTES_MAX:
            raise Refused(f"{archive} would unpack to more than {PACK_BYTES_MAX // 2**30} GB")
        for member in members:
            if name := _name_in_folder(member.filename):
                with packed.open(member) as source, _unused(staging / name).open("wb") as target:
                    shutil.copyfileobj(source, target)


def _name_in_folder(path: str) -> str | None:
    """The name of one file of a model, all in one folder: `detection/model.onnx` becomes `detection.onnx`. None: it is
    none of the model's (a read-me). Raises Refused for a pickle."""
    parts = PurePosixPath(path)
    if parts.suffix.lower() in PICKLES:
        raise Refused(f"{path} may run code when it is read: convert it to safetensors or ONNX first")
    if any(part.startswith(".") and part != ".." for part in parts.parts):
        return None
    if parts.name == MANIFEST:
        return MANIFEST
    if parts.suffix.lower() not in SUFFIXES:
        return None
    return f"{parts.parent.name}{parts.suffix}" if parts.stem == "model" and parts.parent.name else parts.name


def _unused(path: Path) -> Path:
    if path.exists():
        raise Refused(f"two files would be named {path.name}: bring in one model at a time")
    return path


@contextmanager
def _staged(model_folder: Path, weights: Weights) -> Iterator[Path]:
    """An empty folder; when the block ends well and it holds the whole model, it becomes the model's."""
    final = weights.folder(model_folder)
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=INCOMING, dir=final.parent) as workshop:
        staging = Path(workshop) / weights.kind / weights.folder_name
        staging.mkdir(parents=True)
        yield staging
        _check(Path(workshop), weights)
        write_manifest(staging)
        if final.exists():
            final.rename(before := Path(workshop) / "before")
            for folder in _subfolders(before):  # Immich's own, where this is its model cache
                folder.rename(staging / folder.name)
        staging.rename(final)


def _check(workshop: Path, weights: Weights) -> None:
    try:
        checked_weights(workshop, weights)
    except ModelUnavailable as missing:
        raise Refused(f"{weights.name} is not whole: {_said(missing, weights).partition(', or run')[0]}") from missing
    folder = weights.folder(workshop)
    if unknown := set(read_manifest(folder)) - {path.name for path in folder.iterdir()}:
        raise Refused(f"{MANIFEST} names {', '.join(sorted(unknown))}, which is not there")


def _said(missing: ModelUnavailable, weights: Weights) -> str:
    """What is wrong in a model's folder, where it is one file with its name."""
    name = Path(missing.wanted_path).name
    return missing.fix if name == weights.folder_name else f"{name}: {missing.fix}"
