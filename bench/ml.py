"""ViT-B-32 with random weights: pictures per second through the queue, against the bare model and ONNX Runtime.

Previews are 1440 pixels high, as the server makes them. At each batch the bare model and the queue take turns, so that
a machine that changes its speed changes both. Bare is the model with its preprocessing in a loop: no queue, no Ray, no
rows. ONNX Runtime is used as Immich uses it: one picture at a time, decoded whole, in float32. What a machine could do
is measured by multiplying matrices in the same numbers. CPU time is that of every process of the stack.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from PIL import Image
from sqlalchemy import insert, text

from bench.processes import Key, Seen, command_of, cost_between, memory_of, of_stack, read_stats
from tasks.ml.weights import ModelKind, Weights
from tests.shared_media import find_shared_dir

if TYPE_CHECKING:
    from cluster.settings import Settings

MODEL = Weights(ModelKind.CLIP, "ViT-B-32__openai")
BATCHES = (1, 8, 32)
PREVIEWS = 64
PICTURES = {1: 128, 8: 512, 32: 512}
"""At each batch, so that starting and ending weigh little. The previews are used again and again."""
ROUNDS = 3
TEXTS = 60
GIVE_UP_S = 300.0
SIDE = 2048
"""Of the matrices that are multiplied."""


def run(tell: Callable[[str], None]) -> dict[str, float]:
    """Keys `ml.…`; see bench/README.md."""
    from cluster.settings import read_settings
    from cluster.stack import Stack

    with tempfile.TemporaryDirectory(prefix="hm") as name:
        folder = Path(name)
        tell("ml: a ViT-B-32 with random weights, and previews")
        make_model(folder / "models")
        make_previews(folder / "previews")
        environ = {
            **os.environ,
            "IMMICH_MEDIA_LOCATION": f"{folder}/m",
            "HELIOSTAT_STATE_DIR": f"{folder}/s",
            "HELIOSTAT_MODEL_FOLDER": f"{folder}/models",
            "IMMICH_PORT": "2399",
            "HELIOSTAT_DASHBOARD": "false",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        results = alone(folder, environ, "onnx", "text", "memory", "limit")
        tell(f"ml: pictures bare and through the queue by turns, {ROUNDS} rounds at each batch")
        stack = Stack(read_settings(environ), environ)
        stack.lock()
        stack.start_ray()
        try:
            results |= alone(folder, stack.environment, "queue")
        finally:
            stack.end_everything()
    for batch in BATCHES:
        bare, queue = results[f"ml.bare.batch{batch}.images_per_s"], results[f"ml.queue.batch{batch}.images_per_s"]
        results[f"ml.queue.batch{batch}.share_of_bare"] = queue / bare
        flops = queue * results["ml.gflop_per_image"]
        results[f"ml.queue.batch{batch}.share_of_matmul"] = flops / results["ml.matmul.bfloat16.gflop_per_s"]
    return results


def alone(folder: Path, environ: dict[str, str], *parts: str) -> dict[str, float]:
    """Each part in a process of its own: memory is measured, and threads are set once per process."""
    results: dict[str, float] = {}
    for part in parts:
        command = [sys.executable, "-m", "bench.ml", "--part", part, "--folder", str(folder)]
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
        results |= json.loads(done.stdout.splitlines()[-1])
    return results


def make_model(model_folder: Path) -> None:
    """Random weights, in float16 as they are published, with open_clip's own description."""
    from tasks.ml.torchvision_operators import define_missing_operators

    define_missing_operators()
    import open_clip
    from safetensors.torch import save_file

    architecture, folder = "ViT-B-32-quickgelu", MODEL.folder(model_folder)
    folder.mkdir(parents=True)
    model = open_clip.create_model(architecture)
    half = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(half, folder / "open_clip_model.safetensors")
    preprocess = open_clip.get_pretrained_cfg(architecture, "openai")
    kept = {name: preprocess[name] for name in ("mean", "std", "interpolation", "resize_mode")}
    config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": kept}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def make_previews(folder: Path) -> None:
    """1920 x 1440, quality 80, of the shared photos where they are, else of coarse noise."""
    folder.mkdir()
    random, shared = np.random.default_rng(1), find_shared_dir()
    photos = sorted((shared / "media").rglob("*.jpg")) if shared else []
    for index in range(PREVIEWS):
        if photos:
            with Image.open(photos[index % len(photos)]) as photo:
                picture = photo.convert("RGB").resize((1920, 1440), Image.Resampling.BICUBIC)
        else:
            coarse = random.integers(0, 255, (90, 120, 3), np.uint8)
            picture = Image.fromarray(coarse).resize((1920, 1440), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:03}.jpg", quality=80)


