"""A stack's processes, by its mark: found, watched and ended, and no others. The programs are real, but not Ray."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from cluster import stack as stack_module
from cluster.launch import STACK_MARK
from cluster.settings import Settings, read_settings
from cluster.stack import VITAL_OF_HEAD, RayNotStarted, Stack, StackBroken, StackRunning

SOON_S = 5.0


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A folder with a short name: sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settings(state_dir: Path, tmp_path: Path) -> Settings:
    return read_settings({"IMMICH_MEDIA_LOCATION": str(tmp_path), "HELIOSTAT_STATE_DIR": str(state_dir)})


@pytest.fixture
def stack(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setattr(stack_module, "GENTLE_S", 0.3)
    made = Stack(settings, os.environ)
    yield made
    made.end_everything()
    made.unlock()


@pytest.fixture
def stranger(state_dir: Path) -> Iterator[psutil.Process]:
    """A process of another stack, whose folder's name begins like ours."""
    with subprocess.Popen(["sleep", "60"], env={STACK_MARK: f"{state_dir}x"}) as started:
        yield psutil.Process(started.pid)
        started.kill()


def start(environment: Mapping[str, str], command: str = "sleep 60") -> psutil.Process:
    """A process that is nobody's child, as Ray's are."""
    script = f"{command} >/dev/null 2>&1 & echo $!"
    done = subprocess.run(["sh", "-c", script], env=dict(environment), stdout=subprocess.PIPE, check=True)
    return psutil.Process(int(done.stdout))


def ended(process: psutil.Process) -> bool:
    """Gone, or dead and not reaped."""
    until_s = time.monotonic() + SOON_S
    while time.monotonic() < until_s:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.005)
    return False


def pretend_ray(monkeypatch: pytest.MonkeyPatch, folder: Path, names: tuple[str, ...] = VITAL_OF_HEAD) -> None:
    """`ray start` becomes a shell that leaves programs of these names behind."""
    sleep = shutil.which("sleep")
    assert sleep
    for name in names:
        shutil.copy(sleep, folder / name)
    lines = [f"{folder / name} 60 >/dev/null 2>&1 &" for name in names]
    monkeypatch.setattr(stack_module, "head_command", lambda settings: ["sh", "-c", "\n".join(lines)])


def test_a_stacks_processes_are_found_by_its_mark_alone(stack: Stack, stranger: psutil.Process) -> None:
    ours = start(stack.environment)
    assert [process.pid for process in stack.processes()] == [ours.pid]


def test_ending_a_stack_ends_its_processes_and_no_others(stack: Stack, stranger: psutil.Process) -> None:
    first, second = start(stack.environment), start(stack.environment)
    assert stack.end_everything() == 2
    assert ended(first)
    assert ended(second)
    assert stranger.is_running()
    assert stranger.status() != psutil.STATUS_ZOMBIE
    assert stack.processes() == []


def test_one_that_does_not_listen_is_killed(stack: Stack) -> None:
    deaf = start(stack.environment, """sh -c 'trap "" TERM; while :; do sleep 1; done'""")
    stack.end_everything()
    assert ended(deaf)
    assert stack.processes() == []


