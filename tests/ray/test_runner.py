"""Jobs on a real Ray: which node takes them, what they are called there, what a dying, frozen or slow worker means."""

from pathlib import Path

import pytest

from tests.e2e.real_stack import wait_until
from tests.ray.conftest import PATIENCE_S, RayBench
from tests.ray.odd_jobs import AWAY, AWAY_QUEUE, BATCH, HOME, TIMEOUT_S, order, runs
from tests.ray.ray_controller import LEASE_S

pytestmark = pytest.mark.timeout(400)


def test_a_task_is_named_after_its_job(bench: RayBench, tmp_path: Path) -> None:
    bench.enqueue([order(tmp_path / "log", asset="named")])
    bench.wait_until_over()

    (run,) = runs(tmp_path / "log")
    assert run["task"] == HOME.value
    assert bench.outcomes("named") == ["done"]


def test_jobs_wait_for_a_node_with_their_label_and_run_there_alone(bench: RayBench, tmp_path: Path) -> None:
    away = [order(tmp_path / f"away{number}", AWAY, asset=f"away{number}") for number in range(3)]
    home = [order(tmp_path / f"home{number}", asset=f"home{number}") for number in range(6)]
    bench.enqueue([*away, *home])

    # nobody serves the queue: it says so, loses nothing, and holds nobody else up
    bench.wait_until_over()
    wait_until(lambda: bool(bench.counts(AWAY_QUEUE).wait_reason), PATIENCE_S, "the reason to wait")
    counts = bench.counts(AWAY_QUEUE)
    assert "no live node serves ocr" in counts.wait_reason
    assert "IMMICH_WORKERS_INCLUDE" in counts.wait_reason
    assert (counts.waiting, counts.active, counts.delayed, counts.failed) == (3, 0, 0, 0)

    # one joins
    end_node = bench.add_node(AWAY_QUEUE)
    try:
        bench.wait_until_over(AWAY_QUEUE)
        more = [order(tmp_path / f"more{number}", asset=f"more{number}") for number in range(6)]
        bench.enqueue(more)
        bench.wait_until_over()

        assert bench.counts(AWAY_QUEUE).failed == 0
        assert all(bench.attempts(f"away{number}") == [] for number in range(3))
        nodes_of = {
            kind: {run["node"] for log in tmp_path.glob(f"{kind}*") for run in runs(log)}
            for kind in ("away", "home", "more")
        }
        assert nodes_of["home"] == nodes_of["more"]
        assert len(nodes_of["home"]) == len(nodes_of["away"]) == 1
        assert nodes_of["home"].isdisjoint(nodes_of["away"])
        wait_until(lambda: bench.counts(AWAY_QUEUE).wait_reason == "", PATIENCE_S, "the reason to go")
    finally:
        end_node()


def test_a_job_whose_worker_died_runs_again_and_finishes(bench: RayBench, tmp_path: Path) -> None:
    bench.enqueue([order(tmp_path / "log", asset="dies once", die=1)])
    bench.wait_until_over()

    first, second = runs(tmp_path / "log")
    assert first["pid"] != second["pid"]
    assert first["token"] != second["token"]
    (attempt,) = bench.attempts("dies once")
    assert (attempt.attempt, attempt.error_class) == (1, "WorkerLost")
    assert bench.outcomes("dies once") == ["done"]


def test_a_job_that_kills_its_workers_is_poison_and_its_neighbours_finish(bench: RayBench, tmp_path: Path) -> None:
    neighbours = [f"beside poison {number}" for number in range(BATCH * 2)]
    jobs = [order(tmp_path / name, asset=name) for name in neighbours]
    jobs.insert(1, order(tmp_path / "poison", asset="poison", die=99))
    bench.enqueue(jobs)
    bench.wait_until_over()

    # among others first, when nobody can tell whose fault it is, then alone
    assert len(runs(tmp_path / "poison")) in (3, 4)
    last = bench.attempts("poison")[-1]
    assert last.attempt == 3
    assert last.error_class == "Poison"
    assert "poison" in last.message
    assert "3 worker processes died" in last.message
    assert bench.outcomes("poison") == ["failed"]
    for name in neighbours:
        assert bench.outcomes(name) == ["done"], name
        assert bench.attempts(name) == [], name
    assert bench.counts().failed == 1
    with bench.store.transaction() as tx:
        bench.store.clear_failed(tx, bench.counts().queue)


def test_a_job_over_its_time_is_ended_and_its_neighbour_finishes(bench: RayBench, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    slow = order(tmp_path / "slow", asset="too slow", sleep_s=600, tidies=str(partial))
    beside = order(tmp_path / "beside", asset="beside slow")
    bench.enqueue([slow, beside])
    wait_until(lambda: len(bench.attempts("too slow")) > 0, PATIENCE_S, "the first attempt to be ended")
    bench.wait_until_over()
    wait_until(lambda: not partial.exists(), PATIENCE_S, "what it wrote to be deleted")

    attempts = bench.attempts("too slow")
    assert [attempt.error_class for attempt in attempts] == ["JobTimeout"] * 2
    assert f"its limit is {TIMEOUT_S:.0f} s" in attempts[0].message
    assert len({run["pid"] for run in runs(tmp_path / "slow")}) == 2  # each worker was ended
    assert bench.outcomes("too slow") == ["failed"]
    assert (bench.outcomes("beside slow"), bench.attempts("beside slow")) == (["done"], [])
    with bench.store.transaction() as tx:
        bench.store.clear_failed(tx, bench.counts().queue)


def test_beats_keep_a_lease_for_as_long_as_the_call_runs(bench: RayBench, tmp_path: Path) -> None:
    each_s = TIMEOUT_S - 1
    names = [f"long {number}" for number in range(BATCH)]
    assert each_s * 2 > LEASE_S  # two to a call, so that none is done within one lease
    bench.enqueue([order(tmp_path / name, asset=name, sleep_s=each_s) for name in names])
    bench.wait_until_over()

    for name in names:
        assert len(runs(tmp_path / name)) == 1, name
        assert (bench.outcomes(name), bench.attempts(name)) == (["done"], []), name


def test_a_frozen_worker_loses_its_lease_and_the_job_runs_elsewhere(bench: RayBench, tmp_path: Path) -> None:
    bench.enqueue([order(tmp_path / "log", asset="freezes", freeze=1, sleep_s=0.0)])
    wait_until(lambda: len(runs(tmp_path / "log")) == 2, PATIENCE_S, "the second run")
    bench.wait_until_over()

    first, second = runs(tmp_path / "log")
    assert first["pid"] != second["pid"]
    assert bench.outcomes("freezes") == ["done"]
