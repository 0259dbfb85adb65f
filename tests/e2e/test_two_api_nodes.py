"""Two api machines, two controllers, two machines that work, each with an address of its own: what the second api
machine is good for when Ray's head is killed, how nodes are left out by both controllers, and stops that are hurried.
"""

import os
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from cluster.errors import ProgramMissing
from serve_app.client import sha1_hex
from tests.e2e.photos import make_photos
from tests.e2e.private_network import PrivateNetwork, private_network
from tests.e2e.real_nodes import RealNode, real_node
from tests.e2e.real_stack import EMAIL, PASSWORD, Foreground, RealStack, describe, kill, real_stack, rows, wait_until
from tests.e2e.test_kills import Recovery, assert_complete, owners
from tests.e2e.test_nodes import refusal
from tests.e2e.test_rolling_restart import heliostat, state_of
from tests.postgres_server import private_postgres
from tests.programs import program, skip_or_fail

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PORT = 3463
BACK_S, WAIT_S, IMPORT_S = 90.0, 120.0, 400.0
LONGEST_S = 10.0
"""No request takes longer, however it ends."""
AT_ONCE_S = 10.0
SMALL = (640, 480)


@dataclass
class Site:
    """`first` and `second` are api machines and do no jobs, `cellar` and `attic` do them all. `api`: what the first two
    are told alike."""

    network: PrivateNetwork
    api: Mapping[str, str]
    first: RealStack
    second: RealNode
    cellar: RealNode
    attic: RealNode

    @property
    def nodes(self) -> list[RealNode]:
        return [self.second, self.cellar, self.attic]

    def work_on(self, node: RealNode, *films: Path) -> None:
        """Upload films until one is encoded there."""
        for film in films:
            self.first.client.upload(film, sha1_hex(film))
        wait_until(lambda: "AssetEncodeVideo" in runs_on(self.first, node.name), WAIT_S, f"a film on {node.name}")


def make_noise(path: Path, seconds: int) -> Path:
    """A film that takes much longer to encode than it lasts."""
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=1280x720:r=30:d={seconds},noise=alls=30:allf=t")
    command = (program("ffmpeg"), "-v", "error", *picture, "-c:v", "mpeg4", "-q:v", "20", str(path))
    subprocess.run(command, check=True)
    return path


