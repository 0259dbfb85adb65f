"""Kill -9 before every system call and every commit of a move: each file is whole at its old or its new place, the row
names one that is, and a second run ends what the first began. On one file system, and across two.
"""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.db.tables.asset import Asset, AssetFile
from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from tests.move_stack import MoveStack, move_stack
from tests.shared_media import REPOSITORY

SHARED_MEMORY = Path("/dev/shm")
TEMPLATE = "{{y}}/{{MM}}/{{filename}}"
OWN_FOLDERS = "{{y}}/{{assetIdShort}}/{{filename}}"
LIBRARY = NewJob(JobName.STORAGE_TEMPLATE_MIGRATION, {})
NEVER = 0


class Runs:
    """Runs that die, each in a process of its own; see tests/move_stack.py."""

    def __init__(self, stack: MoveStack, process: subprocess.Popen[str]) -> None:
        self.stack, self._process = stack, process
        self.killed = Counter[str]()

    def run(self, kill_before: int, template: str = TEMPLATE) -> bool:
        """Work on what waits; whether it was killed before that step."""
        order = {
            "database": str(self.stack.database.url.render_as_string(hide_password=False)),
            "media": str(self.stack.media),
            "template": template,
            "kill_before": kill_before,
            "ahead_s": self.stack.clock.ahead.total_seconds(),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer
        assert not answer.startswith("raised"), answer
        if answer.startswith("done"):
            return False
        self.killed[answer] += 1
        return True


@pytest.fixture(params=["same file system", "another file system"])
def media(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A media folder; the library below it may lie on another disk, as a mount or link of somebody's would have it."""
    folder = tmp_path / "media"
    folder.mkdir()
    if request.param == "same file system":
        yield folder
        return
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == folder.stat().st_dev:
        pytest.skip(f"no second file system: {SHARED_MEMORY} is none")
    elsewhere = SHARED_MEMORY / f"heliostat-{secrets.token_hex(6)}"
    elsewhere.mkdir()
    (folder / "library").symlink_to(elsewhere)
    yield folder
    shutil.rmtree(elsewhere)


@pytest.fixture
def runs(media: Path, sqlite_database_url: str) -> Iterator[Runs]:
    with runs_on(sqlite_database_url, media) as opened:
        yield opened


@pytest.fixture
def long_runs(media: Path, database_url: str) -> Iterator[Runs]:
    with runs_on(database_url, media) as opened:
        yield opened


@contextmanager
def runs_on(database_url: str, media: Path) -> Iterator[Runs]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with (
        move_stack(database_url, media) as stack,
        subprocess.Popen(
            [sys.executable, "-m", "tests.move_stack"],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        stack.set_template(TEMPLATE)
        yield Runs(stack, process)
        assert process.stdin is not None
        process.stdin.close()


def paths_and_sums(stack: MoveStack) -> dict[tuple[str, str], tuple[str, str]]:
    """What rows name, by asset and kind: the path and the SHA-1 of what lies there."""
    with stack.database.reader() as session:
        rows: list[Any] = [
            *session.execute(select(Asset.id, Asset.checksum_algorithm, Asset.original_path)),
            *session.execute(select(AssetFile.asset_id, AssetFile.type, AssetFile.path)),
        ]
    return {(row[0], row[1]): (row[2], hashlib.sha1(Path(row[2]).read_bytes()).hexdigest()) for row in rows}


def add_live_photo(stack: MoveStack, owner: str, name: str) -> str:
    video = stack.add_asset(owner, f"{name}.mov", type="VIDEO", visibility="hidden", sidecar=os.urandom(50))
    return stack.add_asset(owner, f"{name}.heic", live_photo_video_id=video, sidecar=os.urandom(70))


def check_whole(stack: MoveStack, before: dict[tuple[str, str], tuple[str, str]]) -> None:
    """Every row names a whole file; see the module."""
    now = paths_and_sums(stack)
    assert {key: file[1] for key, file in now.items()} == {key: file[1] for key, file in before.items()}
    for key, (path, _) in now.items():
        assert path == before[key][0] or path.startswith(str(stack.library)), path


def check_ended(stack: MoveStack) -> None:
    """All lies where it should, and nothing else does."""
    assert stack.on_disk() == stack.named()
    assert all(name.startswith("library/") for name in stack.named())
    assert stack.moves() == []
    assert stack.failed() == []


def kill_everywhere(runs: Runs, job: str, *, live: bool) -> int:
    """One photo with its sidecar per step, or a live one, until a run has fewer steps than that; returns how many there
    are."""
    stack, owner = runs.stack, runs.stack.add_user("ann")
    for step in range(1, 1000):
        photo = add_live_photo(stack, owner, "IMG") if live else stack.add_asset(owner, "IMG.jpg", sidecar=b"a sidecar")
        before = paths_and_sums(stack)
        stack.enqueue(asset_job(JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE, photo) if job == "single" else LIBRARY)
        killed = runs.run(step, OWN_FOLDERS)
        check_whole(stack, before)
        if killed:
            assert not runs.run(NEVER, OWN_FOLDERS)
        check_whole(stack, before)
        check_ended(stack)
        if not killed:
            return step - 1
    raise AssertionError("it never ends")


@pytest.mark.timeout(300)
def test_a_kill_at_every_step_of_a_move_loses_nothing(runs: Runs) -> None:
    across = runs.stack.library.stat().st_dev != runs.stack.media.stat().st_dev

    steps = kill_everywhere(runs, "single", live=not across)

    assert steps == runs.killed.total() > 20
    assert {"commit", "mkdir", "link", "unlink", "fsync"} <= set(runs.killed)
    assert ("sendfile" in runs.killed) is across


@pytest.mark.timeout(300)
@pytest.mark.parametrize("media", ["same file system"], indirect=True)
def test_a_kill_at_every_step_of_a_whole_run_loses_nothing(runs: Runs) -> None:
    steps = kill_everywhere(runs, "library", live=False)

    assert steps == runs.killed.total() > 15
    assert {"commit", "mkdir", "link", "unlink", "fsync"} <= set(runs.killed)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_300_moves_each_killed_at_another_step(long_runs: Runs) -> None:
    runs = long_runs
    stack, owner = runs.stack, runs.stack.add_user("ann")
    step, moves, steps = 0, 0, 0
    while moves < 300:
        photo, step = add_live_photo(stack, owner, f"IMG_{moves % 7}"), step + 1
        before = paths_and_sums(stack)
        stack.enqueue(asset_job(JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE, photo))
        if not runs.run(step):
            steps, step = max(steps, step - 1), 0
        check_whole(stack, before)
        assert not runs.run(NEVER)
        check_whole(stack, before)
        check_ended(stack)
        moves += 1
    print(f"\n{moves} moves of 4 files, {runs.killed.total()} killed, at {steps} steps: {dict(runs.killed)}")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_whole_library_of_300_is_killed_again_and_again(long_runs: Runs) -> None:
    runs = long_runs
    stack, owner = runs.stack, runs.stack.add_user("ann")
    for number in range(300):
        stack.add_asset(owner, f"IMG_{number % 50}.jpg", sidecar=b"s" if number % 3 == 0 else None)
    before = paths_and_sums(stack)
    kills = 0
    for template in (TEMPLATE, "{{y}}/{{filename}}", "{{MMMM}}/{{assetId}}"):
        stack.enqueue(LIBRARY)
        # from 7 steps on, ever more, so that runs die everywhere and yet come to an end
        while runs.run(7 + 13 * kills % 997 if kills % 5 else 40 * kills + 7, template):
            kills += 1
            check_whole(stack, before)
        check_whole(stack, before)
        check_ended(stack)
    assert kills > 20
    print(f"\n{kills} kills: {dict(runs.killed)}")
