"""Drained nodes of a real Ray: what they get, what becomes of what runs there, and how they come back."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from cluster.db.queries import job_details, notes
from cluster.draining import Drain, drain_to_json, drains_from_json
from cluster.launch import head_address
from cluster.ray_nodes import REFRESH_S
from tests.e2e.real_stack import marked_processes, wait_until
from tests.ray.conftest import PATIENCE_S, RayBench
from tests.ray.odd_jobs import AWAY, AWAY_MODEL, AWAY_MODEL_QUEUE, AWAY_QUEUE, order, runs
from tests.shared_media import REPOSITORY

pytestmark = pytest.mark.timeout(400)


def drain(bench: RayBench, *names: str, patience_s: float) -> None:
    """Exactly these are drained from now on."""
    now = datetime.now(UTC)
    with bench.database.session() as session:
        told = {name: drain_to_json(Drain("a new disk", at=now), patience_s) for name in names}
        notes.write(session, notes.DRAINED, told)


def drained(bench: RayBench) -> dict[str, Drain]:
    with bench.database.reader() as session:
        return drains_from_json(notes.read(session, notes.DRAINED) or {}, datetime.now(UTC))


@pytest.fixture(scope="module")
def two_nodes(bench: RayBench) -> Iterator[None]:
    """`left` and `right` serve what the head does not."""
    ends = [bench.add_node(AWAY_QUEUE, AWAY_MODEL_QUEUE, name=name) for name in ("left", "right")]
    yield
    for end in ends:
        end()


@pytest.fixture(autouse=True)
def none_stays_drained(bench: RayBench) -> Iterator[None]:
    yield
    drain(bench, patience_s=0)


def running_on(bench: RayBench) -> set[str]:
    """Names of the nodes whose workers were heard of."""
    with bench.database.reader() as session:
        return set(job_details.running_by_node(session))


def where_it_runs(bench: RayBench) -> set[str]:
    return running_on(bench) & {"left", "right"}


def test_a_machine_of_the_clusters_file_has_one_name(bench: RayBench, tmp_path: Path) -> None:
    """That of its host: Ray says it, its workers' beats do, and so a drain by it gives long work back. Before
    the nodes that the others share."""
    ends = []
    try:
        (tmp_path / "machine").mkdir()
        ends.append(bench.add_node_of_the_file(AWAY_QUEUE, tmp_path / "machine", "spot"))
        bench.enqueue([order(tmp_path / "long", AWAY, asset="of the file", drag=1)])
        wait_until(lambda: bool(runs(tmp_path / "long")), PATIENCE_S, "the long job to begin")
        wait_until(lambda: bool(running_on(bench)), PATIENCE_S, "the long job to be heard of")
        assert running_on(bench) == {"spot"}
        ends.append(bench.add_node(AWAY_QUEUE, name="another"))
        drain(bench, "spot", patience_s=0)
        bench.wait_until_over(AWAY_QUEUE)
        first, second = runs(tmp_path / "long")
        assert first["node"] != second["node"]
        assert (bench.outcomes("of the file"), bench.attempts("of the file")) == (["done"], [])
    finally:
        for end in ends:
            end()


def test_what_takes_long_on_a_drained_node_is_given_back_and_it_gets_nothing_new(
    bench: RayBench, two_nodes: None, tmp_path: Path
) -> None:
    bench.enqueue([order(tmp_path / "long", AWAY, asset="long", drag=1)])
    wait_until(lambda: bool(where_it_runs(bench)), PATIENCE_S, "the long job to be heard of")
    (name,) = where_it_runs(bench)
    drain(bench, name, patience_s=0)
    bench.wait_until_over(AWAY_QUEUE)

    first, second = runs(tmp_path / "long")
    assert first["node"] != second["node"]
    assert (bench.outcomes("long"), bench.attempts("long")) == (["done"], [])
    more = [f"more {number}" for number in range(8)]
    bench.enqueue([order(tmp_path / one, AWAY, asset=one, sleep_s=0.2) for one in more])
    bench.wait_until_over(AWAY_QUEUE)
    assert {run["node"] for one in more for run in runs(tmp_path / one)} == {second["node"]}


def test_short_work_on_a_drained_node_ends_there(bench: RayBench, two_nodes: None, tmp_path: Path) -> None:
    names = [f"short {number}" for number in range(6)]
    bench.enqueue([order(tmp_path / one, AWAY, asset=one, sleep_s=1.5) for one in names])
    wait_until(lambda: bool(where_it_runs(bench)), PATIENCE_S, "a job to be heard of")
    drain(bench, *where_it_runs(bench), patience_s=PATIENCE_S)
    wait_until(lambda: all(bench.outcomes(one) == ["done"] for one in names[:2]), PATIENCE_S, "the first jobs to end")
    drain(bench, patience_s=0)
    bench.wait_until_over(AWAY_QUEUE)
    for one in names:
        assert len(runs(tmp_path / one)) == 1, one
        assert bench.attempts(one) == [], one


def test_while_every_node_is_drained_models_end_and_the_queue_says_why(
    bench: RayBench, two_nodes: None, tmp_path: Path
) -> None:
    bench.enqueue([order(tmp_path / "warm", AWAY_MODEL, asset="warm")])
    bench.wait_until_over(AWAY_MODEL_QUEUE)
    (warm,) = runs(tmp_path / "warm")
    assert psutil.pid_exists(warm["pid"])

    drain(bench, "left", "right", patience_s=0)
    wait_until(lambda: not psutil.pid_exists(warm["pid"]), PATIENCE_S, "the model's process to end")
    bench.enqueue([order(tmp_path / "waits", AWAY_MODEL, asset="waits")])
    wait_until(lambda: "is drained" in bench.counts(AWAY_MODEL_QUEUE).wait_reason, PATIENCE_S, "the reason to wait")
    assert "left (a new disk)" in bench.counts(AWAY_MODEL_QUEUE).wait_reason
    assert bench.counts(AWAY_MODEL_QUEUE).waiting == 1

    drain(bench, patience_s=0)
    bench.wait_until_over(AWAY_MODEL_QUEUE)
    assert (bench.outcomes("waits"), bench.attempts("waits")) == (["done"], [])


def test_a_node_that_fails_what_another_does_is_benched(bench: RayBench, two_nodes: None, tmp_path: Path) -> None:
    names = [f"breaks {number}" for number in range(60)]
    bench.enqueue([order(tmp_path / one, AWAY, asset=one, breaks_on="left", sleep_s=0.2) for one in names])
    wait_until(lambda: set(drained(bench)) == {"left"}, PATIENCE_S, "the broken node to be benched")
    assert "OSError: " in drained(bench)["left"].reason
    bench.wait_until_over(AWAY_QUEUE)
    with bench.store.transaction() as tx:
        bench.store.clear_failed(tx, AWAY_QUEUE)  # some had both their attempts there before anybody could know

    time.sleep(2 * REFRESH_S)  # so old is at most what the controller knows of its nodes
    more = [f"after that {number}" for number in range(6)]
    bench.enqueue([order(tmp_path / one, AWAY, asset=one, breaks_on="left") for one in more])
    bench.wait_until_over(AWAY_QUEUE)
    assert [bench.outcomes(one) for one in more] == [["done"]] * len(more)
    assert [bench.attempts(one) for one in more] == [[]] * len(more)


def test_a_machine_whose_ray_a_script_stops_is_drained_first(bench: RayBench) -> None:
    """As the commands of a cluster's file do it: `ray_leave` with `wait` ends when Ray has ended the raylet."""
    before = raylets(bench)
    end = bench.add_node(AWAY_QUEUE, name="leaving")
    try:
        (address,) = raylets(bench) - before
        command = [sys.executable, "-m", "cluster.ray_leave", head_address(bench.stack.settings), address, "40", "wait"]
        started_s = time.monotonic()
        subprocess.run(command, cwd=REPOSITORY, env=bench.stack.environment, check=True, timeout=PATIENCE_S)
        assert time.monotonic() - started_s < 40
        wait_until(lambda: address not in raylets(bench), PATIENCE_S, "the raylet to end")
        assert subprocess.run(command, cwd=REPOSITORY, env=bench.stack.environment, timeout=PATIENCE_S).returncode == 1
    finally:
        end()


def raylets(bench: RayBench) -> set[str]:
    """HOST:PORT of each."""
    found = set()
    for title in marked_processes(bench.stack.settings.state_dir).values():
        if "raylet/raylet" in title.split(" ")[0]:
            told = dict(re.findall(r"--(node_ip_address|node_manager_port)=(\S+)", title))
            found.add(f"{told['node_ip_address']}:{told['node_manager_port']}")
    return found
