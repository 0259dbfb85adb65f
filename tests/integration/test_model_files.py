"""Models come into the model folder whole or not at all: from a hub that answers as the real one, and from files."""

import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster.errors import Refused
from serve_app.services.model_files import add_model, hub_source, models_in
from tasks.ml.weights import MANIFEST, ModelKind, Weights, checked_weights, read_manifest
from tests.shared_media import REPOSITORY
from tests.weight_files import cut_short, onnx, safetensors

CLIP = Weights(ModelKind.CLIP, "ViT-B-32__openai")
FACES = Weights(ModelKind.FACES, "buffalo_s")
DETECTOR, RECOGNIZER = onnx(b"a detector"), onnx(b"a recognizer")


@dataclass
class Hub:
    """Files by path; `lies_about`: the sum that is told is another file's."""

    files: dict[str, bytes] = field(default_factory=dict)
    lies_about: set[str] = field(default_factory=set)
    address: str = ""


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = self.path.lstrip("/").replace("/resolve/main/", "/", 1)
            content = hub.files.get(path)
            self.send_response(404 if content is None else 200)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
            else:
                told = b"another" if path in hub.lies_about else content
                self.send_header("ETag", f'"{hashlib.sha256(told).hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body and content is not None:
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class' name
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def heliostat(folder: Path, hub_address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own: the hub's library reads its address once."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "HF_ENDPOINT": hub_address,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "IMMICH_MEDIA_LOCATION": str(folder / "media"),
        "HELIOSTAT_MODEL_FOLDER": str(folder / "models"),
        "COLUMNS": "400",
    }
    command = [sys.executable, "-m", "serve_app.cli", "models", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=90, check=False)


def put_faces(hub: Hub) -> None:
    hub.files["immich-app/buffalo_s/detection/model.onnx"] = DETECTOR
    hub.files["immich-app/buffalo_s/recognition/model.onnx"] = RECOGNIZER


def test_a_model_is_fetched_whole_with_its_sums_and_its_licence(hub: Hub, tmp_path: Path) -> None:
    put_faces(hub)
    done = heliostat(tmp_path, hub.address, "fetch", "facial-recognition", "buffalo_s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "non-commercial research only" in done.stdout

    folder = tmp_path / "models" / "facial-recognition" / "buffalo_s"
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST} == {
        "detection.onnx": DETECTOR,
        "recognition.onnx": RECOGNIZER,
    }
    assert read_manifest(folder)["detection.onnx"] == hashlib.sha256(DETECTOR).hexdigest()
    assert [path.name for path in folder.parent.iterdir()] == ["buffalo_s"]  # no leftovers


def test_a_file_that_is_not_what_the_hub_says_does_not_come_in(hub: Hub, tmp_path: Path) -> None:
    put_faces(hub)
    hub.lies_about.add("immich-app/buffalo_s/recognition/model.onnx")
    done = heliostat(tmp_path, hub.address, "fetch", "facial-recognition", "buffalo_s")
    assert done.returncode == 1
    assert "its SHA-256 differs" in done.stderr
    assert models_in(tmp_path / "models", verify=True) == []


def test_a_hub_that_is_away_leads_to_files_by_hand(hub: Hub, tmp_path: Path) -> None:
    missing = heliostat(tmp_path, hub.address, "fetch", "facial-recognition", "buffalo_s")
    away = heliostat(tmp_path, "http://127.0.0.1:1", "fetch", "facial-recognition", "buffalo_s")
    for done in (missing, away):
        assert done.returncode == 1
        assert "heliostat models add" in done.stderr
        assert "Traceback" not in done.stderr
    assert models_in(tmp_path / "models", verify=True) == []


def test_the_list_says_what_lies_there_what_is_damaged_and_what_is_wanted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "det_500m.onnx").write_bytes(DETECTOR)
    (source / "w600k_mbf.onnx").write_bytes(RECOGNIZER)
    folder = add_model(tmp_path / "models", FACES, source)
    first = heliostat(tmp_path, "http://127.0.0.1:1", "list", "--verify")
    assert "buffalo_s" in first.stdout
    assert "unusable" not in first.stdout
    assert "non-commercial research only" in first.stdout

    (folder / "det_500m.onnx").write_bytes(onnx(b"another"))
    second = heliostat(tmp_path, "http://127.0.0.1:1", "list", "--verify")
    assert second.returncode == 1
    assert "det_500m.onnx is not what SHA256SUMS" in second.stdout


def test_clip_models_come_from_where_open_clip_says() -> None:
    pytest.importorskip("torch")
    repository, files = hub_source(CLIP)
    assert repository.count("/") == 1
    assert {"open_clip_config.json", "open_clip_model.safetensors"} <= {file.name for file in files}
    with pytest.raises(Refused, match="no CLIP model that Immich knows"):
        hub_source(Weights(ModelKind.CLIP, "ViT-B-33__openai"))
    with pytest.raises(Refused, match="cannot be used: the text half of it is described on a hub alone"):
        hub_source(Weights(ModelKind.CLIP, "nllb-clip-base-siglip__v1"))


