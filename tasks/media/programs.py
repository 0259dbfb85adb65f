"""Runs a program (ffmpeg, ffprobe …) from an argument list, bounded in time and in what it may say.

The program gets its own process group and dies with its parent, so that neither a time-out nor a killed worker
leaves one behind.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cluster.errors import ProgramFailed, ProgramMissing, ProgramTimeout

STDERR_TAIL_BYTES: Final = 8_192
STDOUT_LIMIT_BYTES: Final = 16 << 20
PIPES_END_S: Final = 10.0

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

_HINTS = {
    "ffmpeg": "install the package ffmpeg",
    "ffprobe": "install the package ffmpeg",
    "exiftool": "install the package libimage-exiftool-perl",
}


@dataclass(frozen=True, slots=True)
class ProgramOutput:
    """What a program that ended well said. `stderr_tail`: at most its last 8 KiB."""

    stdout: bytes
    stderr_tail: str


def run_program(
    arguments: Sequence[str | Path],
    *,
    timeout_s: float,
    stdout_limit_bytes: int = STDOUT_LIMIT_BYTES,
    niceness: int = 0,
) -> ProgramOutput:
    """Run `arguments[0]` with the rest as its arguments; its standard input is empty.

    Raises ProgramMissing; ProgramTimeout after `timeout_s`; ProgramFailed when it ends with anything but 0, or says
    more than `stdout_limit_bytes`. In each case the whole process group is gone before this returns.
    """
    process, program = _start(arguments, subprocess.DEVNULL, subprocess.PIPE, None, niceness)
    try:
        return _collect(process, program, timeout_s, stdout_limit_bytes)
    finally:
        _kill_group(process)


class RunningProgram:
    """A program that the caller feeds or reads while it runs. `process` has the pipes that were asked for."""

    def __init__(self, process: subprocess.Popen[bytes], program: str) -> None:
        self.process, self._program = process, program
        self._stderr = bytearray()
        assert process.stderr is not None
        self._reader = threading.Thread(
            target=_read_tail, args=(process.stderr, self._stderr, STDERR_TAIL_BYTES), daemon=True
        )
        self._reader.start()

    def finish(self, timeout_s: float | None) -> None:
        """Wait for its end, however long with None. Raises ProgramTimeout; ProgramFailed when it ends with anything but
        0."""
        try:
            exit_code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ProgramTimeout(self._program, error.timeout) from error
        self._reader.join(PIPES_END_S)
        if exit_code != 0:
            raise ProgramFailed(self._program, exit_code, self._stderr.decode(errors="replace"))


@contextlib.contextmanager
def running_program(
    arguments: Sequence[str | Path],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningProgram]:
    """Start `arguments[0]`; `stdin` and `stdout` as for Popen. Raises ProgramMissing.

    `environment` replaces ours: what must not be seen in a list of processes goes there. At the end the whole process
    group is gone, whatever happened.
    """
    process, program = _start(arguments, stdin, stdout, environment, 0)
    try:
        yield RunningProgram(process, program)
    finally:
        _kill_group(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _start(
    arguments: Sequence[str | Path],
    stdin: int | IO[bytes],
    stdout: int | IO[bytes],
    environment: Mapping[str, str] | None,
    niceness: int,
) -> tuple[subprocess.Popen[bytes], str]:
    command = [str(argument) for argument in arguments]
    program = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            preexec_fn=_prepare_child(os.getpid(), niceness),  # calls C alone, takes no lock
        )
    except FileNotFoundError as error:
        raise ProgramMissing(program, _HINTS.get(program, f"put {program} on PATH")) from error
    return process, program


def _prepare_child(parent_pid: int, niceness: int) -> Callable[[], None]:
    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent_pid:  # the parent died before the line above
                os._exit(1)
        if niceness:
            os.nice(niceness)

    return prepare


def _collect(
    process: subprocess.Popen[bytes], program: str, timeout_s: float, stdout_limit_bytes: int
) -> ProgramOutput:
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = bytearray(), bytearray()
    readers = [
        threading.Thread(target=_read_head, args=(process.stdout, stdout, stdout_limit_bytes), daemon=True),
        threading.Thread(target=_read_tail, args=(process.stderr, stderr, STDERR_TAIL_BYTES), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        exit_code = process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        raise ProgramTimeout(program, timeout_s) from error
    finally:
        _kill_group(process)  # a grandchild may still hold the pipes that the readers wait on
        for reader in readers:
            reader.join()
    tail = stderr.decode(errors="replace")
    if len(stdout) > stdout_limit_bytes:
        raise ProgramFailed(program, exit_code, f"{tail}\nmore than {stdout_limit_bytes} bytes of output")
    if exit_code != 0:
        raise ProgramFailed(program, exit_code, tail)
    return ProgramOutput(bytes(stdout), tail)


def _read_head(pipe: IO[bytes], into: bytearray, limit: int) -> None:
    """Keep `limit` + 1 bytes, then close the pipe: the writer ends by SIGPIPE and the extra byte tells why."""
    while chunk := pipe.read(min(1 << 20, limit + 1 - len(into))):
        into += chunk
    pipe.close()


def _read_tail(pipe: IO[bytes], into: bytearray, limit: int) -> None:
    while chunk := os.read(pipe.fileno(), 1 << 16):
        into += chunk
        del into[:-limit]
    pipe.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
