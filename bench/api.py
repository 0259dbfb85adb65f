"""Requests a second, latency and CPU of the API with wrk, signed by an API key: a ping, the queues, a thumbnail.

`cpu_ms` is that of every process of the stack for one request at 16 connections, less what the stack uses while idle.
wrk's own CPU is not in it, but it takes it from the same machine. Latencies are those at 16 connections.

    python -m bench.api --seconds 3
"""

import argparse
import json
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.pipeline import IDLE_S, SETTLE_S, corpus, upload
from bench.processes import Watch
from bench.running_stack import BenchFailed, RunningStack, running_stack, wait_until_idle
from serve_app.client import sha1_hex

FEW_PHOTOS = 4
FEW, MANY = 1, 16
WARM_UP_S = 1

SCRIPT = """
wrk.headers["x-api-key"] = "%s"
function done(summary, latency, requests)
  local wrong = summary.errors
  io.write(string.format('{"requests": %%d, "duration_us": %%d, "p50_us": %%d, "p99_us": %%d, "wrong": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout))
end
"""

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


def run(seconds: int = 5, rounds: int = 3, tell: Tell = print) -> dict[str, float]:
    """Medians of `rounds` runs of `seconds` for each address and number of connections. Raises WrkMissing."""
    if shutil.which("wrk") is None:
        raise WrkMissing("wrk is not installed: apt install wrk")
    folder = corpus(FEW_PHOTOS, tell)
    with running_stack() as stack:
        client = stack.sign_up()
        upload(stack, folder)
        wait_until_idle(client)
        key = client.call("POST", "/api-keys", json={"name": "bench", "permissions": ["all"]})["secret"]
        script = stack.folder / "wrk.lua"
        script.write_text(SCRIPT % key)
        time.sleep(SETTLE_S)
        with Watch(stack.state_dir, stack.process.pid, with_memory=False) as idle:
            time.sleep(IDLE_S)
        idle_cpu_per_s = idle.cost().total_s / IDLE_S
        photo = next(folder.glob("*.jpg"))
        asset = client.known_files([(photo, sha1_hex(photo))])[photo]
        paths = {"ping": "/server/ping", "jobs": "/jobs", "thumbnail": f"/assets/{asset}/thumbnail"}
        results: dict[str, float] = {}
        for name, path in paths.items():
            tell(f"api: {name}, {rounds} runs of {seconds} s at {FEW} and at {MANY} connections")
            measured = _measure(stack, script, path, seconds, rounds, idle_cpu_per_s)
            results |= {f"api.{name}.{field}": value for field, value in measured.items()}
    return results


def _measure(
    stack: RunningStack, script: Path, path: str, seconds: int, rounds: int, idle_cpu_per_s: float
) -> dict[str, float]:
    few, many, cpu_ms = [], [], []
    for _ in range(rounds):
        wrk(stack.url, script, path, MANY, WARM_UP_S)
        few.append(wrk(stack.url, script, path, FEW, seconds))
        with Watch(stack.state_dir, stack.process.pid, with_memory=False) as watch:
            many.append(wrk(stack.url, script, path, MANY, seconds))
        spent_s = watch.cost().total_s - idle_cpu_per_s * many[-1].duration_us / 1e6
        cpu_ms.append(spent_s / many[-1].requests * 1000)
    return {
        "rps1": statistics.median(one.per_s for one in few),
        "rps16": statistics.median(one.per_s for one in many),
        "p50_ms": statistics.median(one.p50_us for one in many) / 1000,
        "p99_ms": statistics.median(one.p99_us for one in many) / 1000,
        "p99_1_ms": statistics.median(one.p99_us for one in few) / 1000,
        "cpu_ms": statistics.median(cpu_ms),
    }


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
