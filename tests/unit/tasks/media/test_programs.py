import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.errors import Cancelled, ProgramFailed, ProgramMissing, ProgramTimeout
from tasks.media.programs import STDERR_TAIL_BYTES, run_program, watch_program

SH = "/bin/sh"


def test_what_a_program_prints_comes_back() -> None:
    output = run_program([SH, "-c", "printf hello; echo aside >&2"], timeout_s=10)
    assert output.stdout == b"hello"
    assert output.stderr_tail == "aside\n"


def test_arguments_pass_through_no_shell() -> None:
    assert run_program(["printf", "%s", "$(id); *"], timeout_s=10).stdout == b"$(id); *"


def test_a_failing_program_gives_its_code_and_the_end_of_what_it_said() -> None:
    with pytest.raises(ProgramFailed) as failed:
        run_program([SH, "-c", "yes filler | head -c 100000 >&2; echo the reason >&2; exit 3"], timeout_s=10)
    assert failed.value.exit_code == 3
    assert failed.value.stderr_tail.endswith("the reason\n")
    assert len(failed.value.stderr_tail) <= STDERR_TAIL_BYTES


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program"):
        run_program(["no-such-program"], timeout_s=10)


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ProgramTimeout):
        run_program([SH, "-c", f"sleep 60 & echo $! > {tmp_path / 'pid'}; wait"], timeout_s=0.5)
    assert time.monotonic() - started < 10
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_child_that_outlives_its_parent_does_not_hold_us(tmp_path: Path) -> None:
    started = time.monotonic()
    run_program([SH, "-c", f"sleep 60 & echo $! > {tmp_path / 'pid'}"], timeout_s=30)
    assert time.monotonic() - started < 10
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_talks_too_much_is_stopped() -> None:
    with pytest.raises(ProgramFailed, match="more than 1000 bytes"):
        run_program(["yes"], timeout_s=10, stdout_limit_bytes=1000)


def test_a_program_dies_with_the_process_that_runs_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "from tasks.media.programs import run_program\n"
        f"run_program(['/bin/sh', '-c', 'echo $$ > {pid_file}; exec sleep 60'], timeout_s=60)"
    )
    parent = psutil.Popen([sys.executable, "-c", code])
    try:
        child = wait_for_pid(pid_file)
    finally:
        parent.kill()
        parent.wait()
    assert is_gone(child)


def wait_for_pid(file: Path) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if file.exists() and file.read_text().strip():
            return int(file.read_text())
        time.sleep(0.02)
    raise AssertionError("the program did not start")


def is_gone(pid: int) -> bool:
    """Whether the process ends within five seconds. A zombie that waits for init has ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
            os.kill(pid, 0)
        except (psutil.NoSuchProcess, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


def watched(script: str, on_line: Callable[[str], bool] = lambda line: True, **limits: Any) -> str:
    given: dict[str, Any] = {"cancelled": threading.Event(), "quiet_s": 20.0, "timeout_s": 20.0} | limits
    return watch_program([SH, "-c", script], on_line, **given)


def test_lines_are_heard_while_a_program_runs() -> None:
    heard: list[str] = []
    said = watched("echo one; echo two; echo aside >&2", lambda line: bool(heard.append(line)) or True)
    assert heard == ["one", "two"]
    assert said == "aside\n"


def test_a_watched_program_that_fails_gives_its_code_and_what_it_said() -> None:
    with pytest.raises(ProgramFailed) as failed:
        watched("echo the reason >&2; exit 3")
    assert (failed.value.exit_code, failed.value.stderr_tail) == (3, "the reason\n")


def test_a_program_that_closes_its_output_early_is_waited_for() -> None:
    started = time.monotonic()
    watched("exec >&-; sleep 0.5")
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize(
    ("moves", "limits"), [(True, {"timeout_s": 0.8}), (False, {"quiet_s": 0.8})], ids=["total", "nothing new"]
)
def test_a_watched_program_has_two_limits(tmp_path: Path, moves: bool, limits: dict[str, float]) -> None:
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; while true; do echo same; sleep 0.1; done"
    started = time.monotonic()
    with pytest.raises(ProgramTimeout):
        watched(script, lambda line: moves, **limits)
    assert 0.7 < time.monotonic() - started < 10
    assert is_gone(int(pid_file.read_text()))


def test_what_moves_on_is_not_quiet() -> None:
    watched("for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; done", quiet_s=0.9)


def test_a_cancelled_program_is_gone_with_its_children(tmp_path: Path) -> None:
    pid_file, cancelled = tmp_path / "pid", threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(Cancelled):
        watched(f"sleep 60 & echo $! > {pid_file}; wait", cancelled=cancelled)
    assert is_gone(int(pid_file.read_text()))


def test_what_the_listener_raises_ends_the_program() -> None:
    def refuse(line: str) -> bool:
        raise ValueError(line)

    started = time.monotonic()
    with pytest.raises(ValueError, match="nonsense"):
        watched("echo nonsense; sleep 60", refuse)
    assert time.monotonic() - started < 10


def test_a_program_can_be_nice() -> None:
    heard: list[str] = []
    watched("nice", lambda line: bool(heard.append(line)) or True, niceness=10)
    assert heard == [str(min(19, os.nice(0) + 10))]
