"""What the doctor says of models, on a machine as it is."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cluster.settings import Settings, read_settings
from serve_app.cli_doctor import Finding, examine, report
from serve_app.services.model_files import add_model
from tasks.ml.weights import ModelKind, Weights
from tests.tiny_models import TRAINED


def settings(folder: Path, **more: str) -> Settings:
    return read_settings({"HOME": str(folder), "IMMICH_MEDIA_LOCATION": str(folder / "media"), **more})


def findings(folder: Path, **more: str) -> dict[str, Finding]:
    (folder / "media").mkdir(exist_ok=True)
    return {finding.name: finding for finding in examine(settings(folder, **more))}


def test_a_model_that_is_missing_is_named_with_its_place_until_it_is_there(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    before = findings(tmp_path)
    assert (before["torch"].cure, before["ONNX Runtime"].cure) == ("", "")
    missing = before["model, clip"]
    assert missing.found == str(tmp_path / "media" / "models" / "clip" / "ViT-B-32__openai")
    assert "heliostat models fetch clip ViT-B-32__openai" in missing.cure
    assert report(list(before.values()), Console(file=StringIO()))  # without it, all else goes on

    weights = Weights(ModelKind.CLIP, "ViT-B-32__openai")
    add_model(tmp_path / "media" / "models", weights, TRAINED / "clip" / "tiny")
    assert findings(tmp_path)["model, clip"].cure == ""


def test_a_machine_that_is_no_api_node_looks_for_no_database(tmp_path: Path) -> None:
    found = findings(tmp_path, IMMICH_WORKERS_EXCLUDE="api,machine-learning")["database"]
    assert (found.found, found.cure) == ("none of this machine's business: it is no api node", "")
    assert not list((tmp_path / "media").glob("heliostat.db*"))


def test_a_node_without_models_is_not_asked_for_them(tmp_path: Path) -> None:
    names = set(findings(tmp_path, IMMICH_WORKERS_EXCLUDE="machine-learning"))
    assert not {name for name in names if name.startswith("model") or name in ("torch", "ONNX Runtime")}
    assert "ffmpeg" in names
