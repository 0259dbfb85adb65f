"""Faces with networks of `buffalo_l`'s sizes and random weights, through insightface's own loader: photos and faces per
second on the threads that a process of the pool gets, and what it holds in memory.

Random weights find what they like, so detection is measured with a threshold that nothing reaches, and recognition with
crops of noise: a photo with three faces takes one of the first and three of the second.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bench.ml import make_previews, peak_mb
from tasks.ml.weights import ModelKind, Weights

FACES = Weights(ModelKind.FACES, "buffalo_l")
PREVIEWS, CROPS, ROUNDS = 24, 64, 3
NEVER = 1.1
"""No score reaches it."""


def run(tell: Callable[[str], None]) -> dict[str, float]:
    """Keys `faces.…`; see bench/README.md."""
    with tempfile.TemporaryDirectory(prefix="hf") as name:
        folder = Path(name)
        tell("faces: networks of buffalo_l's sizes with random weights, and previews")
        pack = FACES.folder(folder / "models")
        make_pack(pack)
        make_previews(folder / "previews")
        command = [sys.executable, "-m", "bench.faces", "--folder", str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        sizes = {path.stem: path.stat().st_size / 1e6 for path in pack.iterdir()}
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured | {f"faces.{name}.file_mb": size for name, size in sizes.items()}


def make_pack(folder: Path) -> None:
    """The two files that insightface looks for."""
    import torch

    from bench.face_networks import ANCHORS, STRIDES, Detector, Recognizer
    from tests.export_network import export

    folder.mkdir(parents=True)
    outputs = [f"{what}_{stride}" for what in ("score", "box", "marks") for stride in STRIDES]
    assert (len(outputs), ANCHORS) == (9, 2)  # by which insightface knows that there are landmarks
    axes = {"input": {2: "height", 3: "width"}} | {name: {0: f"cells_{name}"} for name in outputs}
    export(Detector(), torch.rand(1, 3, 640, 640), folder / "detection.onnx", outputs, axes)
    axes = {"input": {0: "faces"}, "embedding": {0: "faces"}}
    export(Recognizer(), torch.rand(2, 3, 112, 112), folder / "recognition.onnx", ["embedding"], axes)


def threads() -> int:
    """What a process of the pool gets on this machine."""
    from tasks.jobs.detect_faces import SPEC

    assert SPEC.pool is not None
    return max(1, int(min(SPEC.pool.cpus, len(os.sched_getaffinity(0)))))


def measure(folder: Path) -> dict[str, float]:
    """In a process of its own, as memory is measured."""
    from tasks.ml.faces import CROPS_AT_ONCE, load_faces

    before_mb, began_s = peak_mb(), time.perf_counter()
    model = load_faces(folder / "models", FACES.name, threads())
    results = {"faces.load_s": time.perf_counter() - began_s}
    pictures = []
    for path in sorted((folder / "previews").iterdir())[:PREVIEWS]:
        with Image.open(path) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    crops = list(np.random.default_rng(1).integers(0, 255, (CROPS, 112, 112, 3), np.uint8))

    def look() -> None:
        found = model.find(pictures, NEVER)
        assert len(found) == len(pictures)
        assert not any(found)

    def embed() -> None:
        assert len(model._embeddings(crops)) == CROPS

    def embed_one_by_one() -> None:
        for crop in crops:
            model._embeddings([crop])

    for key, what, count in (
        ("faces.detect.photos_per_s", look, len(pictures)),
        (f"faces.embed.batch{CROPS_AT_ONCE}.faces_per_s", embed, CROPS),
        ("faces.embed.batch1.faces_per_s", embed_one_by_one, CROPS),
    ):
        what()
        rates, costs = [], []
        for _ in range(ROUNDS):
            began_s, cpu_s = time.perf_counter(), time.process_time()
            what()
            rates.append(count / (time.perf_counter() - began_s))
            costs.append(1000 * (time.process_time() - cpu_s) / count)
        results[key] = statistics.median(rates)
        results[key.rpartition(".")[0] + ".cpu_ms"] = statistics.median(costs)
    return results | {"faces.peak_mb": peak_mb(), "faces.peak_before_loading_mb": before_mb}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="with `models` and `previews`")
    print(json.dumps(measure(parser.parse_args().folder)))
