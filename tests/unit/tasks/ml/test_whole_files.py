"""Files of weights that were cut short, wherever that was, and real ones that were not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.ml.whole_files import is_whole
from tests.tiny_models import TRAINED
from tests.weight_files import onnx, safetensors

REAL = sorted(path for path in TRAINED.rglob("*") if path.suffix in {".onnx", ".safetensors"})


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_a_real_file_is_whole_until_it_is_cut(path: Path, tmp_path: Path) -> None:
    assert is_whole(path)
    content, copy = path.read_bytes(), tmp_path / path.name
    for length in (0, 1, 8, 100, len(content) // 3, len(content) // 2, len(content) - 1000, len(content) - 1):
        copy.write_bytes(content[:length])
        assert not is_whole(copy), length
    copy.write_bytes(content + b"\0")
    assert not is_whole(copy)


def test_rapidocrs_own_networks_are_whole() -> None:
    rapidocr = pytest.importorskip("rapidocr")
    networks = list(Path(rapidocr.__file__).parent.glob("models/*.onnx"))
    assert networks
    assert all(is_whole(path) for path in networks)


@pytest.mark.parametrize("make", [safetensors, onnx])
def test_every_cut_is_found(make: Callable[[], bytes], tmp_path: Path) -> None:
    content = make()
    path = tmp_path / f"a.{make.__name__}"
    path.write_bytes(content)
    assert is_whole(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert not is_whole(path), length


@pytest.mark.parametrize(
    "content", [b"\xff" * 64, b"\0" * 64, b"words about a model, but no model", b"\x08\x01" * 20_000]
)
@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_noise_is_no_model_and_takes_no_time(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert not is_whole(path)


def test_of_other_files_it_is_known_that_they_are_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "open_clip_config.json"
    path.write_bytes(b"{}")
    assert is_whole(path)
    path.write_bytes(b"")
    assert not is_whole(path)
