"""Running the server: two side by side, a second one on the same folder, wrong settings, other users, stops."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queries import system_flags
from cluster.settings import RayPort, read_settings
from cluster.storage.mounts import check_folders
from serve_app.client import sha1_hex
from tests.e2e.photos import make_photos
from tests.e2e.real_stack import EMAIL, RealStack, describe, discard, prepared_stack, real_stack, wait_until
from tests.programs import program, skip_or_fail
from tests.shared_media import REPOSITORY

pytestmark = pytest.mark.timeout(400)

NEIGHBOUR_PORT, UNUSED_PORT, HASTY_PORT = 3412, 3414, 3415
REFUSED_S, REFUSED_SOON_S = 90, 20


@contextlib.contextmanager
def folder_of_an_ordinary_user() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder, and the command line that makes what follows it run as its owner: nobody, or whoever is not root."""
    folder = Path(tempfile.mkdtemp(prefix="he-user-"))
    try:
        if os.getuid() != 0:
            yield folder, ()
            return
        account = pwd.getpwnam("nobody")
        for name in ("media", "home"):
            (folder / name).mkdir()
            os.chown(folder / name, account.pw_uid, account.pw_gid)
        folder.chmod(0o755)
        yield folder, (*become(account), *readable_python(account))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def become(account: pwd.struct_passwd) -> tuple[str, ...]:
    return (program("setpriv"), f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")


def readable_python(account: pwd.struct_passwd) -> tuple[str, ...]:
    """An interpreter in root's own home cannot be run by others: then the user may read, but not write, everything."""
    # `env` in between: setpriv itself still may read what it starts
    trial = [*become(account), "env", sys.executable, "-c", "import ray"]
    plain = subprocess.run(trial, capture_output=True, check=False)
    if plain.returncode == 0:
        return ()
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    done = subprocess.run([*become(account), *reading, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        skip_or_fail(f"user nobody cannot run this interpreter, nor be allowed to: {done.stderr.strip()}")
    return reading


@pytest.fixture(scope="module")
def neighbour(stack: RealStack) -> Iterator[RealStack]:
    """A second server beside the first, run by an ordinary user."""
    with (
        folder_of_an_ordinary_user() as (folder, prefix),
        real_stack(NEIGHBOUR_PORT, folder, prefix, stop_by=signal.SIGINT) as running,
    ):
        running.sign_in()
        yield running


def test_an_ordinary_user_can_run_it(neighbour: RealStack) -> None:
    users = {Path(f"/proc/{pid}").stat().st_uid for pid in neighbour.processes() if Path(f"/proc/{pid}").exists()}
    assert len(users) == 1
    assert os.getuid() != 0 or 0 not in users
    assert (neighbour.state_dir.stat().st_mode & 0o777) == 0o700
    assert ((neighbour.state_dir / "token").stat().st_mode & 0o777) == 0o600


def test_two_servers_side_by_side_keep_apart(stack: RealStack, neighbour: RealStack, tmp_path: Path) -> None:
    mine, theirs = make_photos(tmp_path, 2, seed=300, size=(400, 300))
    before = stack.count()

    _, my_id = stack.client.upload(mine, sha1_hex(mine))
    _, their_id = neighbour.client.upload(theirs, sha1_hex(theirs))

    for server, asset_id in ((stack, my_id), (neighbour, their_id)):
        server.wait_until_idle(60)
        assert server.asset(asset_id)["thumbhash"], describe(server)
    assert (stack.count() - before, neighbour.count()) == (1, 1)
    assert set(stack.processes()).isdisjoint(neighbour.processes())


def test_a_second_up_on_the_same_folder_is_refused(stack: RealStack) -> None:
    lasting = lasting_processes(stack)

    second = run_up(stack)

    assert second.returncode == 1
    assert "already" in second.stderr
    assert str(stack.port) in second.stderr
    assert str(stack.media) in second.stderr
    assert "Traceback" not in second.stderr
    assert lasting_processes(stack) == lasting
    assert stack.is_up()


def lasting_processes(stack: RealStack) -> set[int]:
    """Those that never end by themselves; workers and their exiftools come and go."""
    lasting = ("gcs_server", "raylet/raylet", "ControllerActor", "ServeReplica", "HAProxyManager")
    return {pid for pid, title in stack.processes().items() if any(name in title for name in lasting)}


WRONG = {
    "IMMICH_PORT": "seventy",
    "IMMICH_MEDIA_LOCATION": "not/absolute",
    "IMMICH_LOG_LEVEL": "loud",
    "DB_URL": "mysql://somewhere/else",
    "HELIOSTAT_STATE_DIR": "/tmp/a-folder-with-far-too-long-a-name",
}


@pytest.mark.parametrize("wrong", [WRONG, {"IMMICH_WORKERS_INCLUDE": "api,microservise"}], ids=["many", "workers"])
def test_wrong_settings_stop_the_start_and_are_named(tmp_path: Path, wrong: dict[str, str]) -> None:
    stack = prepared_stack(UNUSED_PORT, tmp_path, (), **wrong)
    try:
        done = run_up(stack)

        assert done.returncode == 1
        assert [name for name in wrong if name not in done.stderr] == []
        assert "Traceback" not in done.stderr
        assert stack.processes() == {}
    finally:
        discard(stack)


@pytest.mark.parametrize("variable", ["IMMICH_PORT", "HELIOSTAT_RAY_PORT_BASE", "IMMICH_MEDIA_LOCATION"])
def test_what_cannot_be_had_is_told_before_ray_is_started(tmp_path: Path, variable: str) -> None:
    """A port that another program listens on, and a file in place of the media folder."""
    stack = prepared_stack(UNUSED_PORT, tmp_path)
    settings = read_settings(stack.environ)
    port = settings.ray_port(RayPort.RUNTIME_ENV_AGENT) if variable == "HELIOSTAT_RAY_PORT_BASE" else UNUSED_PORT
    try:
        with contextlib.ExitStack() as opened:
            own = {}
            if variable == "IMMICH_MEDIA_LOCATION":
                (tmp_path / "file").write_text("")
                own[variable] = str(tmp_path / "file")
            else:
                opened.enter_context(socket.create_server(("127.0.0.1", port)))
            started_s = time.monotonic()

            done = run_up(stack, **own)

        assert done.returncode == 1
        assert f"[{variable}]" in done.stderr
        assert len(done.stderr.splitlines()) <= 4, done.stderr
        assert time.monotonic() - started_s < REFUSED_SOON_S
        assert not (stack.state_dir / "ray").exists()
    finally:
        discard(stack)


def test_a_media_folder_that_is_gone_stops_the_start(tmp_path: Path) -> None:
    stack = prepared_stack(UNUSED_PORT, tmp_path)
    try:
        remember_media_folders(stack)
        (stack.media / "upload" / ".immich").unlink()

        done = run_up(stack)

        assert done.returncode == 1
        assert "IMMICH_MEDIA_LOCATION" in done.stderr
        assert str(stack.media / "upload") in done.stderr
        assert "Traceback" not in done.stderr
        assert stack.processes() == {}
    finally:
        discard(stack)


def remember_media_folders(stack: RealStack) -> None:
    """What a first start does with database and folders."""
    database = Database(read_settings(stack.environ).database_url)
    migrate(database.durable)
    with database.session(durable=True) as session:
        system_flags.remember_mounts(session, check_folders(stack.media, {}, False, datetime.now(UTC)))
    database.close()


@pytest.mark.parametrize(
    "after_s", [0.0, pytest.param(3.0, marks=pytest.mark.long), pytest.param(9.0, marks=pytest.mark.long)]
)
def test_a_stop_during_the_start_leaves_nothing(tmp_path: Path, after_s: float) -> None:
    stack = prepared_stack(HASTY_PORT, tmp_path)
    try:
        command = start_up(stack)
        wait_until(lambda: bool(stack.processes()), 60, "Ray to be started")
        time.sleep(after_s)

        command.send_signal(signal.SIGTERM)

        assert command.wait(60) == 0
        assert stack.processes() == {}
    finally:
        discard(stack)


def test_interrupt_ends_it_cleanly(stack: RealStack, neighbour: RealStack, report: Callable[[str], None]) -> None:
    """The last test that needs the neighbour: Ctrl-C there, and the first server does not notice."""
    code, seconds = neighbour.stop(signal.SIGINT)

    assert code == 0, neighbour.log[-3000:]
    assert neighbour.processes() == {}
    assert not neighbour.is_up()
    assert stack.is_up()
    report(f"clean stop by Ctrl-C: {seconds:.1f} s")


def start_up(stack: RealStack, **environ: str) -> subprocess.Popen[bytes]:
    with (stack.folder / "log").open("ab") as log:
        stack.command = subprocess.Popen(
            [sys.executable, "-m", "serve_app.cli", "up"],
            cwd=REPOSITORY,
            env={**stack.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return stack.command


def run_up(stack: RealStack, **environ: str) -> subprocess.CompletedProcess[str]:
    """An `up` that is expected to end by itself, and soon."""
    return subprocess.run(
        [sys.executable, "-m", "serve_app.cli", "up"],
        cwd=REPOSITORY,
        env={**stack.environ, **environ},
        capture_output=True,
        text=True,
        timeout=REFUSED_S,
        check=False,
    )


def test_a_failed_sign_in_is_logged_with_the_address_that_proxies_tell(stack: RealStack) -> None:
    """By HAProxy, in front of every replica, and by a proxy on this machine before it."""
    wrong = {"email": EMAIL, "password": "not this one"}
    for headers, address in (({}, "127.0.0.1"), ({"x-forwarded-for": "10.9.8.7, 203.0.113.9"}, "203.0.113.9")):
        answer = httpx.post(f"{stack.url}/api/auth/login", json=wrong, headers=headers)
        assert answer.status_code == 401
        line = f"sign-in as {EMAIL} from {address}: wrong email or password"
        wait_until(lambda line=line: line in logs(stack), 10, f"the log to say {line}")


def logs(stack: RealStack) -> str:
    """What the processes of this run have logged."""
    folder = stack.state_dir / "ray" / "session_latest" / "logs"
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
