"""Machines that come when there is work and go when there is none: Ray's own autoscaler and its fake machines, which
are raylets of their own, started and ended by it. Each type begins at zero.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE

from cluster.cluster_file import START_OF_HEAD
from cluster.launch import head_address
from cluster.settings import read_settings
from cluster.workers import node_labels
from serve_app.client import sha1_hex
from tests.clips import ffmpeg
from tests.e2e.photos import make_photos
from tests.e2e.real_nodes import FIRST_MACHINE
from tests.e2e.real_stack import RealStack, describe, discard, prepared_stack, rows, wait_until
from tests.e2e.test_force_table import make_video
from tests.programs import program
from tests.shared_media import REPOSITORY
from tests.tiny_models import put_faces

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PORT, LAUNCHED_PORT = 3459, 3460
PATIENCE_S = 240.0
IDLE_S = 5
"""Much less than the long video takes: what keeps its machine is that it works."""
MODEL_IDLE_S = 300
"""A model's process stays so long without work, and its machine with it."""
FILM = ("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=30:d=24", "-c:v", "mpeg4")
"""With `PRESET` it keeps a core busy for much longer than `IDLE_S`."""
PRESET = "slower"
FAKE_HEAD = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
}
"""How Ray's provider knows the machine that runs it."""
TYPES = {
    "cpu-worker": ("microservices", "machine-learning,encoding", {"CPU": 1}),
    "gpu-worker": ("machine-learning", "", {"CPU": 1, "GPU": 1}),
    "encoding-worker": ("encoding", "", {"CPU": 1}),
}
MARKS = {
    "cpu-worker": "queue/metadataExtraction",
    "gpu-worker": "queue/faceDetection",
    "encoding-worker": "queue/videoConversion",
}


NO_COMMANDS = (
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "initialization_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
)
"""An external provider has no defaults for them, and Ray wants them all."""


def cluster_config(head: str) -> dict[str, Any]:
    """One machine of each type at most, started by Ray's fake provider beside the head that answers at `head`."""
    types: dict[str, Any] = {
        name: {
            "resources": resources,
            "labels": node_labels(include, exclude),
            "min_workers": 0,
            "max_workers": 1,
            "idle_timeout_s": IDLE_S,
            "node_config": {},
        }
        for name, (include, exclude, resources) in TYPES.items()
    }
    types[FAKE_HEAD_NODE_TYPE] = {
        "resources": {"CPU": 0},
        "labels": node_labels("api", ""),
        "max_workers": 0,
        "node_config": {},
    }
    return {
        "cluster_name": "fake",
        "max_workers": len(TYPES),
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": head,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        "file_mounts": {},
        **{name: [] for name in NO_COMMANDS},
        "available_node_types": types,
        "head_node_type": FAKE_HEAD_NODE_TYPE,
    }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """An api node without any other machine."""
    for needed in ("ffmpeg", "exiftool"):
        program(needed)
    folder = tmp_path_factory.mktemp("scaled")
    put_faces(folder / "media" / "models")
    file = folder / "cluster.yaml"
    made = prepared_stack(
        PORT,
        folder,
        **FIRST_MACHINE,
        IMMICH_WORKERS_INCLUDE="api",
        IMMICH_MACHINE_LEARNING_ENABLED="true",
        HELIOSTAT_AUTOSCALING_CONFIG=str(file),
        **FAKE_HEAD,
    )
    file.write_text(yaml.safe_dump(cluster_config(head_address(read_settings(made.environ)))))
    try:
        made.start()
        made.sign_in()
        config: dict[str, Any] = made.client.call("GET", "/system-config")
        config["machineLearning"]["clip"]["enabled"] = False
        config["machineLearning"]["ocr"]["enabled"] = False
        config["ffmpeg"] |= {"preset": PRESET, "threads": 1}
        made.client.call("PUT", "/system-config", json=config)
        yield made
        assert made.stop()[0] == 0, made.log[-3000:]
        assert made.processes() == {}
    except BaseException:
        print(made.log[-6000:])
        raise
    finally:
        discard(made)


def machines(stack: RealStack) -> dict[str, int]:
    """Living raylets by node type, the head left out."""
    raylets = [title for title in stack.processes().values() if title.split(" ")[0].endswith("raylet/raylet")]
    found = {name: sum(mark in title for title in raylets) for name, mark in MARKS.items()}
    return {name: count for name, count in found.items() if count}


def first_result_s(stack: RealStack, queue: str) -> float:
    """Seconds from the first job's being enqueued to its end."""
    query = (
        "SELECT wait_ms + duration_ms FROM job_history WHERE queue = :queue AND outcome = 'done' ORDER BY id LIMIT 1"
    )
    wait_until(lambda: bool(rows(stack, query, queue=queue)), PATIENCE_S, f"the first of {queue}")
    return float(rows(stack, query, queue=queue)[0][0]) / 1000


def wait_reasons(stack: RealStack) -> dict[str, str]:
    return {name: reason for name, reason in rows(stack, "SELECT name, wait_reason FROM queue") if reason}


