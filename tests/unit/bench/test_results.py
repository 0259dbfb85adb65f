"""What a run leaves behind."""

import json
from pathlib import Path

from bench.__main__ import color, keep


def test_a_run_of_one_part_keeps_the_others_figures(tmp_path: Path) -> None:
    path = tmp_path / "out" / "results.json"
    keep({"start.s": 12.0, "idle.pss_mb": 1000.0}, path)
    keep({"idle.pss_mb": 900.0}, path)
    assert json.loads(path.read_text()) == {"start.s": 12.0, "idle.pss_mb": 900.0}


def test_a_mark_is_met_from_its_own_side() -> None:
    assert color("pipeline.cpu_s_per_photo", 0.19) == "green"
    assert color("pipeline.cpu_s_per_photo", 0.21) == "red"
    assert color("queue.sqlite.batch1.jobs_per_s", 1200) == "green"
    assert color("queue.sqlite.batch1.jobs_per_s", 900) == "red"
