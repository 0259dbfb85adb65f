"""Requests a second, latency and CPU of the API with wrk, signed by an API key, by turns with plain uvicorn that runs
the same app on the same library: a ping, the queues, the months of a timeline of 10,000, a thumbnail, 5 MB sent.

`cpu_ms` is that of every process of the stack (of uvicorn) for one request at 16 connections, less what the stack uses
while idle. wrk's own CPU is not in it, but it takes it from the same machine. What has no `_1` is at 16 connections.

    python -m bench.api --seconds 3
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert

from bench.pipeline import IDLE_S, SETTLE_S, corpus, upload
from bench.processes import Watch
from bench.running_stack import PROJECT, BenchFailed, RunningStack, running_stack, wait_until_idle
from cluster.db.engine import Database
from cluster.db.tables.asset import Asset
from serve_app.client import sha1_hex
from tests.api_stack import free_port, wait_for_ping
from tests.library_rows import NOON, asset_values

FEW_PHOTOS = 4
FEW, MANY = 1, 16
WARM_UP_S = 2

LIBRARY = 10_000
UPLOAD_BYTES = 5_000_000

SCRIPT = """
wrk.headers["x-api-key"] = "%s"
function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format('{"requests": %%d, "duration_us": %%d, "p50_us": %%d, "p99_us": %%d, "wrong": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout))
end
"""
UPLOADS = """
local file, sent, run = string.rep("heliostat", %d), 0, os.time() .. tostring({})
wrk.method = "POST"
wrk.headers["content-type"] = "multipart/form-data; boundary=b"
function request()
  sent = sent + 1
  local function field(name, value)
    return "--b\\r\\nContent-Disposition: form-data; name=\\"" .. name .. "\\"\\r\\n\\r\\n" .. value .. "\\r\\n"
  end
  local when = "2024-01-02T03:04:05.678Z"
  return wrk.format(nil, nil, nil, field("fileCreatedAt", when) .. field("fileModifiedAt", when)
    .. "--b\\r\\nContent-Disposition: form-data; name=\\"assetData\\"; filename=\\"a.jpg\\"\\r\\n\\r\\n"
    .. run .. sent .. file .. "\\r\\n--b--\\r\\n")
end
"""
"""No two files are alike, of two runs neither."""

Tell = Callable[[str], None]


class WrkMissing(Exception):
    """wrk is not installed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What wrk saw in one run."""

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int
    wrong: int

    @property
    def per_s(self) -> float:
        return self.requests / self.duration_us * 1e6


@dataclass(frozen=True, slots=True)
class Target:
    """Who answers, and whose CPU counts. `idle_cpu_per_s`: what it uses while nobody asks."""

    name: str
    url: str
    state_dir: Path
    root: int
    idle_cpu_per_s: float = 0.0


def run(seconds: int = 5, rounds: int = 3, tell: Tell = print) -> dict[str, float]:
    """Medians of `rounds` runs of `seconds` for each address and number of connections. Raises WrkMissing."""
    if shutil.which("wrk") is None:
        raise WrkMissing("wrk is not installed: apt install wrk")
    folder = corpus(FEW_PHOTOS, tell)
    with running_stack() as stack:
        client = stack.sign_up()
        upload(stack, folder)
        wait_until_idle(client)
        # what is uploaded for the measurement is no picture
        client.call("PUT", "/queues/metadataExtraction", json={"isPaused": True})
        fill(stack.folder / "m" / "heliostat.db", client.call("GET", "/users/me")["id"])
        key = client.call("POST", "/api-keys", json={"name": "bench", "permissions": ["all"]})["secret"]
        reading, uploading = stack.folder / "read.lua", stack.folder / "upload.lua"
        reading.write_text(SCRIPT % key)
        uploading.write_text(SCRIPT % key + UPLOADS % (UPLOAD_BYTES // len("heliostat")))
        time.sleep(SETTLE_S)
        with Watch(stack.state_dir, stack.process.pid, with_memory=False) as idle:
            time.sleep(IDLE_S)
        photo = next(folder.glob("*.jpg"))
        asset = client.known_files([(photo, sha1_hex(photo))])[photo]
        asks = {
            "ping": (reading, "/server/ping"),
            "jobs": (reading, "/jobs"),
            "buckets": (reading, "/timeline/buckets"),
            "thumbnail": (reading, f"/assets/{asset}/thumbnail"),
            "upload": (uploading, "/assets"),
        }
        with plain_uvicorn(stack) as uvicorn:
            ours = Target("", stack.url, stack.state_dir, stack.process.pid, idle.cost().total_s / IDLE_S)
            results: dict[str, float] = {}
            for name, (script, path) in asks.items():
                tell(f"api: {name}, {rounds} runs of {seconds} s at {FEW} and at {MANY} connections, by turns")
                results |= _by_turns(f"api.{name}", (ours, uvicorn), script, path, seconds, rounds)
    return results


def fill(database_file: Path, owner_id: str) -> None:
    """More pictures, as rows alone, over some years."""
    database = Database(f"sqlite:///{database_file}")
    with database.session() as session:
        rows = [asset_values(owner_id, NOON - timedelta(hours=6 * number)) for number in range(LIBRARY)]
        session.execute(insert(Asset), rows)
    database.close()


@contextmanager
def plain_uvicorn(stack: RunningStack) -> Iterator[Target]:
    """The same app on the same library, in one process without Ray."""
    port = free_port()
    environ = os.environ | {
        "DB_URL": f"sqlite:///{stack.folder / 'm' / 'heliostat.db'}",
        "IMMICH_MEDIA_LOCATION": str(stack.folder / "m"),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.api_stack", str(port)], cwd=PROJECT, env=environ)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_ping(url)
        yield Target("uvicorn.", url, stack.folder / "nothing", process.pid)
    finally:
        process.terminate()
        process.wait()


def _by_turns(
    key: str, targets: Sequence[Target], script: Path, path: str, seconds: int, rounds: int
) -> dict[str, float]:
    few: dict[str, list[Answer]] = {target.name: [] for target in targets}
    many: dict[str, list[Answer]] = {target.name: [] for target in targets}
    cpu_ms: dict[str, list[float]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            wrk(target.url, script, path, FEW, WARM_UP_S)
            few[target.name].append(wrk(target.url, script, path, FEW, seconds))
            with Watch(target.state_dir, target.root, with_memory=False) as watch:
                answer = wrk(target.url, script, path, MANY, seconds)
            spent_s = watch.cost().total_s - target.idle_cpu_per_s * answer.duration_us / 1e6
            many[target.name].append(answer)
            cpu_ms[target.name].append(spent_s / answer.requests * 1000)
    found: dict[str, float] = {}
    for target in targets:
        one, all_of = few[target.name], many[target.name]
        found |= {
            f"{key}.{target.name}rps_1": statistics.median(each.per_s for each in one),
            f"{key}.{target.name}p50_1_ms": statistics.median(each.p50_us for each in one) / 1000,
            f"{key}.{target.name}p99_1_ms": statistics.median(each.p99_us for each in one) / 1000,
            f"{key}.{target.name}rps": statistics.median(each.per_s for each in all_of),
            f"{key}.{target.name}p50_ms": statistics.median(each.p50_us for each in all_of) / 1000,
            f"{key}.{target.name}p99_ms": statistics.median(each.p99_us for each in all_of) / 1000,
            f"{key}.{target.name}cpu_ms": statistics.median(cpu_ms[target.name]),
        }
    return found


def wrk(url: str, script: Path, path: str, connections: int, seconds: int) -> Answer:
    """One run. Raises BenchFailed when an answer was no success."""
    command = ["wrk", f"-c{connections}", "-t1", f"-d{seconds}s", "-s", str(script), f"{url}/api{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = Answer(**json.loads(done.stdout.splitlines()[-1]))
    if answer.wrong or not answer.requests:
        raise BenchFailed(f"{answer.wrong} of {answer.requests} requests to {path} went wrong")
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for key, value in run(given.seconds, given.rounds).items():
        print(f"{key} {value:.3f}")


if __name__ == "__main__":
    main()
