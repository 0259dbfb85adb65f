"""Whose CPU is counted, and once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.processes import TICKS_PER_S, Seen, Watch, cost_between, memory_of, of_stack, part_of
from cluster.launch import STACK_MARK

GONE = 2**22 + 1
"""No process has this number: it is above the kernel's largest."""

SPIN = "import time; until = time.process_time() + 0.5\nwhile time.process_time() < until: pass"


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("ray::ServeReplica:immich:api", "api replica"),
        ("ray::ControllerActor", "controller"),
        ("ray::ServeController.listen_for_change", "serve controller"),
        ("ray::AssetGenerateThumbnails", "workers"),
        ("/usr/bin/perl -w /usr/bin/exiftool -stay_open True -@ -", "exiftool"),
        ("/venv/ray/core/src/ray/raylet/raylet --raylet_socket_name=x", "raylet"),
        ("/venv/bin/haproxy -db -f x", "haproxy"),
        ("", "unknown"),
    ],
)
def test_a_process_belongs_to_its_part(command: str, part: str) -> None:
    assert part_of(command) == part


def test_what_was_used_before_is_not_counted() -> None:
    first = {(GONE, 1): Seen(1, 300, 0, "ray::ControllerActor")}
    last = {(GONE, 1): Seen(1, 450, 0, "ray::ControllerActor")}
    assert cost_between(first, last).cpu_s == {"controller": 150 / TICKS_PER_S}


def test_a_child_that_was_seen_is_counted_once_after_its_parent_waited_for_it() -> None:
    parent, child = (GONE, 1), (GONE + 1, 2)
    last = {parent: Seen(1, 100, 200, "ray::Work"), child: Seen(GONE, 200, 0, "exiftool")}
    cost = cost_between({parent: Seen(1, 0, 0, "ray::Work")}, last)
    assert cost.total_s == 300 / TICKS_PER_S
    assert cost.children_cpu_s == {}


def test_a_child_too_short_lived_to_be_seen_is_counted_through_its_parent() -> None:
    parent = (GONE, 1)
    cost = cost_between({parent: Seen(1, 0, 0, "ray::Work")}, {parent: Seen(1, 100, 70, "ray::Work")})
    assert cost.children_cpu_s == {"workers": 70 / TICKS_PER_S}


def test_a_descendant_belongs_though_it_shows_no_mark(tmp_path: Path) -> None:
    everyone = {
        (GONE, 1): Seen(1, 0, 0, "heliostat up"),
        (GONE + 2, 3): Seen(GONE + 1, 0, 0, "its grandchild"),
        (GONE + 1, 2): Seen(GONE, 0, 0, "its child"),
        (GONE + 3, 4): Seen(1, 0, 0, "a stranger"),
    }
    assert of_stack(everyone, tmp_path, root=GONE) == {(GONE, 1), (GONE + 1, 2), (GONE + 2, 3)}


def test_cpu_and_memory_are_those_of_marked_processes_even_ended_ones(tmp_path: Path) -> None:
    marked = os.environ | {STACK_MARK: str(tmp_path)}
    with Watch(tmp_path, root=GONE) as watch:
        ended = subprocess.Popen([sys.executable, "-c", SPIN], env=marked)
        foreign = subprocess.Popen([sys.executable, "-c", SPIN])
        living = subprocess.Popen([sys.executable, "-c", f"{SPIN}\nimport time; time.sleep(60)"], env=marked)
        assert ended.wait(60) == foreign.wait(60) == 0
        while watch.cost().total_s < 0.95:
            assert living.poll() is None
            time.sleep(0.05)
        weighed = memory_of(tmp_path, root=GONE)
        living.kill()
        living.wait()
    assert 0.95 <= watch.cost().total_s <= 1.4  # two of half a second with Python's start, the third is not ours
    assert [process.pid for process in weighed] == [living.pid]
    assert 1 < weighed[0].pss_mb < 100