def test_a_folder_is_added_with_what_belongs_to_the_model(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "open_clip_config.json").write_text("{}")
    (source / "open_clip_model.safetensors").write_bytes(safetensors())
    (source / "README.md").write_text("words")
    (source / ".git").mkdir()
    (source / ".git" / "config.json").write_text("{}")
    folder = add_model(tmp_path / "models", CLIP, source)
    assert sorted(path.name for path in folder.iterdir()) == [
        MANIFEST,
        "open_clip_config.json",
        "open_clip_model.safetensors",
    ]
    assert {path.parent for path in checked_weights(tmp_path / "models", CLIP)} == {folder}


def test_another_version_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for content in (b"\1" * 8, b"\2" * 8):
        source = tmp_path / f"source {content[0]}"
        source.mkdir()
        (source / "open_clip_config.json").write_text("{}")
        (source / "open_clip_model.safetensors").write_bytes(safetensors(content))
        folder = add_model(tmp_path / "models", CLIP, source)
        assert (folder / "open_clip_model.safetensors").read_bytes().endswith(content)
    assert [path.name for path in folder.parent.iterdir()] == [CLIP.folder_name]


def test_immichs_own_cache_fits(tmp_path: Path) -> None:
    for part in ("detection", "recognition"):
        path = tmp_path / "cache" / part / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(onnx(part.encode()))
    folder = add_model(tmp_path / "models", FACES, tmp_path / "cache")
    assert (folder / "detection.onnx").read_bytes() == onnx(b"detection")
    assert (folder / "recognition.onnx").read_bytes() == onnx(b"recognition")


def test_what_comes_into_immichs_own_cache_takes_nothing_from_it(tmp_path: Path) -> None:
    visual = CLIP.folder(tmp_path / "models") / "visual" / "model.onnx"
    visual.parent.mkdir(parents=True)
    visual.write_bytes(onnx())
    source = tmp_path / "source"
    source.mkdir()
    (source / "open_clip_config.json").write_text("{}")
    (source / "open_clip_model.safetensors").write_bytes(safetensors())
    add_model(tmp_path / "models", CLIP, source)
    assert visual.read_bytes() == onnx()
    assert [model.trouble for model in models_in(tmp_path / "models", verify=True)] == [""]


def zip_of(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return path


def test_a_zip_is_unpacked_into_the_folder_and_nowhere_else(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "pack.zip", **{"..__..__det.onnx": DETECTOR, "buffalo_s__rec.onnx": RECOGNIZER})
    folder = add_model(tmp_path / "models", FACES, archive)
    assert sorted(path.name for path in folder.iterdir()) == [MANIFEST, "det.onnx", "rec.onnx"]
    assert not (tmp_path / "det.onnx").exists()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"a__det.onnx": DETECTOR, "b__det.onnx": RECOGNIZER}, "two files would be named det.onnx"),
        ({"det.onnx": DETECTOR, "rec.onnx": RECOGNIZER, "extra.pth": b"a pickle"}, "may run code"),
        ({"det.onnx": DETECTOR}, "is not whole"),
        (
            {"det.onnx": DETECTOR, "rec.onnx": RECOGNIZER, "SHA256SUMS": b"00  rec.onnx\n"},
            "is not whole: rec.onnx is not what",
        ),
        ({"det.onnx": DETECTOR, "rec.onnx": RECOGNIZER, "SHA256SUMS": b"00  gone.onnx\n"}, "gone.onnx is not what"),
    ],
)
def test_what_is_not_a_whole_model_leaves_nothing(tmp_path: Path, files: dict[str, bytes], why: str) -> None:
    with pytest.raises(Refused, match=why):
        add_model(tmp_path / "models", FACES, zip_of(tmp_path / "pack.zip", **files))
    assert models_in(tmp_path / "models", verify=False) == []


def test_safetensors_that_were_cut_short_are_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "open_clip_config.json").write_text("{}")
    for content in (safetensors()[:-1], b"\xff" * 16, b"short", safetensors() + b"\0"):
        (source / "model.safetensors").write_bytes(content)
        with pytest.raises(Refused, match=r"is not whole: model\.safetensors: it is cut short"):
            add_model(tmp_path / "models", CLIP, source)


def test_the_list_names_a_file_that_was_cut_short_without_reading_sums(tmp_path: Path) -> None:
    folder = add_model(
        tmp_path / "models", FACES, zip_of(tmp_path / "a.zip", **{"det.onnx": DETECTOR, "rec.onnx": RECOGNIZER})
    )
    cut_short(folder / "rec.onnx")
    (model,) = models_in(tmp_path / "models", verify=False)
    assert "rec.onnx" in model.trouble
