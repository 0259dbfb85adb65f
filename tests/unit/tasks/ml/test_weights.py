"""Which files a model needs, where they lie, and that a damaged one is not loaded."""

import pickle
import subprocess
from pathlib import Path

import pytest

from cluster.errors import ModelUnavailable
from tasks.ml.weights import (
    MANIFEST,
    ModelKind,
    Weights,
    checked_weights,
    find_weights,
    read_manifest,
    write_manifest,
)

CLIP = Weights(ModelKind.CLIP, "ViT-B-32__openai")
FACES = Weights(ModelKind.FACES, "buffalo_l")


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    folder = CLIP.folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text("{}")
    (folder / "open_clip_model.safetensors").write_bytes(b"numbers")
    return folder


def test_a_model_that_is_there_is_found_below_its_kind(tmp_path: Path, clip_folder: Path) -> None:
    assert find_weights(tmp_path, CLIP) == clip_folder == tmp_path / "clip" / "ViT-B-32__openai"


def test_a_missing_model_names_its_place_its_files_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as raised:
        find_weights(tmp_path, CLIP)
    message = str(raised.value)
    assert str(CLIP.folder(tmp_path)) in message
    assert "open_clip_config.json and open_clip_model.safetensors" in message
    assert "heliostat models fetch clip ViT-B-32__openai" in message
    assert str(pickle.loads(pickle.dumps(raised.value))) == message


def test_an_empty_file_is_none(tmp_path: Path, clip_folder: Path) -> None:
    (clip_folder / "open_clip_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelUnavailable, match=r"put open_clip_model\.safetensors there"):
        find_weights(tmp_path, CLIP)


def test_faces_need_a_detector_and_a_recognizer(tmp_path: Path) -> None:
    folder = FACES.folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "det_10g.onnx").write_bytes(b"x")
    with pytest.raises(ModelUnavailable, match="a recognizer"):
        find_weights(tmp_path, FACES)
    (folder / "w600k_r50.onnx").write_bytes(b"x")
    assert find_weights(tmp_path, FACES) == folder


@pytest.mark.parametrize(
    ("name", "folder_name"), [("immich-app/ViT-B-32__openai", "ViT-B-32__openai"), ("a:b", "a_b"), ("x.1+y", "x.1+y")]
)
def test_a_name_is_read_as_immich_reads_it(name: str, folder_name: str) -> None:
    assert Weights(ModelKind.CLIP, name).folder_name == folder_name


@pytest.mark.parametrize("name", ["", "..", "a/..", ".hidden", "a b", "a\\b", "a\0", "a/"])
def test_no_name_leads_out_of_the_model_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelUnavailable, match="no model has such a name"):
        find_weights(tmp_path, Weights(ModelKind.CLIP, name))


def test_a_file_that_changed_since_its_manifest_is_not_loaded(tmp_path: Path, clip_folder: Path) -> None:
    checked_weights(tmp_path, CLIP)  # without a manifest there is nothing to compare with
    write_manifest(clip_folder)
    assert checked_weights(tmp_path, CLIP) == clip_folder
    assert subprocess.run(["sha256sum", "--check", MANIFEST], cwd=clip_folder, capture_output=True).returncode == 0

    (clip_folder / "open_clip_model.safetensors").write_bytes(b"damaged")
    assert find_weights(tmp_path, CLIP) == clip_folder
    with pytest.raises(ModelUnavailable, match=r"open_clip_model\.safetensors is not what SHA256SUMS"):
        checked_weights(tmp_path, CLIP)


def test_a_manifest_names_nothing_outside_its_folder(clip_folder: Path) -> None:
    (clip_folder / MANIFEST).write_text("00  ../../etc/passwd\n11  here\n\n")
    assert read_manifest(clip_folder) == {"here": "11"}
