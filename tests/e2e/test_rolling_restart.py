"""Every machine is stopped and started again, one after the other, while photos and videos come in: nothing fails, no
attempt is counted, everything is done once.
"""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.draining import BEFORE_IT_ENDS_S
from serve_app.cli import app
from serve_app.client import sha1_hex
from tests.e2e.photos import make_photos
from tests.e2e.real_nodes import FIRST_MACHINE, RealNode, real_node
from tests.e2e.real_stack import EMAIL, PASSWORD, RealStack, describe, real_stack, rows, wait_until
from tests.e2e.test_force_table import make_video
from tests.programs import program

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

PHOTOS, VIDEOS = 300, 3
PAUSE_S = 0.25
"""Between two uploads, so that they come in all the time."""
VIDEO_S = 20
NODES = ("cellar", "attic")
LEAVE_S = 12
"""A machine that is told to stop gives back two seconds later what is not done."""
WAIT_S, IMPORT_S = 120.0, 600.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RealStack, list[RealNode]]]:
    """A first machine that serves the API alone, and two that do the work."""
    for needed in ("exiftool", "ffmpeg"):
        program(needed)
    with ExitStack() as opened:
        folder = tmp_path_factory.mktemp("rolling")
        stack = opened.enter_context(real_stack(3457, folder, IMMICH_WORKERS_INCLUDE="api", **FIRST_MACHINE))
        stack.sign_in()
        leave = {"HELIOSTAT_LEAVE_S": str(LEAVE_S)}
        yield stack, [opened.enter_context(real_node(stack, name, **leave)) for name in NODES]


def heliostat(stack: RealStack, *words: str) -> None:
    signed = ("--url", stack.url, "--email", EMAIL, "--password", PASSWORD)
    run = CliRunner().invoke(app, [*words, *signed], catch_exceptions=False)
    assert run.exit_code == 0, run.output


def state_of(stack: RealStack, name: str) -> str:
    return str({node["name"]: node["drain"] for node in stack.client.call("GET", "/nodes")}[name])


def ended(stack: RealStack) -> int:
    return int(rows(stack, "SELECT coalesce(sum(done), 0) FROM job_statistic")[0][0])


def wait_for_more(stack: RealStack) -> None:
    """Something has ended since now: there is a load."""
    before = ended(stack)
    wait_until(lambda: ended(stack) > before, WAIT_S, "the next job to end", stack.still_runs)


def test_each_machine_is_restarted_under_load(cluster: tuple[RealStack, list[RealNode]], tmp_path: Path) -> None:
    stack, nodes = cluster
    videos = [make_video(tmp_path / f"video_{number}.avi", number, VIDEO_S) for number in range(VIDEOS)]
    paths = videos + make_photos(tmp_path, PHOTOS, seed=71, size=(800, 600))

    def import_all() -> None:
        for path in paths:
            stack.client.upload(path, sha1_hex(path))
            time.sleep(PAUSE_S)

    importer = threading.Thread(target=import_all)
    importer.start()

    drained, told = nodes
    wait_for_more(stack)
    heliostat(stack, "drain", drained.name, "--patience", "10", "--reason", "a new disk")
    wait_until(lambda: state_of(stack, drained.name) == "drained", WAIT_S, "the first node to be drained")
    assert drained.stop()[0] == 0, drained.log
    wait_for_more(stack)
    drained.start()
    assert state_of(stack, drained.name) == "drained"
    heliostat(stack, "drain", drained.name, "--back")

    wait_for_more(stack)
    assert told.stop()[0] == 0, told.log
    wait_for_more(stack)
    told.start()

    importer.join(IMPORT_S)
    stack.client.command("thumbnailGeneration", "start", True)
    wait_until(lambda: not stack.is_idle(), WAIT_S, "work for the last restart")
    joined = [node.times_joined for node in nodes]
    assert stack.stop()[0] == 0, stack.log[-3000:]
    stack.start()
    wait_until(lambda: all(n.times_joined > before for n, before in zip(nodes, joined, strict=True)), WAIT_S, "both")

    stack.wait_until_idle(IMPORT_S)
    assert stack.failed() == {}, describe(stack)
    assert rows(stack, "SELECT name, node, error_class, message FROM job_attempt") == []
    done = dict(rows(stack, "SELECT name, sum(done) FROM job_statistic GROUP BY name"))
    assert done["AssetExtractMetadata"] == len(paths)
    assert done["AssetGenerateThumbnails"] == 2 * len(paths)  # once more by the button
    assert done["AssetEncodeVideo"] == VIDEOS
    assert {node for (node,) in rows(stack, "SELECT DISTINCT node FROM job_history")} >= set(NODES)


def test_a_machine_that_is_told_to_stop_gives_back_what_takes_long(
    cluster: tuple[RealStack, list[RealNode]], tmp_path: Path
) -> None:
    stack, nodes = cluster
    config = stack.client.call("GET", "/system-config")
    config["ffmpeg"]["preset"] = "slow"
    stack.client.call("PUT", "/system-config", json=config)
    film = make_film(tmp_path / "film.avi")
    stack.client.upload(film, sha1_hex(film))
    wait_until(lambda: encodes_on(stack) is not None, WAIT_S, "the film to be encoded")
    (node,) = [one for one in nodes if one.name == encodes_on(stack)]
    code, seconds = node.stop()
    assert code == 0, node.log
    assert "this machine is empty" in node.log.splitlines()[-2]
    assert seconds > LEAVE_S - BEFORE_IT_ENDS_S  # it had its time

    stack.wait_until_idle(IMPORT_S)
    assert stack.failed() == {}, describe(stack)
    assert rows(stack, "SELECT name, node, error_class, message FROM job_attempt") == []
    encoded = rows(stack, "SELECT node FROM job_history WHERE name = 'AssetEncodeVideo' ORDER BY id DESC LIMIT 1")
    assert encoded == [(next(one.name for one in nodes if one is not node),)]


def make_film(path: Path) -> Path:
    """Less than a minute, so that it is encoded in one piece, which takes longer than a machine has."""
    picture = ("-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30:d=30,noise=alls=20:allf=t")
    command = (program("ffmpeg"), "-v", "error", *picture, "-c:v", "mpeg4", "-q:v", "20", str(path))
    subprocess.run(command, check=True)
    return path


def encodes_on(stack: RealStack) -> str | None:
    running = [(node["name"], job["name"]) for node in stack.client.call("GET", "/nodes") for job in node["running"]]
    return next((name for name, job in running if job == "AssetEncodeVideo"), None)
