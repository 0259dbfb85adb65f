"""The calls that are out: when each was submitted, when its worker was last heard, what it holds in hand.

Ray calls a frozen or cut-off node alive for more than a minute, so its word is not enough: each worker process beats,
and only what is heard is extended. A call that Ray still keeps in its own line has no worker to beat for it: it is
believed for `START_GRACE_S`.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cluster.loops.submitter import Call
from cluster.names import JobName, QueueName
from cluster.queue.job import JobId, JobSpec, LeaseToken, Place
from cluster.queue.store import InHand

START_GRACE_S = 120.0
SILENCE_S = 20.0
FULL_CALL_S = 0.2
"""A call that takes this long or longer fills its CPUs; a shorter one counts for less, so that more may be out and a
worker never waits for the controller between two of them."""
LEAST_WEIGHT = 0.05


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker's word on one call: the index of the job in hand, for how long, and how far it is (0 to 1).

    `in_hand` None: all jobs of the call are worked on in one go.
    """

    call_id: str
    node: str
    in_hand: int | None
    in_hand_s: float
    progress: float | None = None


@dataclass(slots=True)
class OutCall:
    """One call that is out."""

    call: Call
    submitted_s: float
    weight: float
    heard_s: float | None = None
    beat: Beat | None = None
    leases: dict[JobId, LeaseToken] = field(default_factory=dict)


class InFlight:
    """Thread-safe book of the calls that are out. Seconds are monotonic. `cpus`: what the cluster has; a model on a
    small node takes no more threads than there are."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self.cpus = math.inf
        self._lock = threading.Lock()
        self._calls: dict[str, OutCall] = {}
        self._per_queue: dict[QueueName, int] = {}
        self._load = 0.0
        self._usual_s: dict[JobName, float] = {}

    def add(self, call: Call) -> None:
        leases = {lease.job_id: lease.token for lease in call.leases}
        with self._lock:
            entry = OutCall(call, self._now_s(), self.weight(call.spec), leases=leases)
            self._calls[call.call_id] = entry
            self._per_queue[call.queue] = self._per_queue.get(call.queue, 0) + 1
            self._load += entry.weight

    def end(self, call_id: str) -> OutCall | None:
        """Take a call out of the book; None when it was not there (it had been given up)."""
        with self._lock:
            entry = self._calls.pop(call_id, None)
            if entry is not None:
                self._per_queue[entry.call.queue] -= 1
                self._load = self._load - entry.weight if self._calls else 0.0  # sums of fractions drift
                name, seconds = entry.call.spec.name, self._now_s() - entry.submitted_s
                self._usual_s[name] = 0.8 * self._usual_s.get(name, seconds) + 0.2 * seconds
            return entry

    def weight(self, spec: JobSpec) -> float:
        """CPUs that a call of this type is good for, by what its like took lately. Rows take none of the cluster's."""
        if spec.place is Place.ROW_JOBS:
            return 0.0
        share = self._usual_s.get(spec.name, FULL_CALL_S) / FULL_CALL_S
        cpus = spec.resources.cpus if spec.pool is None else min(spec.pool.cpus, self.cpus)
        return cpus * min(1.0, max(LEAST_WEIGHT, share))

    def beat(self, beats: Iterable[Beat]) -> set[str]:
        """Note what is heard; returns the ids of calls that the worker must drop, since nobody waits for them."""
        now_s, drop = self._now_s(), set()
        with self._lock:
            for beat in beats:
                entry = self._calls.get(beat.call_id)
                if entry is None:
                    drop.add(beat.call_id)
                    continue
                entry.heard_s, entry.beat = now_s, beat
        return drop

    def alive(self) -> list[tuple[JobId, LeaseToken]]:
        """Leases to extend: of calls heard lately, or not started yet and still believed."""
        now_s = self._now_s()
        with self._lock:
            return [pair for entry in self._calls.values() if _believed(entry, now_s) for pair in entry.leases.items()]

    def in_hand(self) -> list[InHand]:
        """The job in hand of each call whose worker was heard lately: where it is, and how far where it says so. Calls
        that stand ahead at a model's process are at work nowhere yet."""
        now_s = self._now_s()
        with self._lock:
            return [
                InHand(lease.job_id, lease.token, beat.node, beat.progress)
                for entry in self._calls.values()
                if (beat := entry.beat) is not None and beat.node and _believed(entry, now_s)
                for lease in (entry.call.leases if beat.in_hand is None else entry.call.leases[beat.in_hand :][:1])
            ]

    def believes(self, entry: OutCall) -> bool:
        """Its worker was heard lately, or it may still be in Ray's line: a lease that ran out is not its fault."""
        with self._lock:
            return _believed(entry, self._now_s())

    def overdue(self) -> list[OutCall]:
        """Calls whose job in hand has been at it for longer than its spec allows; jobs in one go have as much each."""
        with self._lock:
            return [
                entry
                for entry in self._calls.values()
                if entry.beat is not None and entry.beat.in_hand_s > _limit_s(entry.call, entry.beat)
            ]

    def everything(self) -> list[OutCall]:
        with self._lock:
            return list(self._calls.values())

    def holding(self, job_id: JobId, token: LeaseToken) -> OutCall | None:
        """The call that holds this lease, if it is out."""
        with self._lock:
            for entry in self._calls.values():
                if entry.leases.get(job_id) == token:
                    return entry
        return None

    def calls_of(self, queue: QueueName) -> int:
        with self._lock:
            return self._per_queue.get(queue, 0)

    @property
    def load(self) -> float:
        """CPUs that the calls which are out are good for."""
        return self._load

    def __len__(self) -> int:
        return len(self._calls)


def _limit_s(call: Call, beat: Beat) -> float:
    return call.spec.timeout_s * (len(call.leases) if beat.in_hand is None else 1)


def _believed(entry: OutCall, now_s: float) -> bool:
    if entry.heard_s is not None:
        return now_s - entry.heard_s < SILENCE_S
    return now_s - entry.submitted_s < START_GRACE_S
