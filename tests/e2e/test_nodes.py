"""Several machines: what joins, where work lands, what is refused, what a worker's machine knows. Each machine is a
`heliostat node` of its own on this one.
"""

import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import httpx
import psutil
import pytest

from cluster.settings import RayPort
from serve_app.client import sha1_hex
from tests.e2e.photos import make_photos
from tests.e2e.private_network import private_network
from tests.e2e.real_nodes import FIRST_MACHINE, head_of, prepared_node, real_node, settings_of
from tests.e2e.real_stack import RealStack, describe, kill, real_stack, rows, wait_until
from tests.programs import program

pytestmark = pytest.mark.timeout(600)

REJOIN_S, IMPORT_S = 120.0, 180.0
DATABASE = {"DB_PASSWORD": "topsecret", "DB_URL": "postgres://u:topsecret@nowhere/x", "PGPASSWORD": "topsecret"}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """Machine A of Immich's documentation: `IMMICH_WORKERS_INCLUDE=api`. It alone can do no job."""
    program("exiftool")
    folder = tmp_path_factory.mktemp("first")
    with real_stack(3451, folder, IMMICH_WORKERS_INCLUDE="api", HELIOSTAT_DASHBOARD="true", **FIRST_MACHINE) as stack:
        stack.sign_in()
        yield stack


def import_photos(stack: RealStack, folder: Path, count: int, seed: int) -> None:
    for photo in make_photos(folder, count, seed):
        stack.client.upload(photo, sha1_hex(photo))


def where_jobs_ran(stack: RealStack) -> set[tuple[str, str]]:
    """(job, node) of every finished job."""
    with sqlite3.connect(stack.media / "heliostat.db") as database:
        return set(database.execute("SELECT name, node FROM job_history WHERE outcome = 'done'"))


def test_work_waits_for_machine_b_and_is_done_there(first: RealStack, tmp_path: Path) -> None:
    import_photos(first, tmp_path, 3, seed=51)
    wait_until(lambda: "no live node" in str(first.client.call("GET", "/queues")), 60, "a queue to say why")
    with real_node(first, "b") as b:
        first.wait_until_idle(IMPORT_S)
        assert first.failed() == {}, describe(first)
        ran = where_jobs_ran(first)
        assert ("AssetExtractMetadata", "b") in ran
        assert ("AssetGenerateThumbnails", "b") in ran
        assert [title for title in b.processes().values() if title.startswith("ray::AssetGenerate") or "IDLE" in title]
        assert not [title for title in b.processes().values() if "ServeReplica" in title or "ProxyActor" in title]
    assert first.is_up()


def test_a_worker_that_lost_its_raylet_joins_again(first: RealStack) -> None:
    with real_node(first, "again") as node:
        kill(node.raylet())
        wait_until(lambda: node.times_joined == 2, REJOIN_S, "the node to join again", node.still_runs)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_ends_by_a_signal_with_all_that_it_started(first: RealStack, number: signal.Signals) -> None:
    node = prepared_node(first, f"by-{number.name.lower()}")
    try:
        node.start()
        assert node.processes()
        code, _ = node.stop(number)
        assert code == 0, node.log
        assert node.processes() == {}
        assert first.is_up()
    finally:
        node.kill_everything()


def test_a_node_that_is_told_to_stop_ends_what_it_runs(first: RealStack, tmp_path: Path) -> None:
    with real_node(first, "ends") as node:
        import_photos(first, tmp_path, 12, seed=53)
        wait_until(
            lambda: ("AssetGenerateThumbnails", "ends") in where_jobs_ran(first), IMPORT_S, "the first thumbnail"
        )
        code, _ = node.stop()
        assert code == 0, node.log
        assert "this machine is empty" in node.log
        assert rows(first, "SELECT name, error_class, message FROM job_attempt WHERE node = 'ends'") == []
        node.start()
        first.wait_until_idle(IMPORT_S)
    assert first.failed() == {}, describe(first)


def refusal(first: RealStack, name: str, **environ: str) -> str:
    """What a node that may not join says."""
    head = environ.pop("head", "")
    node = prepared_node(first, name, head=head, **environ)
    try:
        node.start(wait=False)
        assert node.command is not None
        assert node.command.wait(90) == 1, node.log
        assert node.processes() == {}
        return node.log
    finally:
        node.kill_everything()


