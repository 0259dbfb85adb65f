"""What a stack's processes cost: CPU seconds and memory, by part. The foreground command belongs to the stack, every
process whose environment carries the stack's mark, and their descendants: a process that shows a long title writes it
over its environment, and with it over the mark.
"""

import os
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cluster.launch import STACK_MARK

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPU_EVERY_S = 0.1
MEMORY_EVERY_S = 0.5

PARTS: tuple[tuple[str, str], ...] = (
    (r"^ray::ServeReplica", "api replica"),
    (r"^ray::ControllerActor", "controller"),
    (r"^ray::RowJobsActor", "row jobs"),
    (r"^ray::ServeController", "serve controller"),
    (r"^ray::HAProxyManager", "haproxy manager"),
    (r"^ray::ProxyActor", "fallback proxy"),
    (r"^ray::DashboardAgent", "dashboard agent"),
    (r"^ray::RuntimeEnvAgent", "runtime env agent"),
    (r"^ray::", "workers"),
    (r"/haproxy ", "haproxy"),
    (r"/gcs_server ", "gcs"),
    (r"/raylet ", "raylet"),
    (r"exiftool", "exiftool"),
    (r"/(ffmpeg|ffprobe)\b|^(ffmpeg|ffprobe) ", "ffmpeg"),
    (r"^ray-dashboard-|/dashboard/dashboard\.py|from multiprocessing\.", "dashboard"),
    (r"-m serve_app\.cli up", "heliostat up"),
    (r"-m serve_app\.ray_controller", "controller's driver"),
    (r"^postgres|/postgres ", "postgres"),
    (r"default_worker\.py", "workers"),
)
"""Command line → part; the first that matches."""


def part_of(command: str) -> str:
    """The part that a command line belongs to, or its program's name."""
    for pattern, part in PARTS:
        if re.search(pattern, command):
            return part
    return Path(command.split(" ")[0]).name or "unknown"


Key = tuple[int, int]
"""(pid, start time): numbers are used again."""


@dataclass(slots=True)
class Seen:
    """One process as last seen; CPU in clock ticks. `children` is of those that it has waited for."""

    parent: int
    own: int
    children: int
    command: str


@dataclass(slots=True)
class Cost:
    """Between two moments. `children` are processes too short-lived to be seen, by their parent's part."""

    cpu_s: dict[str, float]
    children_cpu_s: dict[str, float]

    @property
    def total_s(self) -> float:
        return sum(self.cpu_s.values()) + sum(self.children_cpu_s.values())


@dataclass(slots=True)
class Watch:
    """Samples in a thread between `with` and its end."""

    state_dir: Path
    root: int
    with_memory: bool = True
    peak_pss_mb: float = 0.0
    peak_by_part_mb: dict[str, float] = field(default_factory=dict)
    _first: dict[Key, Seen] = field(default_factory=dict)
    _last: dict[Key, Seen] = field(default_factory=dict)
    _foreign: set[Key] = field(default_factory=set)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Watch":
        self._look()
        self._first = dict(self._last)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._done.set()
        self._thread.join()
        self._look()

    def cost(self) -> Cost:
        """What everything used since the start, ended processes included."""
        return cost_between(self._first, self._last)

    def _run(self) -> None:
        turn = 0
        while not self._done.wait(CPU_EVERY_S):
            self._look()
            if self.with_memory and turn % round(MEMORY_EVERY_S / CPU_EVERY_S) == 0:
                self._weigh()
            turn += 1

    def _look(self) -> None:
        everyone = {key: seen for key, seen in read_stats().items() if key not in self._foreign}
        ours = of_stack(everyone, self.state_dir, self.root, self._last.keys())
        self._foreign |= everyone.keys() - ours
        for key in ours:
            before = self._last.get(key)
            everyone[key].command = command_of(key[0]) or (before.command if before else "")
            self._last[key] = everyone[key]

    def _weigh(self) -> None:
        by_part: Counter[str] = Counter()
        for process in memory_of(self.state_dir, self.root):
            by_part[process.part] += process.pss_mb  # type: ignore[assignment]
        if (total := sum(by_part.values())) > self.peak_pss_mb:
            self.peak_pss_mb = total
            self.peak_by_part_mb = dict(by_part)


def cost_between(first: Mapping[Key, Seen], last: Mapping[Key, Seen]) -> Cost:
    """CPU seconds by part. A process seen adds what it used itself. What a parent waited for, less what was seen of its
    ended children, was too short to be seen."""
    cpu: Counter[str] = Counter()
    ended_seen: dict[int, int] = defaultdict(int)
    for key, seen in last.items():
        before = first.get(key)
        cpu[part_of(seen.command)] += seen.own - (before.own if before else 0)
        if not _alive(key):
            ended_seen[seen.parent] += seen.own + seen.children
    unseen: Counter[str] = Counter()
    for key, seen in last.items():
        before = first.get(key)
        waited = seen.children - (before.children if before else 0)
        if (rest := waited - ended_seen[key[0]]) > 0:
            unseen[part_of(seen.command)] += rest
    return Cost(
        {part: ticks / TICKS_PER_S for part, ticks in cpu.items()},
        {part: ticks / TICKS_PER_S for part, ticks in unseen.items()},
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """One process's share of memory: pages used by several count by their part."""

    pid: int
    part: str
    command: str
    pss_mb: float


def memory_of(state_dir: Path, root: int) -> list[Memory]:
    """Every living process of the stack, largest first."""
    found = []
    for pid, _ in of_stack(read_stats(), state_dir, root):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        pss_kb = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        if pss_kb:
            command = command_of(pid)
            found.append(Memory(pid, part_of(command), command, int(pss_kb[1]) / 1024))
    return sorted(found, key=lambda process: -process.pss_mb)


def of_stack(everyone: Mapping[Key, Seen], state_dir: Path, root: int, known: Collection[Key] = ()) -> set[Key]:
    """Those of `everyone` that belong. `known`: found to belong before; their environment is not read again."""
    mark = f"{STACK_MARK}={state_dir}".encode()
    ours = {key for key in everyone if key in known or key[0] == root or has_mark(key[0], mark)}
    rest = everyone.keys() - ours
    while True:
        parents = {pid for pid, _ in ours}
        children = {key for key in rest if everyone[key].parent in parents}
        if not children:
            return ours
        ours |= children
        rest -= children


def has_mark(pid: int, mark: bytes) -> bool:
    """Whether it was born with the mark and has not written over it."""
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def command_of(pid: int) -> str:
    """Arguments with spaces between; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def read_stats() -> dict[Key, Seen]:
    """Every process of this machine, without its command line."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                key, seen = read_stat(int(path.name))
                found[key] = seen
    return found


def read_stat(pid: int) -> tuple[Key, Seen]:
    """`/proc/PID/stat`, see proc(5). Raises OSError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    parent, own, children, started = (
        int(fields[1]),
        int(fields[11]) + int(fields[12]),
        int(fields[13]) + int(fields[14]),
        int(fields[19]),
    )
    return (pid, started), Seen(parent, own, children, "")


def _alive(key: Key) -> bool:
    try:
        return read_stat(key[0])[0] == key
    except OSError:
        return False