def threads() -> int:
    """What a process of the pool gets on this machine."""
    from tasks.jobs.smart_search import SPEC

    assert SPEC.pool is not None
    return max(1, int(min(SPEC.pool.cpus, len(os.sched_getaffinity(0)))))


def embed_all(encoder: Any, paths: Sequence[Path], batch: int) -> tuple[float, float]:
    """(pictures per second, CPU ms per picture) of this process."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    for start in range(0, len(paths), batch):
        encoder.embed_files(paths[start : start + batch])
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    return len(paths) / wall_s, 1000 * cpu_s / len(paths)


def measure_onnx(folder: Path) -> dict[str, float]:
    """As Immich does it: one at a time, decoded whole, the shorter side scaled, the middle cut out, float32."""
    from tasks.ml.clip import Runtime, load_image_encoder

    encoder = load_image_encoder(folder / "models", MODEL.name, threads(), Runtime.ONNX)
    rates, costs = [], []
    paths = sorted((folder / "previews").iterdir())
    for _ in range(ROUNDS):
        began_s, cpu_s = time.perf_counter(), time.process_time()
        for path in paths:
            with Image.open(path) as image:
                photo = image.convert("RGB")
            scale = encoder.view.side_px / min(photo.size)
            size = (round(photo.width * scale), round(photo.height * scale))
            small = np.asarray(photo.resize(size, Image.Resampling.BICUBIC))
            top, left = ((side - encoder.view.side_px) // 2 for side in small.shape[:2])
            square = small[top : top + encoder.view.side_px, left : left + encoder.view.side_px]
            encoder.embed(np.ascontiguousarray(square)[None])
        rates.append(len(paths) / (time.perf_counter() - began_s))
        costs.append(1000 * (time.process_time() - cpu_s) / len(paths))
    results = {"ml.onnx_as_immich.images_per_s": statistics.median(rates)}
    results["ml.onnx_as_immich.cpu_ms"] = statistics.median(costs)
    for batch in BATCHES:
        measured = [embed_all(encoder, paths, batch) for _ in range(ROUNDS)]
        results[f"ml.onnx.batch{batch}.images_per_s"] = statistics.median(rate for rate, _ in measured)
    return results


def measure_text(folder: Path) -> dict[str, float]:
    """One short query after the other, and one that fills the context: that is what a short one takes uncut."""
    from tasks.ml.clip import load_text_encoder

    began_s = time.perf_counter()
    encoder = load_text_encoder(folder / "models", MODEL.name, threads())
    results = {"ml.text.load_s": time.perf_counter() - began_s}
    for name, words in (("ml.text.p50_ms", "a red bicycle number {}"), ("ml.text.uncut_p50_ms", "word {} " * 80)):
        taken = []
        for index in range(TEXTS):
            began_s = time.perf_counter()
            encoder.embed([words.replace("{}", str(index))])
            taken.append(1000 * (time.perf_counter() - began_s))
        results[name] = statistics.median(taken)
    return results | {"ml.text.peak_mb": peak_mb()}


def measure_memory(folder: Path) -> dict[str, float]:
    """The peak of a process that loads the pictures' half and embeds the largest batch."""
    from tasks.ml.clip import load_image_encoder

    encoder = load_image_encoder(folder / "models", MODEL.name, threads())
    encoder.embed_files(sorted((folder / "previews").iterdir())[: max(BATCHES)])
    return {"ml.bare.peak_mb": peak_mb(), "ml.bare.now_mb": psutil.Process().memory_info().rss / 2**20}


