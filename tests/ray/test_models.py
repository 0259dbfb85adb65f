"""Model pools on a real Ray: processes that stay warm, what their death costs, and a node that comes late."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.real_stack import marked_processes, wait_until
from tests.ray.conftest import PATIENCE_S, RayBench
from tests.ray.odd_jobs import (
    AWAY_MODEL,
    AWAY_MODEL_QUEUE,
    BATCH,
    IDLE_TTL_S,
    MODEL,
    MODEL_QUEUE,
    RECYCLE_AFTER,
    TIMEOUT_S,
    order,
    runs,
)

pytestmark = pytest.mark.timeout(400)


def all_runs(folder: Path) -> list[dict[str, Any]]:
    return [run for log in sorted(folder.iterdir()) for run in runs(log)]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def clear_failed(bench: RayBench) -> None:
    with bench.store.transaction() as tx:
        bench.store.clear_failed(tx, MODEL_QUEUE)


def test_calls_go_to_one_process_that_loads_its_model_once_and_ends_when_idle(bench: RayBench, tmp_path: Path) -> None:
    names = [f"warm {number}" for number in range(BATCH * 4)]
    bench.enqueue([order(tmp_path / name, MODEL, asset=name) for name in names])
    bench.wait_until_over(MODEL_QUEUE)

    ran = all_runs(tmp_path)
    (pid,) = {run["pid"] for run in ran}  # the node has two cores, a process takes both
    assert {run["task"] for run in ran} == {MODEL.value}
    assert max(run["together"] for run in ran) == BATCH
    assert [bench.outcomes(name) for name in names] == [["done"]] * len(names)
    wait_until(lambda: not is_alive(pid), IDLE_TTL_S + 20, "the idle process to end")


def test_a_bad_picture_fails_alone(bench: RayBench, tmp_path: Path) -> None:
    jobs = [order(tmp_path / f"beside {number}", MODEL, asset=f"beside bad {number}") for number in range(BATCH - 1)]
    bench.enqueue([order(tmp_path / "bad", MODEL, asset="bad one", bad=True), *jobs])
    bench.wait_until_over(MODEL_QUEUE)

    (attempt,) = bench.attempts("bad one")
    assert attempt.error_class == "UnreadableImage"
    assert bench.outcomes("bad one") == ["failed"]
    for number in range(BATCH - 1):
        assert (bench.outcomes(f"beside bad {number}"), bench.attempts(f"beside bad {number}")) == (["done"], [])
    clear_failed(bench)


def test_a_process_is_replaced_after_so_many_calls(bench: RayBench, tmp_path: Path) -> None:
    calls = RECYCLE_AFTER + 2
    bench.enqueue([order(tmp_path / f"{number:03}", MODEL, asset=f"worn {number}") for number in range(calls * BATCH)])
    bench.wait_until_over(MODEL_QUEUE)

    jobs_of = Counter(run["pid"] for run in all_runs(tmp_path))
    assert len(jobs_of) > 1
    assert max(jobs_of.values()) <= RECYCLE_AFTER * BATCH
    assert all(bench.attempts(f"worn {number}") == [] for number in range(calls * BATCH))


def test_a_process_killed_over_and_over_costs_no_job(bench: RayBench, tmp_path: Path) -> None:
    names = [f"killed {number}" for number in range(240)]
    bench.enqueue([order(tmp_path / name, MODEL, asset=name, sleep_s=0.1) for name in names])
    with killing_every(5.0, tmp_path) as killed:
        bench.wait_until_over(MODEL_QUEUE)

    assert len(killed) >= 3
    assert [bench.outcomes(name) for name in names] == [["done"]] * len(names)  # each once, none twice
    attempts = [attempt for name in names for attempt in bench.attempts(name)]
    assert len(attempts) <= len(killed)  # the one in hand, where it was known; its neighbours none
    assert {attempt.error_class for attempt in attempts} <= {"WorkerLost"}


@contextlib.contextmanager
def killing_every(seconds: float, folder: Path) -> Iterator[list[int]]:
    """Kill the process that has worked last, again and again."""
    over, killed = threading.Event(), list[int]()

    def run() -> None:
        while not over.wait(seconds):
            logs = sorted(folder.iterdir(), key=lambda log: log.stat().st_mtime)
            begun = runs(logs[-1]) if logs else []  # none yet, if it has just been opened
            if begun and is_alive(begun[-1]["pid"]):
                os.kill(begun[-1]["pid"], signal.SIGKILL)
                killed.append(begun[-1]["pid"])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_a_call_past_its_time_costs_its_process(bench: RayBench, tmp_path: Path) -> None:
    bench.enqueue([order(tmp_path / "slow", MODEL, asset="slow model", sleep_s=600)])
    wait_until(lambda: len(bench.attempts("slow model")) == 2, PATIENCE_S, "both attempts to be ended")
    bench.wait_until_over(MODEL_QUEUE)

    assert [attempt.error_class for attempt in bench.attempts("slow model")] == ["JobTimeout"] * 2
    assert f"its limit is {TIMEOUT_S:.0f} s" in bench.attempts("slow model")[0].message
    assert len({run["pid"] for run in runs(tmp_path / "slow")}) == 2
    clear_failed(bench)


def test_a_model_that_cannot_be_loaded_yet_is_waited_for(bench: RayBench, tmp_path: Path) -> None:
    weights, logs = tmp_path / "weights", tmp_path / "logs"
    logs.mkdir()
    time.sleep(IDLE_TTL_S + 2)  # so that a process is started, and warmed, for these
    names = [f"no weights {number}" for number in range(6)]
    bench.enqueue([order(logs / name, MODEL, asset=name, weights=str(weights)) for name in names])
    wait_until(lambda: str(weights) in bench.counts(MODEL_QUEUE).wait_reason, PATIENCE_S, "the reason to wait")
    assert all_runs(logs) == []

    weights.write_text("numbers")
    bench.wait_until_over(MODEL_QUEUE)
    assert [bench.outcomes(name) for name in names] == [["done"]] * len(names)
    assert [bench.attempts(name) for name in names] == [[]] * len(names)


def test_a_new_controller_takes_over_the_warm_processes(bench: RayBench, tmp_path: Path) -> None:
    bench.enqueue([order(tmp_path / "before", MODEL, asset="before")])
    bench.wait_until_over(MODEL_QUEUE)
    controller = next(
        pid for pid, name in marked_processes(bench.stack.settings.state_dir).items() if "OddController" in name
    )
    os.kill(controller, signal.SIGKILL)
    bench.enqueue([order(tmp_path / "after", MODEL, asset="after")])
    bench.wait_until_over(MODEL_QUEUE)

    assert len({run["pid"] for run in all_runs(tmp_path)}) == 1
    assert bench.outcomes("after") == ["done"]


def test_a_node_that_comes_after_the_import_does_it_all(bench: RayBench, tmp_path: Path) -> None:
    names = [f"late {number}" for number in range(24)]
    bench.enqueue([order(tmp_path / name, AWAY_MODEL, asset=name) for name in names])
    wait_until(lambda: bool(bench.counts(AWAY_MODEL_QUEUE).wait_reason), PATIENCE_S, "the reason to wait")
    assert "no live node serves faceDetection" in bench.counts(AWAY_MODEL_QUEUE).wait_reason
    assert bench.counts(AWAY_MODEL_QUEUE).waiting == len(names)

    end_node = bench.add_node(AWAY_MODEL_QUEUE)
    try:
        bench.wait_until_over(AWAY_MODEL_QUEUE)
        assert [bench.outcomes(name) for name in names] == [["done"]] * len(names)
        assert [bench.attempts(name) for name in names] == [[]] * len(names)
        assert len({run["node"] for run in all_runs(tmp_path)}) == 1
    finally:
        end_node()
