"""Free capacity → lease → load → Submitter. Leases only what can start now, in batches spread over the free slots."""

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cluster.draining import no_node_serves
from cluster.loops.in_flight import InFlight
from cluster.loops.settler import Settler
from cluster.loops.submitter import Call, CallEnd, CallLost, CallReturned, LossReason, Submitter
from cluster.names import LAST_QUEUES, QUEUE_OF_JOB, SEQUENTIAL_QUEUES, JobName, QueueName
from cluster.queue.job import (
    Crashed,
    Done,
    Failed,
    FailedAttempt,
    Handler,
    JobSpec,
    Lease,
    Loaded,
    Place,
    Skipped,
    Snooze,
    WorkResult,
)
from cluster.queue.store import QueueStore, Release, Settlement, Transaction

log = logging.getLogger(__name__)

LEASE_S = 30.0
JOBS_PER_TICK = 512
IDLE_S = 0.25
TICKS_APART_S = 0.02
"""From the begin of one tick that leased to the next, unless half of what is out ends before: what becomes free
meanwhile shares a transaction, and no worker waits for it."""
LOOK_EVERY_S = 0.004
HOLD_S = 30.0
"""So long nothing of a queue is tried after a worker said that none of it can run."""
CALLS_AHEAD = 2.0
"""How much more than the CPUs may be out: a call that waits in Ray's line keeps its worker busy between two calls."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who leases. `controller` survives restarts, `incarnation` does not."""

    controller: str
    incarnation: str


