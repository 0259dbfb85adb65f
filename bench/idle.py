"""What the stack costs when nobody uses it, process by process, and how long it takes to start and to stop.

Memory is PSS: a page that several processes share counts by its share, so the sum is what the machine would get back.
The dashboard runs. A start is from the command to the first answered ping, in new folders; files may be in the cache.

    python -m bench.idle
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.processes import Memory, Watch, memory_of
from bench.running_stack import running_stack

SETTLE_S = 15.0
LOOK_S = 10.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Idle:
    """One stack, from start to stop."""

    start_s: float
    stop_s: float
    cpu_per_s: float
    cpu_by_part: dict[str, float]
    processes: Sequence[Memory]

    @property
    def pss_mb(self) -> float:
        return sum(process.pss_mb for process in self.processes)


def run(rounds: int = 3, tell: Tell = print) -> dict[str, float]:
    """Medians of `rounds` stacks."""
    seen = []
    for number in range(1, rounds + 1):
        tell(f"idle: stack {number} of {rounds}")
        seen.append(_one_stack())
    middle = sorted(seen, key=lambda one: one.pss_mb)[len(seen) // 2]
    Console(width=120).print(table(middle))
    return {
        "idle.pss_mb": statistics.median(one.pss_mb for one in seen),
        "idle.cpu_per_s": statistics.median(one.cpu_per_s for one in seen),
        "start.s": statistics.median(one.start_s for one in seen),
        "stop.s": statistics.median(one.stop_s for one in seen),
    }


def _one_stack() -> Idle:
    with running_stack({"HELIOSTAT_DASHBOARD": "true"}) as stack:
        # a person has signed in, so the API has served something
        stack.sign_up()
        time.sleep(SETTLE_S)
        with Watch(stack.state_dir, stack.process.pid, with_memory=False) as watch:
            time.sleep(LOOK_S)
        processes = memory_of(stack.state_dir, stack.process.pid)
        cost = watch.cost()
    by_part = {part: cpu_s / LOOK_S for part, cpu_s in cost.cpu_s.items()}
    return Idle(stack.start_s, stack.stop_s, cost.total_s / LOOK_S, by_part, processes)


def table(idle: Idle) -> Table:
    """Every process with its memory, and the CPU of its part."""
    shown = Table(title=f"Idle: {idle.pss_mb:.0f} MB, {idle.cpu_per_s * 100:.1f} % of a core", title_justify="left")
    for name in ("part", "process", "PSS MB", "part's % of a core"):
        shown.add_column(name, justify="left" if name in ("part", "process") else "right", no_wrap=True)
    told: set[str] = set()
    for process in idle.processes:
        cpu = "" if process.part in told else f"{idle.cpu_by_part.get(process.part, 0) * 100:.1f}"
        told.add(process.part)
        shown.add_row(process.part, short(process.command), f"{process.pss_mb:.1f}", cpu)
    return shown


def short(command: str) -> str:
    """The program and what it was told to run, without folders and options."""
    words = [word.rsplit("/", 1)[-1] for word in command.split() if not word.startswith("-")]
    return " ".join(words[:3])[:48]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    for key, value in run(parser.parse_args().rounds).items():
        print(f"{key} {value:.3f}")


if __name__ == "__main__":
    main()
