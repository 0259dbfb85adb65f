"""pg_dump and psql of the server's own major version. The password goes by the environment, never by the arguments.

Source: spec/pipeline.md §9.
"""

import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from cluster.db.postgres_copies import ConnectionWords, ServerFacts, connection_words
from cluster.errors import Permanent, ProgramMissing, ProgramTimeout
from tasks.backup.archive import PIECE_BYTES
from tasks.media.programs import run_program, running_program

OLDEST_MAJOR, TOO_NEW_MAJOR = 14, 19
CLOSING_WORDS = b"-- PostgreSQL database dump complete"
TAIL_BYTES = 1024
"""The closing words lie within this much of the end; newer versions write a line after them."""
SILENCE_S = 900.0
"""pg_dump writes as it reads; when nothing comes for so long, it hangs."""
LOOK_EVERY_S = 1.0
LOCK_WAIT_S = 300
END_S = 120.0
PROGRAM_S = 20.0
SUFFIX_FOLDERS = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
)


class UnsupportedServer(Permanent):
    """A version of PostgreSQL that is not backed up."""


class DumpIncomplete(Permanent):
    """A dump lacks its closing words: it was cut short."""

    retryable = True


def find_program(name: str, major: int) -> Path:
    """`pg_dump` or `psql` of PostgreSQL `major`, in the folders of packages or on PATH. Raises ProgramMissing."""
    candidates = [Path(folder.format(major=major)) / name for folder in SUFFIX_FOLDERS]
    if on_path := shutil.which(name):
        candidates.append(Path(on_path))
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and _major_of(candidate) == major:
            return candidate
    raise ProgramMissing(f"{name} {major}", f"apt-get install postgresql-client-{major}")


def _major_of(program: Path) -> int | None:
    said = run_program([program, "--version"], timeout_s=PROGRAM_S).stdout.decode(errors="replace")
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else None


def refuse_server(major: int) -> None:
    """Raises UnsupportedServer."""
    if not OLDEST_MAJOR <= major < TOO_NEW_MAJOR:
        raise UnsupportedServer(f"PostgreSQL {major} is not supported: {OLDEST_MAJOR} to {TOO_NEW_MAJOR - 1} are")


def dump(url: str, server: ServerFacts, tell: Callable[[float], None]) -> Iterator[bytes]:
    """The database as SQL, piece by piece, as it was when this began. Ends normally only when the dump is whole.

    `tell(fraction)`, an estimate, is called between pieces and while none comes; what it raises ends pg_dump. Raises
    UnsupportedServer, ProgramMissing, ProgramFailed, ProgramTimeout, DumpIncomplete.
    """
    refuse_server(server.major)
    words = connection_words(url)
    arguments: list[str | Path] = [
        find_program("pg_dump", server.major),
        "--clean",
        "--if-exists",
        "--no-owner",
        "--no-privileges",
        f"--lock-wait-timeout={LOCK_WAIT_S}s",
        f"--dbname={words.conninfo}",
    ]
    tail, read_bytes = b"", 0

    def tell_share() -> None:
        tell(min(0.99, read_bytes / max(1, server.size_bytes)))

    with running_program(arguments, stdout=subprocess.PIPE, environment=_environment(words)) as program:
        pipe = program.process.stdout
        assert pipe is not None
        for piece in _pieces(pipe.fileno(), tell_share):
            read_bytes += len(piece)
            tail = (tail + piece)[-TAIL_BYTES:]
            yield piece
        program.finish(END_S)
    refuse_cut(tail)


def refuse_cut(tail: bytes) -> None:
    """`tail`: the end of a dump. Raises DumpIncomplete."""
    if CLOSING_WORDS not in tail:
        raise DumpIncomplete("the dump ends without PostgreSQL's closing words")


def _pieces(descriptor: int, tell: Callable[[], None]) -> Iterator[bytes]:
    heard_s = time.monotonic()
    while True:
        tell()
        ready, _, _ = select.select([descriptor], [], [], LOOK_EVERY_S)
        if not ready:
            if time.monotonic() - heard_s > SILENCE_S:
                raise ProgramTimeout("pg_dump", SILENCE_S)
            continue
        piece = os.read(descriptor, PIECE_BYTES)
        if not piece:
            return
        heard_s = time.monotonic()
        yield piece


def restore(url: str, major: int, content: Iterable[bytes]) -> None:
    """Run a dump in the empty database of `url`, all or nothing.

    Raises ProgramFailed with psql's words, ProgramMissing, DumpIncomplete.
    """
    words = connection_words(url)
    arguments: list[str | Path] = [
        find_program("psql", major),
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
        f"--dbname={words.conninfo}",
    ]
    tail = b""
    with running_program(arguments, stdin=subprocess.PIPE, environment=_environment(words)) as program:
        pipe = program.process.stdin
        assert pipe is not None
        try:
            for piece in content:
                tail = (tail + piece)[-TAIL_BYTES:]
                pipe.write(piece)
            refuse_cut(tail)  # before the pipe's end lets psql commit
            pipe.close()
        except BrokenPipeError:
            with suppress(BrokenPipeError):
                pipe.close()
        program.finish(None)


def _environment(words: ConnectionWords) -> dict[str, str]:
    """Ours, with the password: what libpq reads there (certificates, a service) holds for the server's own connections
    too."""
    return {**os.environ, **words.environment, "PGAPPNAME": "heliostat backup"}
