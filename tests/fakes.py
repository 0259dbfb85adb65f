"""Fakes that behave: a submitter whose calls end when the test says, a job type, and the loops wired to both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.loops.dispatcher import Dispatcher, Identity
from cluster.loops.in_flight import InFlight
from cluster.loops.settler import Settler
from cluster.loops.submitter import Call, CallEnd, CallLost, CallReturned, LossReason, Submitter
from cluster.names import JobName, QueueName
from cluster.queue.job import (
    Done,
    Fact,
    FollowUps,
    Handler,
    JobSpec,
    Lease,
    Loaded,
    NewJob,
    Outcome,
    Pipeline,
    Place,
    Skipped,
    WorkResult,
)
from cluster.queue.memory_store import MemoryQueueStore
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord
from tests.fake_clock import FakeClock

NODE = "node-1"
NO_JITTER = 0.5


class FakeSubmitter:
    """Calls stay out until `answer` or `lose`. `nodes`: how many serve every queue. `refuses`: what `submit` raises."""

    def __init__(self, nodes: int = 1) -> None:
        self.nodes = nodes
        self.refuses: Exception | None = None
        self.cancelled: list[str] = []
        self._out: dict[str, tuple[Call, Callable[[CallEnd], None]]] = {}

    @property
    def out(self) -> list[Call]:
        return [call for call, _ in self._out.values()]

    def submit(self, call: Call, on_end: Callable[[CallEnd], None]) -> None:
        if self.refuses is not None:
            raise self.refuses
        self._out[call.call_id] = (call, on_end)

    def cancel(self, call_id: str) -> None:
        self.cancelled.append(call_id)
        if call_id in self._out:
            self.lose(self._out[call_id][0], LossReason.CANCELLED)

    def nodes_for(self, queue: QueueName) -> int:
        return self.nodes

    def answer(self, call: Call, outcome: Outcome | Callable[[Lease], Outcome] | None = None) -> None:
        """The call comes back with this outcome for each of its jobs."""
        outcome = Done() if outcome is None else outcome
        results = tuple(WorkResult(one, outcome(one) if callable(outcome) else outcome, NODE, 7) for one in call.leases)
        self._end(CallReturned(call, results))

    def lose(self, call: Call, reason: LossReason = LossReason.WORKER, in_hand: int | None = None) -> None:
        self._end(CallLost(call, reason, f"lost: {reason.value}", in_hand=in_hand))

    def _end(self, end: CallEnd) -> None:
        _, on_end = self._out.pop(end.call.call_id)
        on_end(end)


class FakeHandler:
    """A job type whose input is its payload. `saved` holds outputs; what is in `refuses` by asset id cannot be saved,
    `answers` are given by `load` in place of an input, and what `breaks` cannot even be loaded."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self.saved: list[tuple[str | None, Any]] = []
        self.refuses: set[str] = set()
        self.answers: dict[str, Loaded] = {}
        self.breaks: set[str] = set()
        self.final_files: list[str] = []

    @property
    def spec(self) -> JobSpec:
        return self._spec

    def load(self, session: Any, leases: Sequence[Lease]) -> Sequence[Loaded]:
        if broken := [one.asset_id for one in leases if one.asset_id in self.breaks]:
            raise ValueError(f"cannot load {broken}")
        return [self.answers.get(str(one.asset_id), one.payload) for one in leases]

    def save(self, session: Any, outputs: Sequence[tuple[Lease, Any]]) -> Sequence[frozenset[Fact]]:
        for lease, output in outputs:
            if lease.asset_id in self.refuses:
                raise ValueError(f"cannot save {lease.asset_id}")
            self.saved.append((lease.asset_id, output))
        return [frozenset()] * len(outputs)

    def files(self, output: Any) -> Sequence[str]:
        return self.final_files


def nothing_follows(lease: Lease, outcome: Done | Skipped, facts: frozenset[Fact]) -> FollowUps:
    return FollowUps()


@dataclass
class Loops:
    """Dispatcher and settler over a memory store, with fakes around. `seconds` is what `InFlight` takes for now."""

    specs: Sequence[JobSpec]
    follow: Pipeline = nothing_follows
    concurrency: int = 2
    hold_s: float = 60.0
    cpus: float = 8.0
    media_present: bool = True
    seconds: float = 0.0
    owned: set[QueueName] = field(default_factory=lambda: set(QueueName))
    held_back: dict[QueueName, str] = field(default_factory=dict)
    starting: dict[QueueName, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryQueueStore(self.clock)
        self.handlers = {spec.name: FakeHandler(spec) for spec in self.specs}
        self.submitter, self.row_jobs = FakeSubmitter(), FakeSubmitter()
        self.submitters: dict[Place, Submitter] = {Place.CLUSTER: self.submitter, Place.ROW_JOBS: self.row_jobs}
        self.identity = Identity("controller", "first")
        self.in_flight = InFlight(lambda: self.seconds)
        handlers: dict[JobName, Handler] = dict(self.handlers)
        self.settler = Settler(self.store, handlers, self.follow, chance=lambda: NO_JITTER)
        self.dispatcher = Dispatcher(
            self.store,
            handlers,
            self.submitters,
            self.settler,
            self.in_flight,
            self.identity,
            owned=lambda: self.owned,
            concurrency=lambda queue: self.concurrency,
            cpus=lambda: self.cpus,
            media_present=lambda: self.media_present,
            held_back=lambda queue: self.held_back.get(queue, ""),
            hold_s=self.hold_s,
            starting=lambda queue: self.starting.get(queue, ""),
        )

    def enqueue(self, *jobs: NewJob) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, jobs)

    def dispatch(self) -> list[Call]:
        """One tick; the calls that are out after it."""
        self.dispatcher.tick()
        return self.submitter.out

    def settle(self) -> None:
        self.settler.drain()

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what became due waits."""
        self.clock.sleep(seconds)
        self.seconds += seconds
        with self.store.transaction() as tx:
            self.store.promote_due(tx)

    def jobs(self, queue: QueueName, *states: JobState) -> list[JobRecord]:
        with self.store.transaction() as tx:
            return self.store.jobs(tx, queue, states or tuple(JobState), 1000)

    def states(self, queue: QueueName) -> list[str]:
        return sorted(str(job.state) for job in self.jobs(queue))
