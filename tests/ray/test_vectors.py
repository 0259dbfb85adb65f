"""The vectors actor: its answers are those of the rows, before it is up, while it runs, and when it is killed."""

import json
import subprocess
import sys

from tests.contract.vectors import Library, clustered
from tests.ray.conftest import RayBench
from tests.shared_media import REPOSITORY


def test_answers_are_right_while_the_actor_comes_and_goes(bench: RayBench) -> None:
    library = Library(bench.database)
    library.fill(library.add_owner(), clustered(3000, 64, seed=1))
    asked = subprocess.run(
        [sys.executable, "-m", "tests.ray.ask_vectors"],
        cwd=REPOSITORY,
        env=bench.stack.environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    told = json.loads(asked.stdout.splitlines()[-1])
    assert set(told["answers"]) == {"first", "when it is up", "just killed", "when it is back"}
    assert all(answer == told["rows"] for answer in told["answers"].values()), told
    assert len(told["rows"]) == 10
