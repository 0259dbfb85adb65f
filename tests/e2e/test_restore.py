"""A backup is taken while the server works, comes back while it is stopped, and what is missing then is made again."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serve_app.client import sha1_hex
from tests.e2e.photos import make_photos
from tests.e2e.real_stack import EMAIL, PASSWORD, RealStack, describe, discard, prepared_stack
from tests.programs import program
from tests.shared_media import REPOSITORY

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PORTS = {"sqlite": 3474, "postgresql": 3475}
PHOTOS, LATER = 40, 5
DONE_S = 300


def heliostat(stack: RealStack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command beside the server, in its environment."""
    command = [sys.executable, "-m", "serve_app.cli", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=dict(stack.environ), capture_output=True, text=True, timeout=300)


def upload(stack: RealStack, photos: list[Path]) -> list[str]:
    return [stack.client.upload(photo, sha1_hex(photo))[1] for photo in photos]


def reconcile(stack: RealStack) -> str:
    done = heliostat(stack, "reconcile")
    assert done.returncode == 0, done.stderr
    stack.wait_until_idle(DONE_S)
    assert stack.failed() == {}, describe(stack)
    return done.stdout


def assert_whole(stack: RealStack, ids: list[str]) -> None:
    for asset_id in ids:
        assert stack.asset(asset_id)["thumbhash"]
        for size in ("preview", "thumbnail"):
            assert stack.client.bytes_of(f"/assets/{asset_id}/thumbnail", params={"size": size})


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_restored_backup_boots_and_reconciles_to_zero_missing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, report: Callable[[str], None]
) -> None:
    program("exiftool"), program("gzip"), program("pg_dump")
    environ = {} if kind == "sqlite" else {"DB_URL": request.getfixturevalue("postgres_database_url")}
    photos = make_photos(tmp_path / "photos", PHOTOS + LATER, seed=21, size=(800, 600))
    stack = prepared_stack(PORTS[kind], tmp_path, **environ)
    try:
        stack.start()
        stack.sign_in()
        ids = upload(stack, photos[:PHOTOS])  # the queues are still at it when the backup begins
        began_s = time.monotonic()
        stack.client.command("backupDatabase", "start", None)
        stack.wait_until_idle(DONE_S)
        assert stack.failed() == {}, describe(stack)
        (backup,) = [path for path in (stack.media / "backups").iterdir() if path.suffix == ".gz"]
        taken_s = backup.stat().st_mtime - (time.time() - (time.monotonic() - began_s))
        later = upload(stack, photos[PHOTOS:])
        stack.wait_until_idle(DONE_S)
        refused = heliostat(stack, "restore", backup.name)
        assert refused.returncode == 1
        assert "already" in refused.stderr
        assert_whole(stack, ids + later)
        assert stack.stop()[0] == 0, stack.log[-3000:]

        for user in (stack.media / "thumbs").iterdir():  # and every picture is gone
            if user.is_dir():
                shutil.rmtree(user)
        began_s = time.monotonic()
        restored = heliostat(stack, "restore", backup.name)
        restored_s = time.monotonic() - began_s
        assert restored.returncode == 0, restored.stderr
        assert "The database before is kept as" in restored.stdout

        stack.start()
        booted_s = stack.started_s
        stack.client.login(EMAIL, PASSWORD)
        stack.wait_until_idle(DONE_S)  # what was in the queues when the backup was taken
        assert stack.count() == PHOTOS
        first, second = reconcile(stack), reconcile(stack)
        assert "files broken" in first
        assert "Nothing is missing." in second
        assert f"{PHOTOS} assets" in second
        assert_whole(stack, ids)
        assert stack.stop()[0] == 0, stack.log[-3000:]
        report(
            f"restore on {kind}: backup {backup.stat().st_size} bytes {taken_s:.1f} s after it was asked for, restore "
            f"{restored_s:.1f} s, boot {booted_s:.1f} s; first look: {' '.join(first.split())}; second: nothing missing"
        )
    except BaseException:
        print(stack.log[-6000:])
        raise
    finally:
        discard(stack)