def test_each_type_of_machine_comes_from_zero_and_goes_again(
    stack: RealStack, tmp_path: Path, report: Callable[[str], None]
) -> None:
    assert machines(stack) == {}
    photos = make_photos(tmp_path, 12, seed=71, size=(640, 480))
    stack.client.upload(photos[0], sha1_hex(photos[0]))
    wait_until(lambda: "metadataExtraction" in wait_reasons(stack), PATIENCE_S, "a reason to wait", stack.still_runs)
    said = wait_reasons(stack)["metadataExtraction"]
    assert "starting a node for metadataExtraction" in said
    assert "cpu-worker" in said
    report(f"cpu-worker: first result after {first_result_s(stack, 'metadataExtraction'):.1f} s")
    report(f"gpu-worker: first result after {first_result_s(stack, 'faceDetection'):.1f} s")
    model_used_s = time.monotonic()

    short = make_video(tmp_path / "short.avi", 1)
    stack.client.upload(short, sha1_hex(short))
    report(f"encoding-worker: first result after {first_result_s(stack, 'videoConversion'):.1f} s")

    # more work than the machines can take: it waits for the ones that there are, and their number stays
    for photo in photos[1:]:
        stack.client.upload(photo, sha1_hex(photo))
    film = tmp_path / "film.avi"
    ffmpeg(*FILM, film)
    stack.client.upload(film, sha1_hex(film))
    wait_until(lambda: stack.queues()["videoConversion"].active == 1, PATIENCE_S, "the film", stack.still_runs)
    began_s = time.monotonic()
    most = 0
    while not stack.is_idle():
        assert time.monotonic() - began_s < PATIENCE_S, describe(stack)
        most = max(most, *machines(stack).values())
        time.sleep(0.5)
    took_s = time.monotonic() - began_s
    assert most == 1
    (film_ms,) = rows(stack, "SELECT max(duration_ms) FROM job_history WHERE queue = 'videoConversion'")[0]
    report(f"the film was at work for {film_ms / 1000:.1f} s, its machine may be idle for {IDLE_S} s")
    assert film_ms / 1000 > 2 * IDLE_S
    assert stack.failed() == {}, describe(stack)
    assert rows(stack, "SELECT count(*) FROM job_attempt") == [(0,)]

    gone_s = wait_until(lambda: "encoding-worker" not in machines(stack), PATIENCE_S, "the encoding machine to go")
    report(f"encoding-worker: gone {gone_s:.1f} s after its last job ({took_s:.0f} s)")
    wait_until(lambda: "cpu-worker" not in machines(stack), PATIENCE_S, "the cpu machine to go")
    wait_until(lambda: not machines(stack), MODEL_IDLE_S + PATIENCE_S, "the gpu machine to go", stack.still_runs)
    gone_s = time.monotonic() - model_used_s
    report(f"gpu-worker: gone {gone_s:.0f} s after its first job; its model stays {MODEL_IDLE_S} s")
    assert rows(stack, "SELECT count(*) FROM job_attempt") == [(0,)]
    assert json.dumps(wait_reasons(stack)) == "{}"


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[RealStack]:
    """A machine as Ray's launcher leaves it before it starts a head: `~/heliostat`, the secret, the cluster's file."""
    program("exiftool")
    made = prepared_stack(LAUNCHED_PORT, tmp_path, IMMICH_WORKERS_INCLUDE="api", **FAKE_HEAD)
    home = Path(made.environ["HOME"])
    (home / "heliostat").mkdir()
    (home / "heliostat" / ".venv").symlink_to(sys.prefix)
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").touch(mode=0o600)
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    address = subprocess.check_output(["hostname", "-I"], text=True).split()
    if not address:
        pytest.skip("this machine has no address but loopback")
    head = head_address(read_settings({**made.environ, "HELIOSTAT_RAY_HOST": address[0]}))
    (home / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(cluster_config(head)))
    try:
        yield made
    finally:
        end_launched(made)
        discard(made)


def start_as_launched(stack: RealStack) -> None:
    """The head's commands of `ray-cluster.yaml`, one after the other, as `ray up` runs them."""
    for command in yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())[START_OF_HEAD]:
        done = subprocess.run(
            ["bash", "-c", f"({command.replace('2283', str(stack.port))})"],
            env=dict(stack.environ),
            cwd=stack.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    wait_until(stack.is_up, PATIENCE_S, "the first ping")


def launched_pid(stack: RealStack) -> int:
    return int((Path(stack.environ["HOME"]) / "heliostat.pid").read_text())


def end_launched(stack: RealStack) -> None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(launched_pid(stack), signal.SIGTERM)
        wait_until(lambda: not stack.processes(), PATIENCE_S, "its processes to end")


def test_the_heads_commands_start_a_server_that_starts_machines_and_start_it_anew(
    launched: RealStack, report: Callable[[str], None]
) -> None:
    start_as_launched(launched)
    launched.sign_in()
    photos = make_photos(launched.folder, 1, seed=72, size=(640, 480))
    launched.client.upload(photos[0], sha1_hex(photos[0]))
    report(f"cpu-worker, by the file's own commands: {first_result_s(launched, 'metadataExtraction'):.1f} s")
    first = launched_pid(launched)
    start_as_launched(launched)
    assert launched_pid(launched) != first
    assert launched.count() == 1
    end_launched(launched)
    assert launched.processes() == {}