def test_a_machine_that_may_not_join_is_told_why(first: RealStack, tmp_path: Path) -> None:
    wrong, nobody = tmp_path / "wrong", tmp_path / "nobody"
    wrong.write_text("f" * 64)
    wrong.chmod(0o600)
    assert f"no token in {nobody}: copy the file" in refusal(first, "tokenless", HELIOSTAT_TOKEN_FILE=str(nobody))
    assert "refuses the token in" in refusal(first, "stranger", HELIOSTAT_TOKEN_FILE=str(wrong))
    assert "nothing answers at 127.0.0.1:9" in refusal(first, "lost", head="127.0.0.1:9")
    elsewhere = {"IMMICH_MEDIA_LOCATION": str(tmp_path)}
    assert f"the media folder is {tmp_path} here" in refusal(first, "elsewhere", **elsewhere)
    assert "Invalid worker(s) found: api,video" in refusal(first, "typo", IMMICH_WORKERS_INCLUDE="api,video")
    assert "set IMMICH_WORKERS_EXCLUDE=api here" in refusal(first, "second", IMMICH_WORKERS_INCLUDE="api,encoding")
    twice = {"RAY_OVERRIDE_LABELS": '{"worker/encoding": "true"}', "IMMICH_WORKERS_INCLUDE": "api"}
    assert "the cluster's file and the environment differ" in refusal(first, "twice", **twice)


def test_a_workers_machine_knows_nothing_of_the_database(first: RealStack) -> None:
    with real_node(first, "blind", **DATABASE) as node:
        import_photos(first, node.folder / "photos", 2, seed=52)
        first.wait_until_idle(IMPORT_S)
        assert node.command is not None
        everyone = {node.command.pid: "heliostat node", **node.processes()}
        assert any("AssetExtractMetadata" in title or "ray::" in title for title in everyone.values())
        for pid, title in everyone.items():
            said = Path("/proc", str(pid), "environ").read_bytes() + Path("/proc", str(pid), "cmdline").read_bytes()
            words = said.replace(b"\0", b"\n").decode(errors="replace")
            assert "topsecret" not in words, title
            assert "postgres" not in words, title
            assert "sqlite" not in words, title
            assert not [line for line in words.splitlines() if line.startswith(("DB_", "PG"))], title


CALLS = {
    RayPort.HEAD: "rpc.InternalKVGcsService/InternalKVGet",
    RayPort.NODE_MANAGER: "rpc.NodeManagerService/GetNodeStats",
    RayPort.OBJECT_MANAGER: "rpc.ObjectManagerService/Pull",
    RayPort.DASHBOARD_AGENT_GRPC: "rpc.ReporterService/ReportOCMetrics",
}
REPLICA_CALL = "serve.ASGIService/HandleRequest"
PAGES = {
    RayPort.DASHBOARD: "/api/version",
    RayPort.DASHBOARD_AGENT: "/api/job_agent/jobs/",
    RayPort.RUNTIME_ENV_AGENT: "/get_runtime_envs_info",
}


def answer_to_call(host: str, port: int, method: str, token: str | None) -> str:
    """What a gRPC method says to an empty request: OK, UNAUTHENTICATED, …"""
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        try:
            channel.unary_unary(f"/ray.{method}")(b"", timeout=20, metadata=bearer(token))
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"


def answer_to_page(host: str, port: int, path: str, token: str | None) -> int:
    return httpx.get(f"http://{host}:{port}{path}", headers=dict(bearer(token)), timeout=20).status_code


def bearer(token: str | None) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")] if token else []