def runs_on(stack: RealStack, name: str) -> set[str]:
    """Names of the jobs that a node was heard of with."""
    nodes = stack.client.call("GET", "/nodes")
    return {job["name"] for node in nodes if node["name"] == name for job in node["running"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for needed in ("exiftool", "ffmpeg"):
        program(needed)
    with ExitStack() as opened:
        network = opened.enter_context(private_network())
        first, second, cellar, attic = (network.machine(name) for name in ("first", "second", "cellar", "attic"))
        try:
            database = by_its_socket(opened.enter_context(private_postgres()))
        except ProgramMissing as missing:
            skip_or_fail(str(missing))
        api = {"IMMICH_WORKERS_INCLUDE": "api", "IMMICH_HOST": "0.0.0.0", "IMMICH_PORT": str(PORT), **database}
        api |= {"IMMICH_MACHINE_LEARNING_ENABLED": "false", "HELIOSTAT_VIDEO_PARTS_FROM_S": "0"}
        mine = {"HELIOSTAT_CONTROLLERS": "2", "HELIOSTAT_STOP_S": "60"}
        named = {"HELIOSTAT_RAY_HOST": first.address, "HELIOSTAT_NODE_NAME": "first"}
        folder = tmp_path_factory.mktemp("two")
        elsewhere = folder / "sockets"  # the same database by another name
        elsewhere.symlink_to(database["DB_HOSTNAME"])
        stack = opened.enter_context(real_stack(PORT, folder, first.prefix, host=first.address, **api, **mine, **named))
        nodes = [
            opened.enter_context(real_node(stack, name, machine.prefix, HELIOSTAT_RAY_HOST=machine.address, **own))
            for name, machine, own in (
                ("second", second, api | {"DB_HOSTNAME": str(elsewhere)}),
                ("cellar", cellar, {}),
                ("attic", attic, {}),
            )
        ]
        stack.sign_in()
        config = stack.client.call("GET", "/system-config")
        config["ffmpeg"]["preset"] = "slow"
        stack.client.call("PUT", "/system-config", json=config)
        both = {"controller", "controller-2"}
        wait_until(lambda: owners(stack).keys() == both, WAIT_S, "two controllers", stack.still_runs)
        yield Site(network, api, stack, *nodes)


def by_its_socket(url: str) -> dict[str, str]:
    """The same server, as every machine here reaches it."""
    parts = urlsplit(url)
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW unix_socket_directories").fetchone()
        assert row is not None
    return {
        "DB_HOSTNAME": str(row[0]),
        "DB_PORT": str(parts.port),
        "DB_USERNAME": str(parts.username),
        "DB_PASSWORD": str(parts.password),
        "DB_DATABASE_NAME": parts.path.removeprefix("/"),
    }


class Uploader(threading.Thread):
    """Uploads to one machine until told to stop, each photo until it is taken; notes how each request ended, after how
    many seconds, and how long nothing was taken."""

    def __init__(self, url: str, photos: Sequence[Path]) -> None:
        super().__init__()
        self.url, self.photos, self.enough = url, photos, threading.Event()
        self.accepted: dict[str, Path] = {}
        self.ended: dict[str, list[float]] = defaultdict(list)
        self.gap_s = 0.0

    def run(self) -> None:
        with httpx.Client(base_url=f"{self.url}/api", timeout=WAIT_S) as client:
            token = client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD}).json()["accessToken"]
            client.headers["Authorization"] = f"Bearer {token}"
            taken_s = time.monotonic()
            for photo in self.photos:
                while not self._took(client, photo):
                    if self.enough.wait(0.2):
                        return
                self.gap_s, taken_s = max(self.gap_s, time.monotonic() - taken_s), time.monotonic()
                if self.enough.wait(0.1):
                    return

    def _took(self, client: httpx.Client, photo: Path) -> bool:
        fields = {"fileCreatedAt": "2026-11-26T12:00:00Z", "fileModifiedAt": "2026-11-26T12:00:00Z"}
        started_s = time.monotonic()
        try:
            answer = client.post("/assets", data=fields, files={"assetData": (photo.name, photo.read_bytes())})
            how = "taken" if answer.status_code in (200, 201) else str(answer.status_code)
        except httpx.HTTPError as error:
            how = type(error).__name__
        self.ended[how].append(time.monotonic() - started_s)
        if how == "taken":
            self.accepted[answer.json()["id"]] = photo
        return how == "taken"

    @property
    def longest_s(self) -> float:
        return max(max(seconds) for seconds in self.ended.values())

    def __str__(self) -> str:
        ends = ", ".join(f"{len(seconds)} {how} (longest {max(seconds):.1f} s)" for how, seconds in self.ended.items())
        return f"{ends}; nothing taken for {self.gap_s:.1f} s at most"


