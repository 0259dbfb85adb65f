"""Runs a program (ffmpeg, ffprobe …) from an argument list, bounded in time and in what it may say. `watch_program`
also listens to what it says meanwhile, and ends it when nobody waits any more or nothing moves.

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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cluster.errors import Cancelled, ProgramFailed, ProgramMissing, ProgramTimeout

STDERR_TAIL_BYTES: Final = 8_192
STDOUT_LIMIT_BYTES: Final = 16 << 20
PIPES_END_S: Final = 10.0
LINE_LIMIT_BYTES: Final = 4_096
LOOK_EVERY_S: Final = 0.2

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
        self.process, self.name = process, program
        self._stderr = bytearray()
        assert process.stderr is not None
        self._reader = threading.Thread(
            target=_read_tail, args=(process.stderr, self._stderr, STDERR_TAIL_BYTES), daemon=True
        )
        self._reader.start()

    def finish(self, timeout_s: float | None) -> str:
        """Wait for its end, however long with None; returns the last 8 KiB of its standard error. Raises
        ProgramTimeout; ProgramFailed when it ends with anything but 0."""
        try:
            exit_code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ProgramTimeout(self.name, error.timeout) from error
        self._reader.join(PIPES_END_S)
        said = self._stderr.decode(errors="replace")
        if exit_code != 0:
            raise ProgramFailed(self.name, exit_code, said)
        return said


@contextlib.contextmanager
def running_program(
    arguments: Sequence[str | Path],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    niceness: int = 0,
) -> Iterator[RunningProgram]:
    """Start `arguments[0]`; `stdin` and `stdout` as for Popen. Raises ProgramMissing.

    `environment` replaces ours: what must not be seen in a list of processes goes there. At the end the whole process
    group is gone, whatever happened.
    """
    process, program = _start(arguments, stdin, stdout, environment, niceness)
    try:
        yield RunningProgram(process, program)
    finally:
        _kill_group(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def watch_program(
    arguments: Sequence[str | Path],
    on_line: Callable[[str], bool],
    *,
    cancelled: threading.Event,
    quiet_s: float,
    timeout_s: float,
    niceness: int = 0,
) -> str:
    """Run a program that tells on standard output how far it is. Returns the last 8 KiB of its standard error.

    `on_line`: gets each line and says whether the program has moved on by it. Raises ProgramMissing; ProgramFailed;
    ProgramTimeout when it has not moved on for `quiet_s` or takes longer than `timeout_s`; Cancelled soon after
    `cancelled` is set; what `on_line` raises. In each case the whole process group is gone before this returns.
    """
    with running_program(arguments, stdout=subprocess.PIPE, niceness=niceness) as running:
        listener = _Listener(running.process, on_line)
        try:
            _wait(running, listener, cancelled, quiet_s, timeout_s)
        finally:
            _kill_group(running.process)
            listener.join()
        if listener.raised is not None:
            raise listener.raised
        return running.finish(None)


class _Listener(threading.Thread):
    """Reads the lines of a program; `ended` is set with the last one."""

    def __init__(self, process: subprocess.Popen[bytes], on_line: Callable[[str], bool]) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.started_s = self.moved_s = time.monotonic()
        self.raised: Exception | None = None
        assert process.stdout is not None
        self._pipe, self._on_line = process.stdout, on_line
        self.start()

    def run(self) -> None:
        try:
            while line := self._pipe.readline(LINE_LIMIT_BYTES):
                if self._on_line(line.decode(errors="replace").strip()):
                    self.moved_s = time.monotonic()
        except Exception as error:
            self.raised = error
        finally:
            self.ended.set()


def _wait(
    running: RunningProgram, listener: _Listener, cancelled: threading.Event, quiet_s: float, timeout_s: float
) -> None:
    """Until the program has ended; its output ends first, so that this wakes at once."""
    while not listener.ended.wait(LOOK_EVERY_S) or running.process.poll() is None:
        now_s = time.monotonic()
        if cancelled.is_set():
            raise Cancelled(f"{running.name} was ended: the job was given up")
        if listener.raised is not None:
            return
        if now_s - listener.moved_s > quiet_s:
            raise ProgramTimeout(running.name, quiet_s)
        if now_s > listener.started_s + timeout_s:
            raise ProgramTimeout(running.name, timeout_s)
        if listener.ended.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(LOOK_EVERY_S)


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
