"""Benches a node that fails most of what it runs while others do not fail at the same: it is drained for a while, then
tried again. Decided by what this controller's calls came back with in the last minute.

What is a file's fault counts for nothing (an error that another attempt cannot help), and where all nodes fail alike it
is not the node. A worker that dies before its first beat names no node, and cannot be counted.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.loops.submitter import CallEnd, CallLost, LossReason
from cluster.names import QueueName
from cluster.queue.job import Crashed

log = logging.getLogger(__name__)

EVERY_S, WINDOW_S = 5.0, 60.0
LEAST_FAILURES = 10
ITS_SHARE, OTHERS_SHARE = 0.5, 0.25
"""A node fails more than the first of what it ran, while others fail less than the second in the same queue. Its
failures in other queues count for nothing."""
NODES_FAULT = frozenset({LossReason.WORKER, LossReason.NODE, LossReason.MEMORY})


@dataclass(slots=True)
class _Ended:
    """Jobs of a few seconds, by node and queue."""

    since_s: float
    ran: Counter[tuple[str, QueueName]] = field(default_factory=Counter)
    failed: Counter[tuple[str, QueueName]] = field(default_factory=Counter)
    why: dict[tuple[str, QueueName], str] = field(default_factory=dict)


class Bencher:
    """`bench(node, why)` has it drained for a while. `note` may be called from any thread."""

    def __init__(self, bench: Callable[[str, str], None], now_s: Callable[[], float] = time.monotonic) -> None:
        self._bench, self._now_s = bench, now_s
        self._lock = threading.Lock()
        self._recent: list[_Ended] = [_Ended(now_s())]

    def note(self, end: CallEnd) -> None:
        """A call came back, or did not."""
        node, failed, why = _judged(end)
        if not node:
            return
        key = (node, end.call.queue)
        with self._lock:
            latest = self._recent[-1]
            latest.ran[key] += failed if isinstance(end, CallLost) else len(end.call.leases)
            latest.failed[key] += failed
            if why:
                latest.why[key] = why

    def tick(self) -> float:
        """Bench whoever has earned it. Raises what the database raised; the next tick sees the same."""
        now_s = self._now_s()
        with self._lock:
            self._recent = [one for one in self._recent if one.since_s > now_s - WINDOW_S] + [_Ended(now_s)]
            ran, failed = Counter[tuple[str, QueueName]](), Counter[tuple[str, QueueName]]()
            whys: dict[tuple[str, QueueName], str] = {}
            for one in self._recent:
                ran += one.ran
                failed += one.failed
                whys |= one.why
        for node in {name for name, _ in failed}:
            its_fault = [key for key in failed if key[0] == node and _others_do(key, ran, failed)]
            its_failed = sum(failed[key] for key in its_fault)
            its_ran = its_failed + sum(count - failed[key] for key, count in ran.items() if key[0] == node)
            if its_failed < LEAST_FAILURES or its_failed <= ITS_SHARE * its_ran:
                continue
            said = next((why for key, why in whys.items() if key in its_fault), "")
            why = f"{its_failed} of {its_ran} jobs failed there within a minute, and not elsewhere: {said}"
            log.warning("%s is benched: %s", node, why)
            self._bench(node, why)
            self._forget(node)
        return EVERY_S

    def _forget(self, node: str) -> None:
        """It starts anew when its time is over."""
        with self._lock:
            for one in self._recent:
                for counts in (one.ran, one.failed):
                    for key in [key for key in counts if key[0] == node]:
                        del counts[key]


def _others_do(
    where: tuple[str, QueueName], ran: Counter[tuple[str, QueueName]], failed: Counter[tuple[str, QueueName]]
) -> bool:
    """Whether others ran jobs of the queue in which this node fails, and did not fail so."""
    node, queue = where
    others = [key for key in ran if key[0] != node and key[1] == queue]
    count = sum(ran[key] for key in others)
    return count > 0 and sum(failed[key] for key in others) < OTHERS_SHARE * count


def _judged(end: CallEnd) -> tuple[str, int, str]:
    """The node, how many jobs of the call it is to blame for, and what they said last."""
    if isinstance(end, CallLost):
        return (end.node, 1, end.message) if end.reason in NODES_FAULT else ("", 0, "")
    failures = [one.outcome for one in end.results if isinstance(one.outcome, Crashed) and one.outcome.retryable]
    said = f"{failures[-1].attempt.error_class}: {failures[-1].attempt.message}" if failures else ""
    return (end.results[0].node if end.results else ""), len(failures), said