class Dispatcher:
    """One tick leases for every queue that has waiting jobs and room, in one transaction, and submits the calls."""

    def __init__(
        self,
        store: QueueStore,
        handlers: Mapping[JobName, Handler],
        submitters: Mapping[Place, Submitter],
        settler: Settler,
        in_flight: InFlight,
        identity: Identity,
        owned: Callable[[], set[QueueName]],
        concurrency: Callable[[QueueName], int],
        cpus: Callable[[], float],
        media_present: Callable[[], bool],
        held_back: Callable[[QueueName], str] = lambda queue: "",
        hold_s: float = HOLD_S,
        starting: Callable[[QueueName], str] = lambda queue: "",
        why_nobody: Callable[[QueueName], str] = no_node_serves,
        noted: Callable[[CallEnd], None] = lambda end: None,
        batch: Callable[[JobSpec, QueueName], int] = lambda spec, queue: spec.batch,
    ) -> None:
        self._store, self._handlers, self._submitters = store, handlers, submitters
        self._settler, self._in_flight, self._identity = settler, in_flight, identity
        self._owned, self._concurrency, self._cpus = owned, concurrency, cpus
        self._media_present, self._held_back, self._why_nobody = media_present, held_back, why_nobody
        self._noted, self._starting, self._batch = noted, starting, batch
        self._turn = 0
        self._said: dict[QueueName, str] = {}
        self._hold_s, self._held_until = hold_s, dict[QueueName, tuple[float, str]]()
        self.wake: Callable[[], None] = lambda: None
        self._leased_last: dict[QueueName, set[JobName]] = {}
        self._specs_of: dict[QueueName, list[JobSpec]] = {}
        for handler in handlers.values():
            self._specs_of.setdefault(QUEUE_OF_JOB[handler.spec.name], []).append(handler.spec)

    def tick(self) -> float:
        """Lease and submit once; returns how long nothing will change by itself."""
        started_s = time.monotonic()
        if self._settler.crowded:
            return 0.02
        owned = self._owned()
        self._said = {queue: reason for queue, reason in self._said.items() if queue in owned}
        # Ray is asked before the transaction, never in it: while Ray's head is away it answers late, and others wait
        slots, room = self._free_slots(), self._cpu_room()
        if not slots:
            return IDLE_S
        with self._store.transaction(reading=True) as tx:
            waiting = self._store.ready(tx, slots)
        reasons = self._reasons_to_wait(waiting)
        self._explain({queue: reasons.get(queue, "") for queue in slots})
        takable = self._fair(queue for queue, reason in reasons.items() if not reason)
        if not takable:
            return IDLE_S
        calls, immediate, leased = self._lease({queue: slots[queue] for queue in takable}, waiting, room)
        for end in immediate:
            self._settler.put(end)
        for call in calls:
            self._submit(call)
        if not leased:
            return IDLE_S
        self._gather(started_s)
        return 0.0

    def _gather(self, started_s: float) -> None:
        enough = len(self._in_flight) // 2
        while len(self._in_flight) > enough and time.monotonic() < started_s + TICKS_APART_S:
            time.sleep(LOOK_EVERY_S)

    def on_end(self, end: CallEnd) -> None:
        """A call is over: its slot is free, its jobs go to the settler. One that was given up is not settled twice."""
        entry = self._in_flight.end(end.call.call_id)
        if entry is None:
            if isinstance(end, CallReturned):
                self._settler.refuse(end.results)
            return
        if isinstance(end, CallLost) and entry.beat is not None:
            end = replace(end, node=end.node or entry.beat.node)
        self._note_hold(end)
        self._noted(end)
        self._settler.put(end)
        self.wake()

    def _note_hold(self, end: CallEnd) -> None:
        """What a worker says of the whole queue holds until another of its workers has done something."""
        outcomes = [result.outcome for result in end.results] if isinstance(end, CallReturned) else []
        for one in outcomes:
            if isinstance(one, Snooze) and one.whole_queue:
                self._held_until[end.call.queue] = (time.monotonic() + self._hold_s, one.reason)
            elif isinstance(one, Done):
                self._held_until.pop(end.call.queue, None)

    def _lease(
        self, slots: Mapping[QueueName, int], waiting: Mapping[QueueName, int], room: float
    ) -> tuple[list[Call], list[CallEnd], int]:
        try:
            with self._store.transaction() as tx:
                return self._lease_in(tx, slots, waiting, room, self._load_together)
        except Exception:
            log.warning("loading a batch failed, loading its jobs one by one", exc_info=True)
        with self._store.transaction() as tx:
            return self._lease_in(tx, slots, waiting, room, self._load_apart)

    def _lease_in(
        self,
        tx: Transaction,
        slots_of: Mapping[QueueName, int],
        waiting: Mapping[QueueName, int],
        cpus: float,
        load: Callable[[Transaction, Handler, Sequence[Lease]], Sequence[Loaded]],
    ) -> tuple[list[Call], list[CallEnd], int]:
        calls: list[Call] = []
        immediate: list[CallEnd] = []
        surplus: list[Settlement] = []
        leased = 0
        for queue, slots in slots_of.items():
            if leased >= JOBS_PER_TICK:
                break
            if cpus <= 0 and not self._is_rows_only(queue):
                continue
            spread = self._calls_that_start(queue, slots, cpus)
            limit = min(spread * self._likely_batch(queue), waiting[queue], JOBS_PER_TICK - leased)
            leases = self._store.lease(tx, queue, limit, LEASE_S, self._identity.controller, self._identity.incarnation)
            leased += len(leases)
            self._leased_last[queue] = {lease.name for lease in leases}
            for spec, group in self._batches(leases, queue, spread):
                if slots <= 0 or (cpus <= 0 and self._in_flight.weight(spec) > 0):
                    surplus.extend(Release(lease) for lease in group)
                    continue
                call, ended = self._loaded(spec, queue, group, load(tx, self._handlers[spec.name], group))
                if ended is not None:
                    immediate.append(ended)
                if call is not None:
                    calls.append(call)
                    slots -= 1
                    cpus -= self._in_flight.weight(spec)
        if surplus:
            self._store.settle(tx, surplus)
        return calls, immediate, leased

    def _loaded(
        self, spec: JobSpec, queue: QueueName, leases: Sequence[Lease], loaded: Sequence[Loaded]
    ) -> tuple[Call | None, CallReturned | None]:
        """Split what was loaded: inputs go out as a call, Skipped, Failed and Snooze are results at once."""
        out: list[tuple[Lease, Loaded]] = []
        done: list[WorkResult] = []
        for lease, one in zip(leases, loaded, strict=True):
            if isinstance(one, Skipped | Failed | Snooze | Crashed):
                done.append(WorkResult(lease, one))
            else:
                out.append((lease, one))
        ended = None
        if done:
            made = Call(self._call_id(), spec, queue, tuple(r.lease for r in done), (None,) * len(done))
            ended = CallReturned(made, tuple(done))
        call = None
        if out:
            call = Call(self._call_id(), spec, queue, tuple(o[0] for o in out), tuple(o[1] for o in out))
        return call, ended

    def _call_id(self) -> str:
        return f"{self._identity.controller}:{uuid.uuid4().hex}"

    def _load_together(self, tx: Transaction, handler: Handler, leases: Sequence[Lease]) -> Sequence[Loaded]:
        return handler.load(tx, leases)

    def _load_apart(self, tx: Transaction, handler: Handler, leases: Sequence[Lease]) -> Sequence[Loaded]:
        """One savepoint per job, so that one bad payload fails alone."""
        loaded: list[Loaded] = []
        for lease in leases:
            try:
                with self._store.savepoint(tx):
                    loaded.extend(handler.load(tx, [lease]))
            except Exception as error:
                log.exception("loading %s (job %s) failed", lease.name, lease.job_id)
                attempt = FailedAttempt(type(error).__name__, f"loading failed: {error}")
                loaded.append(Crashed(attempt, retryable=True))
        return loaded

    def _submit(self, call: Call) -> None:
        """A call that cannot be submitted is over at once, so that those behind it still go out."""
        self._in_flight.add(call)
        try:
            self._submitters[call.spec.place].submit(call, self.on_end)
        except Exception as error:
            log.exception("a call of %s could not be submitted", call.spec.name)
            self.on_end(CallLost(call, LossReason.UNSCHEDULABLE, f"it could not be submitted: {error}"))

    def _free_slots(self) -> dict[QueueName, int]:
        """Calls that each of our queues may still start. While all CPUs are taken, queues of rows alone go on."""
        full = self._cpus() > 0 >= self._cpu_room()
        queues = [queue for queue in self._owned() if queue in self._specs_of]
        return {q: free for q in queues if (self._is_rows_only(q) or not full) and (free := self._free_calls(q)) > 0}

    def _free_calls(self, queue: QueueName) -> int:
        nodes = max(1, self._submitters[Place.CLUSTER].nodes_for(queue))
        allowed = 1 if queue in SEQUENTIAL_QUEUES else self._concurrency(queue) * nodes
        return allowed - self._in_flight.calls_of(queue)

    def _calls_that_start(self, queue: QueueName, slots: int, cpus: float) -> int:
        """Calls of this queue that find room now, if they are of its heaviest type: what comes next is not known."""
        weight = max(self._in_flight.weight(spec) for spec in self._specs_of[queue])
        return slots if weight == 0 else min(slots, math.ceil(cpus / weight))

    def _is_rows_only(self, queue: QueueName) -> bool:
        return all(spec.place is Place.ROW_JOBS for spec in self._specs_of[queue])

    def _likely_batch(self, queue: QueueName) -> int:
        """Jobs to a call, if the next ones are like those leased last: what is leased and finds no room goes back."""
        specs, last = self._specs_of[queue], self._leased_last.get(queue, set())
        return max(self._batch(spec, queue) for spec in [s for s in specs if s.name in last] or specs)

    def _batches(self, leases: Sequence[Lease], queue: QueueName, spread: int) -> list[tuple[JobSpec, list[Lease]]]:
        """Calls of one job type each, in order, spread over `spread` calls. One that crashed a call stays alone."""
        by_name: dict[JobName, list[Lease]] = {}
        batches: list[tuple[JobSpec, list[Lease]]] = []
        for lease in leases:
            if lease.alone:
                batches.append((self._handlers[lease.name].spec, [lease]))
            else:
                by_name.setdefault(lease.name, []).append(lease)
        for name, group in by_name.items():
            spec = self._handlers[name].spec
            size = min(self._batch(spec, queue), max(1, -(-len(group) // max(1, spread))))
            batches.extend((spec, group[at : at + size]) for at in range(0, len(group), size))
        return batches

    def _cpu_room(self) -> float:
        self._in_flight.cpus = cpus = self._cpus()
        return cpus * CALLS_AHEAD - self._in_flight.load

    def _fair(self, queues: Iterable[QueueName]) -> list[QueueName]:
        """Start with another queue each time, so that none is always last but those that are meant to be."""
        listed = sorted(queues)
        self._turn += 1
        cut = self._turn % len(listed) if listed else 0
        return sorted(listed[cut:] + listed[:cut], key=lambda queue: queue in LAST_QUEUES)

    def _reasons_to_wait(self, queues: Iterable[QueueName]) -> dict[QueueName, str]:
        """Why each of these queues cannot start what waits in it, `""` when it can."""
        nodes = {queue: self._submitters[Place.CLUSTER].nodes_for(queue) for queue in queues}
        media = not nodes or self._media_present()
        return {queue: self._reason(queue, count, media) for queue, count in nodes.items()}

    def _reason(self, queue: QueueName, nodes: int, media: bool) -> str:
        if nodes == 0:
            return self._starting(queue) or self._why_nobody(queue)
        if not media:
            return "the media folder is not mounted: its .immich marker is missing"
        return self._held_back(queue) or self._hold(queue)

    def _hold(self, queue: QueueName) -> str:
        until_s, reason = self._held_until.get(queue, (0.0, ""))
        return reason if time.monotonic() < until_s else ""

    def _explain(self, reasons: Mapping[QueueName, str]) -> None:
        """Write down why queues wait, when that changed."""
        changed = {queue: reason for queue, reason in reasons.items() if self._said.get(queue, "") != reason}
        if changed:
            with self._store.transaction() as tx:
                self._store.say_why_waiting(tx, changed)
            self._said.update(changed)
            for queue, reason in changed.items():
                log.warning("%s waits: %s", queue, reason) if reason else log.info("%s waits no longer", queue)