def test_uploads_go_on_at_the_second_api_machine_while_rays_head_is_killed(
    site: Site, tmp_path: Path, report: Callable[[str], None]
) -> None:
    stack = site.first
    before = stack.count()
    second_url = f"http://{site.second.environ['HELIOSTAT_RAY_HOST']}:{PORT}"
    wait_until(lambda: answers(second_url), WAIT_S, "the second api machine to serve", site.second.still_runs)
    at_first = Uploader(stack.url, make_photos(tmp_path / "first", 200, 600, SMALL))
    at_second = Uploader(second_url, make_photos(tmp_path / "second", 500, 601, SMALL))
    for one in (at_first, at_second):
        one.start()
    wait_until(lambda: min(len(at_first.accepted), len(at_second.accepted)) > 5, WAIT_S, "uploads", stack.still_runs)
    joined = [node.times_joined for node in site.nodes]

    kill(next(pid for pid, title in stack.processes().items() if "gcs_server" in title))
    struck_s = time.monotonic()
    wait_until(lambda: not stack.is_up(), WAIT_S, "the first machine to be away", stack.still_runs, 0.02)
    wait_until(stack.is_up, WAIT_S, "the first machine to answer", stack.still_runs)
    answered_s = time.monotonic() - struck_s
    for node, times in zip(site.nodes, joined, strict=True):
        wait_until(lambda node=node, times=times: node.times_joined > times, WAIT_S, node.name, node.still_runs)
    back_s = time.monotonic() - struck_s
    for one in (at_first, at_second):
        one.enough.set()
        one.join()
    report(
        f"Ray's head killed: the first machine answered after {answered_s:.0f} s, all had joined after {back_s:.0f} s "
        f"(load {os.getloadavg()[0]:.0f})"
    )
    report(f"at the first machine: {at_first}")
    report(f"at the second machine: {at_second}")
    stack.wait_until_idle(IMPORT_S)
    assert set(at_second.ended) == {"taken"}
    assert max(at_first.longest_s, at_second.longest_s) < LONGEST_S
    assert back_s < BACK_S
    assert_complete(stack, Recovery(at_first.accepted | at_second.accepted, before, answered_s, back_s))


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/server/ping", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_machine_that_was_told_otherwise_becomes_no_api_machine(site: Site) -> None:
    for variable, value, said in (
        ("DB_DATABASE_NAME", "template1", "name another database here (marked by nobody) than on the head"),
        ("HELIOSTAT_UPLOAD_LIMIT_MB", "5", "HELIOSTAT_UPLOAD_LIMIT_MB is 5 here and 0 on the head"),
        ("TZ", "Asia/Tokyo", "TZ is JST (UTC+09:00) here and "),
    ):
        told = {**site.api, variable: value, "HELIOSTAT_RAY_HOST": site.network.address}
        said_here = refusal(site.first, f"other-{variable.lower()}", **told)
        assert said in said_here
        assert site.api["DB_PASSWORD"] not in said_here


def test_the_first_machines_api_comes_back_on_the_first_machine(site: Site) -> None:
    machines = (site.first, site.second)

    def replicas() -> dict[int, Foreground]:
        titles = {pid: (title, one) for one in machines for pid, title in one.processes().items()}
        return {pid: one for pid, (title, one) in titles.items() if title.startswith("ray::ServeReplica:immich")}

    for _ in range(5):
        (pid,) = replicas()
        kill(pid)
        wait_until(lambda pid=pid: replicas().keys() - {pid}, WAIT_S, "another replica", site.first.still_runs)
        assert list(replicas().values()) == [site.first]
        wait_until(site.first.is_up, WAIT_S, "the first machine to answer", site.first.still_runs)


def test_a_drained_node_gets_nothing_from_either_controller(site: Site, tmp_path: Path) -> None:
    stack, drained, other = site.first, site.cellar, site.attic
    attempts = rows(stack, "SELECT count(*) FROM job_attempt")
    site.work_on(drained, *(make_noise(tmp_path / f"noise_{seconds}.avi", seconds) for seconds in (11, 12)))
    heliostat(stack, "drain", drained.name, "--patience", "5", "--reason", "a new disk")
    wait_until(lambda: state_of(stack, drained.name) == "drained", WAIT_S, "the node to be drained")

    (newest,) = rows(stack, "SELECT coalesce(max(id), 0) FROM job_history")[0]
    ids = {stack.client.upload(photo, sha1_hex(photo))[1]: photo for photo in make_photos(tmp_path, 40, 610, SMALL)}
    stack.wait_until_idle(IMPORT_S)
    later = "SELECT DISTINCT name, node FROM job_history WHERE id > :newest AND node != ''"
    ran = {(name, node) for name, node in rows(stack, later, newest=newest)}
    # these two queues are not one controller's
    assert ran >= {(name, other.name) for name in ("AssetExtractMetadata", "AssetGenerateThumbnails")}
    assert drained.name not in {node for _, node in ran}
    assert all(stack.asset(asset_id)["thumbhash"] for asset_id in ids)
    assert rows(stack, "SELECT count(*) FROM job_attempt") == attempts
    assert stack.failed() == {}, describe(stack)
    heliostat(stack, "drain", drained.name, "--back")


