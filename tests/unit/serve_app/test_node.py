"""What `heliostat node` does while it waits for a head; the ports and processes are real, but not Ray's."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import ports
from cluster.errors import HeliostatError, SettingsInvalid
from cluster.joining import JoinRefused, ToldOtherwise
from cluster.settings import RayPort, read_settings
from cluster.stack import RayNotStarted
from cluster.storage.layout import Folder
from cluster.storage.mounts import MARKER
from serve_app import node
from serve_app.node import NodeSupervisor

SOON_S = 5.0
NOTHING_YET = subprocess.CompletedProcess[str]([], 0, "\n", "")


@pytest.fixture
def silent_head() -> Iterator[str]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def supervisor_of(tmp_path: Path, head: str, **own: str) -> NodeSupervisor:
    """An api machine's; it does not run."""
    environ = {"IMMICH_MEDIA_LOCATION": str(tmp_path), "HELIOSTAT_STATE_DIR": "/tmp/hn-unused", **own}
    made = NodeSupervisor(read_settings(environ), environ, head)
    made._stack.prepare_node = lambda: None  # type: ignore[method-assign]
    return made


def test_a_head_that_takes_a_connection_and_stays_silent_is_a_refusal(
    silent_head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "ASK_S", 0.3)
    monkeypatch.setattr(node, "UNTIL_PUBLISHED_S", 0.1)
    with pytest.raises(JoinRefused, match=rf"no Heliostat answers at {silent_head}.*\(it does not answer\)"):
        supervisor_of(tmp_path, silent_head)._join()


def test_one_that_is_stopped_while_it_waits_was_not_refused(
    silent_head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = supervisor_of(tmp_path, silent_head)

    def nothing_yet(*_arguments: Any, **_options: Any) -> subprocess.CompletedProcess[str]:
        threading.Timer(0.2, supervisor._stopping.set).start()
        return NOTHING_YET

    monkeypatch.setattr(subprocess, "run", nothing_yet)
    supervisor._join()
    assert supervisor._stopping.is_set()
    assert supervisor._address == ""


@pytest.fixture
def nobody() -> str:
    """Where no head listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("mounted", [True, False])
def test_while_the_head_is_away_a_stand_in_goes_on_where_the_media_folder_is(
    nobody: str, tmp_path: Path, mounted: bool
) -> None:
    supervisor = supervisor_of(tmp_path, nobody)
    for folder in Folder if mounted else ():
        (tmp_path / folder.value).mkdir()
        (tmp_path / folder.value / MARKER).write_text("1")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stand_in:
        supervisor._stand_in._process = stand_in
        joining = threading.Thread(target=supervisor._rejoin)
        joining.start()
        try:
            until_s = time.monotonic() + (0.5 if mounted else SOON_S)
            while stand_in.poll() is None and time.monotonic() < until_s:
                time.sleep(0.01)
            assert (stand_in.poll() is None) is mounted
        finally:
            supervisor._stopping.set()
            joining.join()
            supervisor._stand_in.end()


@pytest.mark.parametrize(("refusal", "goes_on"), [(ToldOtherwise("other limits"), True), (JoinRefused("no"), False)])
def test_an_api_that_was_told_otherwise_goes_on_until_somebody_starts_it_anew(
    nobody: str, tmp_path: Path, refusal: JoinRefused, goes_on: bool
) -> None:
    supervisor = supervisor_of(tmp_path, nobody)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stand_in:
        supervisor._stand_in._process = stand_in
        with pytest.raises(type(refusal)), supervisor._taking_nothing_if_refused():
            raise refusal
        assert (stand_in.poll() is None) is goes_on
        supervisor._stand_in.end()


def test_a_port_that_a_node_needs_and_another_stack_has_is_told_before_ray_is_started(
    silent_head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        base = other.getsockname()[1] - RayPort.NODE_MANAGER
        supervisor = supervisor_of(tmp_path, silent_head, HELIOSTAT_RAY_PORT_BASE=str(base))
        with pytest.raises(SettingsInvalid, match=r"HELIOSTAT_RAY_PORT_BASE.*is taken"):
            supervisor._join()


def test_a_first_join_whose_ray_does_not_start_is_tried_again_and_one_that_is_refused_is_not(
    nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = supervisor_of(tmp_path, nobody)
    monkeypatch.setattr(node, "FIRST_PAUSE_S", 0.01)
    outcomes: list[HeliostatError | None] = [RayNotStarted("timed out"), JoinRefused("nothing answers"), None]

    def join() -> None:
        if error := outcomes.pop(0):
            raise error

    monkeypatch.setattr(supervisor, "_join", join)
    supervisor._join_first()
    assert outcomes == []
    assert [record.message.split(";")[0] for record in caplog.records] == ["timed out", "nothing answers"]

    outcomes += [JoinRefused("no"), None]
    with pytest.raises(JoinRefused):
        supervisor._join_first()
