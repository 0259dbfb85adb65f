"""A server whose model comes late, and whose model's process is killed at work: everything is embedded, once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serve_app.client import sha1_hex
from tests.api_stack import free_port
from tests.drawn_scenes import KINDS, draw_scene
from tests.e2e.real_stack import RealStack, kill, real_stack, rows, wait_until
from tests.shared_media import REPOSITORY
from tests.tiny_models import CLIP, TRAINED

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 240.0
QUEUE = "smartSearch"


def test_a_queue_waits_for_its_model_and_outlives_its_processes(tmp_path: Path) -> None:
    with real_stack(free_port(), tmp_path / "stack", IMMICH_MACHINE_LEARNING_ENABLED="true") as stack:
        stack.sign_in()
        leave_only_clip(stack)

        upload_scenes(stack, 12, first=0)
        wait_until(lambda: stack.queues()[QUEUE].is_held, PATIENCE_S, "the queue to say what it waits for")
        reason = stack.queues()[QUEUE].wait_reason
        assert str(CLIP.folder(stack.media / "models")) in reason
        assert "open_clip_model.safetensors" in reason
        assert rows(stack, "SELECT count(*) FROM smart_search") == [(0,)]

        # somebody brings it, and nobody presses anything
        command = [
            sys.executable,
            "-m",
            "serve_app.cli",
            "models",
            "add",
            "clip",
            CLIP.name,
            str(TRAINED / "clip/tiny"),
        ]
        subprocess.run(command, cwd=REPOSITORY, env=dict(stack.environ), check=True, capture_output=True, timeout=120)
        stack.wait_until_idle(PATIENCE_S)
        assert rows(stack, "SELECT count(*) FROM smart_search") == [(12,)]
        assert rows(stack, "SELECT count(*) FROM job_attempt") == [(0,)]

        for first in (12, 24, 36):
            upload_scenes(stack, 12, first)
            kill_at_work(stack)
        stack.wait_until_idle(PATIENCE_S)
        assert rows(stack, "SELECT count(*) FROM smart_search") == [(48,)]
        # the statistics count every job; the history keeps only some of those that end together
        ended = "SELECT sum(done), sum(failed) FROM job_statistic WHERE name = 'SmartSearch'"
        assert rows(stack, ended) == [(48, 0)]
        assert stack.failed() == {}


def leave_only_clip(stack: RealStack) -> None:
    config = stack.client.call("GET", "/system-config")
    config["machineLearning"]["ocr"]["enabled"] = False
    config["machineLearning"]["facialRecognition"]["enabled"] = False
    stack.client.call("PUT", "/system-config", json=config)


def upload_scenes(stack: RealStack, count: int, first: int) -> None:
    folder = stack.folder / f"scenes {first}"
    folder.mkdir()
    for number in range(first, first + count):
        colour, shape = KINDS[number % len(KINDS)]
        draw_scene(np.random.default_rng(number), colour, shape, (640, 480)).save(folder / f"{number}.jpg")
    for path in sorted(folder.iterdir()):
        stack.client.upload(path, sha1_hex(path))


def kill_at_work(stack: RealStack) -> None:
    """Kill the model's process while it has a call: it is then called by its job."""

    def caught() -> bool:
        busy = [pid for pid, title in stack.processes().items() if title.startswith("ray::SmartSearch")]
        for pid in busy:
            kill(pid)
        return bool(busy)

    wait_until(caught, PATIENCE_S, "the model's process to be at work", stack.still_runs, every_s=0.002)