def test_a_node_that_fails_what_others_can_is_benched(
    site: Site, tmp_path: Path, report: Callable[[str], None]
) -> None:
    stack = site.first
    machine = site.network.machine("sick")
    own = {"HELIOSTAT_RAY_HOST": machine.address, "HELIOSTAT_NUM_CPUS": "2"}
    photos = make_photos(tmp_path / "photos", 150, 620)  # large enough for all nodes to get some
    with real_node(stack, "sick", machine.prefix, **own) as sick:
        make_read_only(sick, stack.media / "thumbs")
        stack.client.command("thumbnailGeneration", "pause")
        ids = {stack.client.upload(photo, sha1_hex(photo))[1] for photo in photos}
        stack.client.command("thumbnailGeneration", "resume")
        started_s = time.monotonic()

        def never_idle() -> None:
            """The others, warm, may have done it all before the sick node has its workers."""
            if stack.is_idle():
                stack.client.command("thumbnailGeneration", "start", force=True)

        benched = "the sick node to be benched"
        wait_until(lambda: "benched" in why_drained(stack, "sick"), WAIT_S, benched, never_idle)
        benched_s = time.monotonic() - started_s
        report(f"benched after {benched_s:.0f} s: {why_drained(stack, 'sick')}")
        stack.wait_until_idle(IMPORT_S)
        sick.still_runs()
    assert stack.failed() == {}, describe(stack)
    assert all(stack.asset(asset_id)["thumbhash"] for asset_id in ids)
    assert why_drained(stack, "cellar") == why_drained(stack, "attic") == ""


def make_read_only(node: RealNode, folder: Path) -> None:
    """For the processes of this node alone, whose namespace has mounts of its own: a network disk that went wrong."""
    inside = (program("nsenter"), f"--target={node.raylet()}", "--mount", "mount")
    for options in (("--bind", folder), ("-o", "remount,bind,ro")):
        subprocess.run([*inside, *options, folder], check=True)


def why_drained(stack: RealStack, name: str) -> str:
    found = [node for node in stack.client.call("GET", "/nodes") if node["name"] == name]
    return str(found[0].get("drainReason") or "") if found else ""


def test_a_second_signal_ends_a_node_at_once(site: Site, tmp_path: Path, report: Callable[[str], None]) -> None:
    stack, node = site.first, site.attic
    site.work_on(node, *(make_noise(tmp_path / f"noise_{seconds}.avi", seconds) for seconds in (13, 14)))
    assert node.command is not None
    node.command.send_signal(signal.SIGTERM)
    wait_until(lambda: "drains: waits up to" in node.log, WAIT_S, "the node to drain", node.still_runs)
    code, seconds = node.stop()
    report(f"second SIGTERM: a node that waited for a film ended after {seconds:.1f} s")
    assert (code, node.processes()) == (0, {}), node.log[-3000:]
    assert "SIGTERM: stopping at once" in node.log
    assert seconds < AT_ONCE_S
    node.start()
    stack.wait_until_idle(IMPORT_S)
    assert stack.failed() == {}, describe(stack)


def test_a_second_signal_ends_the_first_machine_at_once(
    site: Site, tmp_path: Path, report: Callable[[str], None]
) -> None:
    """Nothing is lost by it: what was out runs again after the next start."""
    stack = site.first
    attempts = rows(stack, "SELECT count(*) FROM job_attempt")
    site.work_on(site.attic, *(make_noise(tmp_path / f"noise_{seconds}.avi", seconds) for seconds in (15, 16)))
    joined = [node.times_joined for node in site.nodes]
    assert stack.command is not None
    stack.command.send_signal(signal.SIGTERM)
    time.sleep(2)
    stack.still_runs()  # it has a minute for what is out
    code, seconds = stack.stop()
    report(f"second SIGTERM: the first machine, with films out, ended after {seconds:.1f} s")
    assert (code, stack.processes()) == (0, {}), stack.log[-3000:]
    assert "SIGTERM: stopping at once" in stack.log
    assert seconds < AT_ONCE_S
    stack.start()
    for node, times in zip(site.nodes, joined, strict=True):
        wait_until(lambda node=node, times=times: node.times_joined > times, WAIT_S, node.name, node.still_runs)
    stack.wait_until_idle(IMPORT_S)
    assert stack.failed() == {}, describe(stack)
    assert rows(stack, "SELECT count(*) FROM job_attempt") == attempts