def peak_mb() -> float:
    """Of this process since it began; `ru_maxrss` counts the process before `exec`, too."""
    (line,) = [line for line in _status(os.getpid()) if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def measure_limit(folder: Path) -> dict[str, float]:
    """What multiplying matrices reaches here, and what one picture takes of it."""
    from tasks.ml import clip

    module: Any = clip._from_pixels(clip._open_model(folder / "models", MODEL.name, threads()).visual)
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    results: dict[str, float] = {}
    for name in ("bfloat16", "float32"):
        matrix = torch.rand(SIDE, SIDE).to(getattr(torch, name))
        speeds = []
        for _ in range(2 * ROUNDS):
            began_s = time.perf_counter()
            for _ in range(8):
                matrix @ matrix
            speeds.append(8 * 2 * SIDE**3 / (time.perf_counter() - began_s) / 1e9)
        results[f"ml.matmul.{name}.gflop_per_s"] = statistics.median(speeds)
    with FlopCounterMode(display=False) as counter, clip._plain_attention():
        module(torch.zeros((1, 224, 224, 3), dtype=torch.uint8))
    return results | {"ml.gflop_per_image": counter.get_total_flops() / 1e9}


def measure_queue(folder: Path) -> dict[str, float]:
    """Inside the stack's environment: bare and through the queue by turns, at every batch."""

    from cluster.ray_join import join
    from cluster.settings import read_settings
    from tasks.ml.clip import best_runtime, load_image_encoder

    settings = read_settings(os.environ)
    join(settings)
    previews = sorted((folder / "previews").iterdir())
    encoder = load_image_encoder(folder / "models", MODEL.name, threads())
    print(f"{threads()} threads, {best_runtime()}", file=sys.stderr)
    queue = Queue(settings, previews * (max(PICTURES.values()) // PREVIEWS))
    results: dict[str, float] = {}
    for batch in BATCHES:
        count = PICTURES[batch]
        queue.start_controller(batch)
        queue.embed(count)  # the process starts and loads its model
        bare, through = [], []
        for _ in range(ROUNDS):
            bare.append(embed_all(encoder, queue.paths[:count], batch))
            through.append(queue.embed(count))
            print(
                f"batch {batch}: bare {bare[-1][0]:.1f}, queue {through[-1].images_per_s:.1f} a second", file=sys.stderr
            )
        results |= _results(f"ml.bare.batch{batch}", bare)
        results |= _results(f"ml.queue.batch{batch}", [(one.images_per_s, one.cpu_ms) for one in through])
        for part in sorted({part for one in through for part in one.cpu_ms_by_part}):
            spent = statistics.median(one.cpu_ms_by_part.get(part, 0.0) for one in through)
            results[f"ml.queue.batch{batch}.cpu_ms.{part.replace(' ', '_')}"] = spent
    return results | {"ml.actor.peak_mb": peak_of_workers_mb(settings.state_dir)}


def _results(key: str, measured: Sequence[tuple[float, float]]) -> dict[str, float]:
    rates, costs = zip(*measured, strict=True)
    return {f"{key}.images_per_s": statistics.median(rates), f"{key}.cpu_ms": statistics.median(costs)}


def peak_of_workers_mb(state_dir: Path) -> float:
    """The largest that a process of this stack's Ray was; this process is none of them."""
    pids = [one.pid for one in memory_of(state_dir, os.getpid()) if one.pid != os.getpid()]
    return max(int(line.split()[1]) for pid in pids for line in _status(pid) if line.startswith("VmHWM")) / 1024


def _status(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/status").read_text().splitlines()


@dataclass(frozen=True, slots=True)
class Through:
    """What pictures took on their way through the queue. CPU time, for each, is of every process of the stack."""

    images_per_s: float
    cpu_ms: float
    cpu_ms_by_part: dict[str, float]


class Queue:
    """A server's database with one user's assets, whose previews are `paths`, and the server's own controller."""

    def __init__(self, settings: "Settings", paths: Sequence[Path]) -> None:
        from cluster.db.engine import Database
        from cluster.db.migrations import migrate
        from cluster.db.queue_store import SqlQueueStore
        from cluster.storage.mounts import check_folders

        check_folders(settings.media_root, {}, ignore_errors=False, now=datetime.now(UTC))
        self.paths, self._settings = paths, settings
        self._database = Database(settings.database_url)
        migrate(self._database.durable)
        self._store = SqlQueueStore(self._database)
        self._ids = self._add_assets(paths)
        self._controller: Any = None

    def start_controller(self, batch: int) -> None:
        """As the server starts it, but for the jobs to a call; the one before is ended. The models' processes stay."""
        import ray

        from cluster.launch import controller_actor, controller_name

        if self._controller is not None:
            ray.kill(self._controller)
        actor: Any = ray.remote(_controller_class())
        name = controller_name(0)
        self._controller = actor.options(name=controller_actor(name), num_cpus=0, max_concurrency=8).remote(name, batch)
        ray.get(self._controller.ready.remote(), timeout=GIVE_UP_S)

    def embed(self, count: int) -> Through:
        """The first so many assets, from the first enqueue to the last row."""
        from cluster.names import JobName, QueueName
        from cluster.queue.job import asset_job

        jobs = [asset_job(JobName.SMART_SEARCH, asset_id) for asset_id in self._ids[:count]]
        before, began_s = self._used(), time.perf_counter()
        with self._store.transaction() as tx:
            self._store.enqueue(tx, jobs)
        while self._any_job():
            if time.perf_counter() - began_s > GIVE_UP_S:
                raise TimeoutError(f"not done after {GIVE_UP_S:.0f} s")
            time.sleep(0.05)
        wall_s, cost = time.perf_counter() - began_s, cost_between(before, self._used())
        with self._store.transaction(reading=True) as tx:
            assert not self._store.counts(tx)[QueueName.SMART_SEARCH].failed
        by_part = {part: 1000 * cpu_s / count for part, cpu_s in cost.cpu_s.items() if cpu_s}
        return Through(count / wall_s, 1000 * cost.total_s / count, by_part)

    def _used(self) -> dict[Key, Seen]:
        """What every process of the stack but this one has used. Looked at twice and not all the time: that would
        cost, too."""
        everyone = read_stats()
        ours = {key for key in of_stack(everyone, self._settings.state_dir, os.getpid()) if key[0] != os.getpid()}
        for key in ours:
            everyone[key].command = command_of(key[0])
        return {key: everyone[key] for key in ours}

    def _any_job(self) -> bool:
        with self._database.reader() as session:
            return bool(session.execute(text("SELECT 1 FROM job WHERE state <> 'failed' LIMIT 1")).first())

    def _add_assets(self, paths: Sequence[Path]) -> list[str]:
        from cluster.db.tables.asset import Asset, AssetFile
        from tests.inline_stack import add_user
        from tests.library_rows import asset_values

        owner, now = add_user(self._database), datetime.now(UTC)
        assets = [asset_values(owner) for _ in paths]
        files = [
            {"id": str(uuid.uuid4()), "asset_id": asset["id"], "type": "preview", "path": str(path)}
            | {"is_edited": False, "created_at": now, "updated_at": now}
            for asset, path in zip(assets, paths, strict=True)
        ]
        with self._database.session() as session:
            session.execute(insert(Asset), assets)
            session.execute(insert(AssetFile), files)
        return [str(asset["id"]) for asset in assets]


def _controller_class() -> type:
    """The server's controller, with as many jobs of smart search to a call as it is told."""
    from cluster.names import JobName
    from serve_app import ray_controller
    from tasks import registry

    class ControllerActor(ray_controller.ControllerActor):
        def __init__(self, name: str, batch: int) -> None:
            registry.JOBS = tuple(
                replace(job, spec=replace(job.spec, batch=batch)) if job.spec.name is JobName.SMART_SEARCH else job
                for job in registry.JOBS
            )
            super().__init__(name)

    return ControllerActor


PARTS = {
    "onnx": measure_onnx,
    "text": measure_text,
    "memory": measure_memory,
    "limit": measure_limit,
    "queue": measure_queue,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="with `models` and `previews`")
    arguments = parser.parse_args()
    print(json.dumps(PARTS[arguments.part](arguments.folder)))
