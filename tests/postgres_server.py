"""A private PostgreSQL server for as long as a test run or a benchmark lasts: own folder, own port, own password.

It keeps PostgreSQL's own defaults (fsync on) but for what is asked for: what is measured is what a real server does.
"""

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from cluster.errors import ProgramMissing

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def private_postgres(*settings: str) -> Iterator[str]:
    """Yield the URL of an own server's `postgres` database, superuser and password included; stop and delete it after.

    `settings`: `name=value` pairs for the server, e.g. `max_connections=300`. Raises ProgramMissing.
    """
    initdb, postgres = _binary("initdb"), _binary("postgres")
    account = _server_account()
    folder = Path(tempfile.mkdtemp(prefix="heliostat-postgres-"))
    try:
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        password = secrets.token_hex(16)
        _create_data_folder(initdb, folder, password, account)
        port = _free_port()
        with _running(postgres, folder, port, settings, account) as server:
            url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
            _wait_until_ready(url, server, folder / "log")
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binary(name: str) -> str:
    """On PATH, else the newest of Debian's, which keeps the server's programs off PATH."""
    candidates = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3].partition(".")[0])
    )
    found = shutil.which(name) or (str(candidates[-1]) if candidates else None)
    if found is None:
        raise ProgramMissing(name, "install the package `postgresql`")
    return found


def _server_account() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; None when this process is not root and may run it itself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ProgramMissing("postgres", "root needs an account `postgres` or `nobody` to run it as")


def _become(account: pwd.struct_passwd | None) -> dict[str, object]:
    """The Popen arguments that run a program as `account`."""
    return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _create_data_folder(initdb: str, folder: Path, password: str, account: pwd.struct_passwd | None) -> None:
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if account is not None:
        os.chown(password_file, account.pw_uid, account.pw_gid)
    command = [initdb, "--pgdata", str(folder / "data"), "--username=postgres", f"--pwfile={password_file}"]
    # --no-sync is about this creation alone; the server that follows syncs as usual.
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **_become(account))  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed: {done.stderr[-2000:]}")
    password_file.unlink()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _running(
    postgres: str, folder: Path, port: int, settings: tuple[str, ...], account: pwd.struct_passwd | None
) -> Iterator[subprocess.Popen[bytes]]:
    """The server process; stopped the fast way at the end, and when this process dies."""
    command = [postgres, "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)]
    for setting in ("listen_addresses=127.0.0.1", *settings):
        command += ["-c", setting]
    prctl = ctypes.CDLL(None).prctl
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(  # type: ignore[call-overload]
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C at the terminal is for the tests, which then stop the server
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGINT),
            **_become(account),
        )
    try:
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.05)
