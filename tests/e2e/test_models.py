"""A server whose model comes late, and whose model's process is killed over and over: everything is embedded, once."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from cluster.db.engine import Database
from serve_app.client import sha1_hex
from tests.api_stack import free_port
from tests.drawn_scenes import KINDS, draw_scene
from tests.e2e.real_stack import RealStack, kill, real_stack, wait_until
from tests.shared_media import REPOSITORY
from tests.tiny_models import CLIP, TRAINED

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 240.0
QUEUE = "smartSearch"
MODEL_PROCESS = ("ray::ModelActor", "ray::SmartSearch")


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

        with killing_every(5.0, stack) as killed:
            upload_scenes(stack, 36, first=12)
            wait_until(lambda: len(killed) >= 2 and stack.is_idle(), PATIENCE_S, "the queues to be empty")
        assert rows(stack, "SELECT count(*) FROM smart_search") == [(48,)]
        ended = "SELECT outcome, count(*) FROM job_history WHERE name = 'SmartSearch' GROUP BY outcome"
        assert rows(stack, ended) == [("done", 48)]
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


def rows(stack: RealStack, query: str) -> list[tuple[Any, ...]]:
    database = Database(f"sqlite:///{stack.media / 'heliostat.db'}")
    try:
        with database.reader() as session:
            return [tuple(row) for row in session.execute(text(query))]
    finally:
        database.close()


@contextlib.contextmanager
def killing_every(seconds: float, stack: RealStack) -> Iterator[list[int]]:
    """Kill the process that holds the model, whatever it is at, again and again."""
    over, killed = threading.Event(), list[int]()

    def run() -> None:
        while not over.wait(seconds):
            for pid, title in stack.processes().items():
                if title.startswith(MODEL_PROCESS):
                    kill(pid)
                    killed.append(pid)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
