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
    is_being_written,
    read_manifest,
    stamp,
    write_manifest,
)
from tests.weight_files import cut_short, onnx, safetensors

CLIP = Weights(ModelKind.CLIP, "ViT-B-32__openai")
FACES = Weights(ModelKind.FACES, "buffalo_l")


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    folder = CLIP.folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text("{}")
    (folder / "open_clip_model.safetensors").write_bytes(safetensors())
    return folder


def test_a_model_that_is_there_is_found_below_its_kind(tmp_path: Path, clip_folder: Path) -> None:
    names = ("open_clip_config.json", "open_clip_model.safetensors")
    assert clip_folder == tmp_path / "clip" / "ViT-B-32__openai"
    assert find_weights(tmp_path, CLIP) == tuple(clip_folder / name for name in names)


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
    (folder / "det_10g.onnx").write_bytes(onnx())
    with pytest.raises(ModelUnavailable, match="a recognizer"):
        find_weights(tmp_path, FACES)
    (folder / "w600k_r50.onnx").write_bytes(onnx())
    assert find_weights(tmp_path, FACES) == (folder / "det_10g.onnx", folder / "w600k_r50.onnx")


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
    assert checked_weights(tmp_path, CLIP) == find_weights(tmp_path, CLIP)
    assert subprocess.run(["sha256sum", "--check", MANIFEST], cwd=clip_folder, capture_output=True).returncode == 0

    (clip_folder / "open_clip_model.safetensors").write_bytes(safetensors(b"\1" * 16))
    assert len(find_weights(tmp_path, CLIP)) == 2
    with pytest.raises(ModelUnavailable, match=r"open_clip_model\.safetensors is not what SHA256SUMS"):
        checked_weights(tmp_path, CLIP)


def test_a_manifest_names_nothing_outside_its_folder(clip_folder: Path) -> None:
    (clip_folder / MANIFEST).write_text("00  ../../etc/passwd\n11  here\n\n")
    assert read_manifest(clip_folder) == {"here": "11"}


@pytest.fixture
def immichs_cache(tmp_path: Path) -> Path:
    """The folder of a face pack in it."""
    folder = FACES.folder(tmp_path)
    for part in ("detection", "recognition"):
        (folder / part).mkdir(parents=True)
        (folder / part / "model.onnx").write_bytes(onnx(part.encode()))
    return folder


def test_a_pack_in_immichs_own_cache_is_found_where_it_lies(tmp_path: Path, immichs_cache: Path) -> None:
    found = find_weights(tmp_path, FACES)
    assert found == (immichs_cache / "detection" / "model.onnx", immichs_cache / "recognition" / "model.onnx")
    assert find_weights(tmp_path, Weights(ModelKind.FACES, "immich-app/buffalo_l")) == found
    assert is_being_written(found)


def test_files_side_by_side_win_over_immichs_own(tmp_path: Path, immichs_cache: Path) -> None:
    for name in ("det_10g.onnx", "w600k_r50.onnx", "._det_10g.onnx"):
        (immichs_cache / name).write_bytes(onnx())
    assert [path.name for path in find_weights(tmp_path, FACES)] == ["det_10g.onnx", "w600k_r50.onnx"]


def test_half_a_pack_of_immichs_cache_is_named_as_such(tmp_path: Path, immichs_cache: Path) -> None:
    (immichs_cache / "recognition" / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelUnavailable) as raised:
        find_weights(tmp_path, FACES)
    message = str(raised.value)
    assert "Immich's own model cache (detection/, recognition/), in which recognition/model.onnx is missing" in message
    assert str(immichs_cache) in message
    assert "heliostat models fetch facial-recognition buffalo_l" in message


def test_clip_in_immichs_cache_is_seen_and_what_is_wanted_instead_is_said(tmp_path: Path) -> None:
    for part in ("textual", "visual"):
        (CLIP.folder(tmp_path) / part).mkdir(parents=True)
        (CLIP.folder(tmp_path) / part / "model.onnx").write_bytes(onnx())
    with pytest.raises(ModelUnavailable) as raised:
        find_weights(tmp_path, CLIP)
    message = str(raised.value)
    assert "Immich's own model cache (textual/, visual/), whose CLIP files are not read here" in message
    assert "put open_clip_config.json and open_clip_model.safetensors beside them" in message


def test_a_file_that_was_cut_short_is_named_before_anything_is_loaded(tmp_path: Path, immichs_cache: Path) -> None:
    broken = immichs_cache / "detection" / "model.onnx"
    cut_short(broken)
    with pytest.raises(ModelUnavailable, match="it is cut short or damaged: fetch or add the model again") as raised:
        find_weights(tmp_path, FACES)
    assert raised.value.wanted_path == str(broken)


def test_another_file_of_the_same_name_is_another_model(tmp_path: Path, clip_folder: Path) -> None:
    before = stamp(find_weights(tmp_path, CLIP))
    assert stamp(find_weights(tmp_path, CLIP)) == before
    (clip_folder / "open_clip_model.safetensors").write_bytes(safetensors(b"\1" * 32))
    assert stamp(find_weights(tmp_path, CLIP)) != before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("XLM-Roberta-Large-Vit-B-32", "M-CLIP's format, which nothing here reads"),
        ("nllb-clip-base-siglip__v1", "described on a hub alone"),
        ("XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k", "described on a hub alone"),
    ],
)
def test_a_model_that_never_runs_here_asks_for_no_files(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"{name} .*{said}.*: choose another in the settings"):
        find_weights(tmp_path, Weights(ModelKind.CLIP, name))


def test_what_a_model_needs_besides_its_files_is_said_before_they_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"models fetch clip ViT-B-16-SigLIP2__webli`; .*transformers"):
        find_weights(tmp_path, Weights(ModelKind.CLIP, "ViT-B-16-SigLIP2__webli"))
    with pytest.raises(ModelUnavailable) as raised:
        find_weights(tmp_path, CLIP)
    assert "transformers" not in str(raised.value)