def test_what_ends_when_it_is_told_to_is_not_waited_for(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a zombie that nobody reaps."""
    monkeypatch.setattr(stack_module, "GENTLE_S", 60.0)
    start(stack.environment)
    started_s = time.monotonic()
    stack.end_everything()
    assert time.monotonic() - started_s < SOON_S


def test_an_agent_that_lost_mark_and_raylet_is_known_by_its_logs(stack: Stack, tmp_path: Path, state_dir: Path) -> None:
    sleep, program = shutil.which("sleep"), tmp_path / "ray::Agent"
    assert sleep
    shutil.copy(sleep, program)
    logs, other_logs = state_dir / "ray" / "logs", tmp_path / "logs"
    logs.parent.mkdir()
    ours, other = (start({}, f"sh -c 'exec {program} 60 3>{file}'") for file in (logs, other_logs))
    wait_until_open(ours, logs)
    assert [process.pid for process in stack.processes()] == [ours.pid]
    stack.end_everything()
    assert ended(ours)
    assert other.is_running()
    other.kill()


def wait_until_open(process: psutil.Process, file: Path) -> None:
    until_s = time.monotonic() + SOON_S
    while not file.exists() or process.name() != "ray::Agent":
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_ending_a_stack_that_does_not_run_ends_nothing(stack: Stack) -> None:
    assert stack.end_everything() == 0


def test_a_state_folder_has_one_user(stack: Stack, settings: Settings) -> None:
    stack.lock()
    with pytest.raises(StackRunning, match=rf"process {os.getpid()} runs on port 2283"):
        Stack(settings, os.environ).lock()


def test_a_database_that_is_a_file_has_one_server(settings: Settings, tmp_path: Path) -> None:
    other_state = f"{settings.state_dir}2"
    environ = {"IMMICH_MEDIA_LOCATION": str(tmp_path), "HELIOSTAT_STATE_DIR": other_state, "IMMICH_PORT": "3333"}
    one, other = Stack(settings, os.environ), Stack(read_settings(environ), os.environ)
    try:
        one.lock()
        with pytest.raises(StackRunning, match=rf"process {os.getpid()} serves {tmp_path / 'heliostat.db'} already"):
            other.lock()
        one.unlock()
        other.lock()
        other.unlock()
    finally:
        shutil.rmtree(other_state)


def test_the_lock_goes_with_its_process(stack: Stack, settings: Settings, state_dir: Path) -> None:
    """What a killed one left in the file does not matter."""
    (state_dir / "lock").write_text("12345678")
    stack.lock()
    assert (state_dir / "lock").read_text() == str(os.getpid())


def test_the_state_folder_is_closed_to_others(stack: Stack, state_dir: Path) -> None:
    state_dir.chmod(0o755)
    stack.lock()
    assert state_dir.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_somebody_else_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(StackBroken, match="belongs to somebody else"):
        stack.lock()


def test_a_link_in_place_of_the_folder_is_refused(stack: Stack, state_dir: Path, tmp_path: Path) -> None:
    state_dir.rmdir()
    state_dir.symlink_to(tmp_path)
    with pytest.raises(StackBroken, match="belongs to somebody else"):
        stack.lock()
    assert not (tmp_path / "lock").exists()
    state_dir.unlink()


def test_the_secret_is_made_once_and_its_owner_alone_can_read_it(stack: Stack) -> None:
    secrets = []
    for _ in range(2):
        stack.prepare()
        path = stack.settings.token_file
        assert path.stat().st_mode & 0o777 == 0o600
        secrets.append(path.read_text())
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) == 64


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [("a" * 64, 0o644, "can be read by others"), ("wrong", 0o600, "is no token"), ("", 0o600, "is no token")],
)
def test_a_secret_that_keeps_nobody_out_is_refused(stack: Stack, content: str, mode: int, said: str) -> None:
    path = stack.settings.token_file
    path.write_text(content)
    path.chmod(mode)
    for prepare in (stack.prepare, stack.prepare_node):
        with pytest.raises(StackBroken, match=said):
            prepare()


def test_a_secret_that_is_none_is_made_anew_on_the_first_machine_and_copied_again_to_others(stack: Stack) -> None:
    path = stack.settings.token_file
    path.write_text("wrong")
    path.chmod(0o600)
    with pytest.raises(StackBroken, match=f"in {path} is no token as the first machine writes it.*: delete it, start"):
        stack.prepare()
    with pytest.raises(StackBroken, match=rf"{path} is no token .*: copy the file that `heliostat up` shows on the"):
        stack.prepare_node()


def test_a_machine_that_joins_makes_no_secret(stack: Stack) -> None:
    with pytest.raises(StackBroken, match=f"no token in {stack.settings.token_file}: copy the file"):
        stack.prepare_node()
    assert not stack.settings.token_file.exists()


def test_logs_of_old_starts_go_and_the_last_stay(stack: Stack, state_dir: Path) -> None:
    for number in range(4):
        (state_dir / "ray" / f"session_2026-05-0{number}" / "logs").mkdir(parents=True)
    (state_dir / "ray" / "session_latest").symlink_to(state_dir / "ray" / "session_2026-05-03")
    stack.prepare()
    left = sorted(path.name for path in (state_dir / "ray").iterdir())
    assert left == ["session_2026-05-02", "session_2026-05-03", "session_latest"]


def test_preparing_ends_what_an_earlier_run_left(stack: Stack) -> None:
    left_over = start(stack.environment)
    stack.prepare()
    assert ended(left_over)


def test_what_runs_is_not_dead(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_ray(monkeypatch, tmp_path)
    stack.launch()
    assert stack.dead_parts() == []


@pytest.mark.parametrize("name", VITAL_OF_HEAD)
def test_a_vital_program_that_died_is_named(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pretend_ray(monkeypatch, tmp_path)
    stack.launch()
    (victim,) = [process for process in stack.processes() if process.name() == name]
    victim.kill()
    assert ended(victim)
    assert stack.dead_parts() == [name]


def test_an_autoscaler_that_died_is_started_again_as_it_was_and_not_at_once(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "autoscaler" / "v2" / "monitor.py"
    program.parent.mkdir(parents=True)
    program.write_text("import os, sys, time\nprint(os.environ['PORT'], file=open(sys.argv[1], 'a'), flush=True)\n")
    with program.open("a") as file:
        file.write("time.sleep(60)\n")
    started = tmp_path / "started"
    pretend_ray(monkeypatch, tmp_path)
    ray_start, monitor = stack_module.head_command(stack.settings), f"{sys.executable} -u {program} {started}"
    ray_start[-1] += f"\nPORT=44227 {monitor} >/dev/null 2>&1 &"
    monkeypatch.setattr(stack_module, "head_command", lambda settings: ray_start)
    stack.launch()

    def running() -> list[psutil.Process]:
        return [one for one in stack.processes() if str(program) in one.cmdline()]

    for times in (1, 2):
        wait_for_lines(started, times)
        stack.keep_monitor()
        (victim,) = running()
        victim.kill()
        assert ended(victim)
        stack.keep_monitor()
        assert running() == []
        monkeypatch.setattr(stack_module, "MONITOR_AGAIN_S", 0.0)
        stack.keep_monitor()
        monkeypatch.setattr(stack_module, "MONITOR_AGAIN_S", 30.0)
        assert len(running()) == 1
    wait_for_lines(started, 3)
    assert stack.dead_parts() == []


def wait_for_lines(path: Path, number: int) -> None:
    """Until this file has so many lines, which all say the port."""
    until_s = time.monotonic() + SOON_S
    while not path.exists() or len(path.read_text().splitlines()) < number:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    assert path.read_text().splitlines() == ["44227"] * number


def test_a_program_of_another_stack_stands_for_none_of_ours(
    stack: Stack, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_ray(monkeypatch, tmp_path, VITAL_OF_HEAD[:1])
    stack.launch()
    shutil.copy(tmp_path / VITAL_OF_HEAD[0], tmp_path / VITAL_OF_HEAD[1])
    other = start({STACK_MARK: f"{state_dir}x"}, f"{tmp_path / VITAL_OF_HEAD[1]} 60")
    assert stack.dead_parts() == [VITAL_OF_HEAD[1]]
    other.kill()


def test_a_zombie_is_dead_although_its_parent_does_not_look(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container without an init nobody reaps what Ray leaves."""
    pretend_ray(monkeypatch, tmp_path, VITAL_OF_HEAD[:1])
    stack.launch()
    shutil.copy(tmp_path / VITAL_OF_HEAD[0], tmp_path / VITAL_OF_HEAD[1])
    with subprocess.Popen([tmp_path / VITAL_OF_HEAD[1], "60"], env=stack.environment) as child:
        process = psutil.Process(child.pid)
        stack._vital.append(process)
        assert stack.dead_parts() == []
        process.kill()
        assert ended(process)
        assert process.status() == psutil.STATUS_ZOMBIE
        assert stack.dead_parts() == [VITAL_OF_HEAD[1]]


def test_ray_that_does_not_start_says_why_and_leaves_nothing(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "sleep 60 >/dev/null 2>&1 & echo 'port 6379 is taken' >&2; exit 1"
    monkeypatch.setattr(stack_module, "head_command", lambda settings: ["sh", "-c", script])
    with pytest.raises(StackBroken, match="port 6379 is taken"):
        stack.launch()
    assert stack.processes() == []


def test_ray_that_does_not_join_says_why_in_one_line(settings: Settings) -> None:
    node = Stack(settings, os.environ, head=False)
    words = r"Traceback (most recent call last):\n  File x\n\033[31mException: timed out\033[0m\n\n"
    script = f"printf '{words}' >&2; exit 1"
    with pytest.raises(RayNotStarted) as refused:
        node.launch(["sh", "-c", script])
    said = f"Ray did not start here: Exception: timed out (its logs are in {settings.state_dir}/ray)"
    assert str(refused.value) == said


def test_a_node_in_the_first_machines_state_folder_is_told_what_it_needs_of_its_own(
    stack: Stack, settings: Settings
) -> None:
    stack.lock()
    with pytest.raises(StackRunning, match=rf"process {os.getpid()} runs a stack of {settings.state_dir} on this mach"):
        Stack(settings, os.environ, head=False).lock()


def test_ray_that_hangs_is_ended(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "START_TIMEOUT_S", 0.1)
    monkeypatch.setattr(stack_module, "head_command", lambda settings: ["sleep", "60"])
    with pytest.raises(StackBroken, match="did not start within"):
        stack.launch()
    assert stack.processes() == []


def test_a_child_that_lost_the_mark_belongs_to_its_parents_stack(stack: Stack) -> None:
    parent = start(stack.environment, 'sh -c "env -i sleep 60 & wait"')
    until_s = time.monotonic() + SOON_S
    while not (children := parent.children()) and time.monotonic() < until_s:
        time.sleep(0.005)
    (child,) = children

    assert {parent.pid, child.pid} <= {process.pid for process in stack.processes()}
    stack.end_everything()

    assert ended(parent)
    assert ended(child)