def test_whoever_has_no_token_is_refused_at_every_port_of_ray(first: RealStack) -> None:
    settings = settings_of(first)
    right, here = settings.token_file.read_text(), str(settings.ray_host)
    assert settings.token_file.stat().st_mode & 0o777 == 0o600
    with real_node(first, "asked", HELIOSTAT_RAY_HOST="127.0.0.3") as node:
        base = int(node.environ["HELIOSTAT_RAY_PORT_BASE"])
        for host, first_port, left_out in (
            (here, settings.ray_port_base, {}),
            ("127.0.0.3", base, {RayPort.HEAD, RayPort.DASHBOARD}),
        ):
            for port, method in CALLS.items():
                if port in left_out:
                    continue
                said = [answer_to_call(host, first_port + port, method, token) for token in (None, "f" * 64, right)]
                assert said == ["UNAUTHENTICATED", "UNAUTHENTICATED", "OK"], (host, port)
            for port, path in PAGES.items():
                if port in left_out:
                    continue
                where = "127.0.0.1" if port is RayPort.DASHBOARD else host
                pages = [answer_to_page(where, first_port + port, path, token) for token in (None, "f" * 64, right)]
                assert pages[:2] == [401, 403] or pages[:2] == [401, 401], (host, port)
                assert pages[2] in (200, 405), (host, port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((here, settings.ray_port(RayPort.CLIENT_SERVER)), 5)
    with pytest.raises(ConnectionRefusedError):  # it runs code for whoever reaches it
        socket.create_connection((here, settings.ray_port(RayPort.DASHBOARD)), 5)


def open_to_others(processes: Mapping[int, str]) -> list[tuple[str, str, int]]:
    """(process, address, port) of every one of these that listens elsewhere than on loopback."""
    return [
        (processes[connection.pid][:60], connection.laddr.ip, connection.laddr.port)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.pid in processes
        and connection.laddr.ip.removeprefix("::ffff:") != "127.0.0.1"
    ]


def test_on_a_single_machine_ray_listens_on_loopback_alone(stack: RealStack) -> None:
    assert stack.command is not None
    ours = {one.pid: one.name() for one in psutil.Process(stack.command.pid).children(recursive=True)}
    ours |= stack.processes()
    assert len(ours) > 8
    # Serve's replicas hear each other on every interface, and cannot be told otherwise; they too want the token
    found = open_to_others(ours)
    assert [title for title, _, _ in found if not title.startswith("ray::ServeReplica")] == []
    for _, _, port in found:
        assert answer_to_call("127.0.0.1", port, REPLICA_CALL, None) == "UNAUTHENTICATED"


def test_a_machine_of_a_private_network_can_be_cut_off_and_healed() -> None:
    with private_network() as network:
        machine = network.machine("worker")
        with socket.create_server((network.address, 0)) as server:
            reach = [*machine.prefix, sys.executable, "-c", REACH, *map(str, server.getsockname())]
            for change, reached in ((lambda: None, True), (machine.cut, False), (machine.heal, True)):
                change()
                done = subprocess.run(reach, capture_output=True, timeout=60, check=False)
                assert (done.returncode == 0) is reached, done.stderr


@pytest.mark.long
def test_machines_in_a_network_of_their_own_can_be_cut_off_and_healed(tmp_path: Path) -> None:
    with private_network() as network:
        a, b = network.machine("a"), network.machine("b")
        first_machine = {"IMMICH_WORKERS_INCLUDE": "api", "IMMICH_HOST": "0.0.0.0", "HELIOSTAT_RAY_HOST": a.address}
        stack = real_stack(3454, tmp_path, a.prefix, host=a.address, HELIOSTAT_NODE_NAME="a", **first_machine)
        with stack as running, real_node(running, "b", b.prefix, HELIOSTAT_RAY_HOST=b.address) as node:
            running.sign_in()
            import_photos(running, tmp_path / "photos", 2, seed=53)
            running.wait_until_idle(IMPORT_S)
            assert ("AssetGenerateThumbnails", "b") in where_jobs_ran(running)

            b.cut()
            reach = [*b.prefix, sys.executable, "-c", REACH, *head_of(running).split(":")]
            assert subprocess.run(reach, capture_output=True, timeout=60).returncode != 0
            assert running.is_up()
            b.heal()
            assert subprocess.run(reach, capture_output=True, timeout=60).returncode == 0

            import_photos(running, tmp_path / "photos", 2, seed=54)
            running.wait_until_idle(IMPORT_S)
            assert running.failed() == {}, describe(running)
            node.still_runs()


REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
