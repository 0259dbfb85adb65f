"""The loops of one controller, wired: dispatcher, settler, keeper, rescuer, drainer, bencher, scheduler, pruner, …"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cluster.clock import Clock
from cluster.draining import Drain, no_node_serves
from cluster.loops.bencher import Bencher
from cluster.loops.dispatcher import Dispatcher, Identity
from cluster.loops.drainer import Drainer
from cluster.loops.in_flight import Beat, InFlight
from cluster.loops.keeper import Keeper
from cluster.loops.loop import Loop
from cluster.loops.meter import Meter
from cluster.loops.pruner import Pruner
from cluster.loops.rescuer import Rescuer
from cluster.loops.settler import OnFailed, Settler, TellAdmins, nothing_follows
from cluster.loops.submitter import CallLost, LossReason, Submitter
from cluster.metrics import Metrics, Unmeasured
from cluster.names import JobName, QueueName
from cluster.queue.job import Handler, JobSpec, Pipeline, Place
from cluster.queue.statistics import Mark, Readings
from cluster.queue.store import QueueStore

log = logging.getLogger(__name__)

START_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loops ask the outside: how much may run, whether the media is there, when rows changed. `schedule`: the
    scheduler's tick; `held_back`: why a queue may start nothing although nodes serve it (quiet hours, weights), `""`
    when it may; `drained`: live nodes that get nothing new; `left_out`: ids of those, and of some that died;
    `why_nobody`: what to say where no node serves a queue; `bench`: has a node that fails too much drained, with
    the reason; `batch`: jobs to a call; `restart_controller`: ends the one of this name, which is frozen, for
    another to begin; `readings`: what the meter tells to `metrics`, None where nobody measures; `scale`: the
    scaler's tick, told whether this controller is the one that asks, None where no machines can be started;
    `starting`: what a queue without a live node waits for where one can; `tell_of_held`: tells admins of queues
    that wait for them, told whether this controller is the one that does."""

    clock: Clock
    concurrency: Callable[[QueueName], int]
    cpus: Callable[[], float]
    media_present: Callable[[], bool]
    rows_changed: Callable[[], bool]
    sweep_files: Callable[[], int]
    prune_actions: Callable[[datetime, int], int]
    watch_libraries: Callable[[bool], float]
    schedule: Callable[[], float]
    held_back: Callable[[QueueName], str] = lambda queue: ""
    drained: Callable[[], Mapping[str, Drain]] = lambda: {}
    left_out: Callable[[], Sequence[str]] = tuple
    why_nobody: Callable[[QueueName], str] = no_node_serves
    bench: Callable[[str, str], None] = lambda node, why: None
    batch: Callable[[JobSpec, QueueName], int] = lambda spec, queue: spec.batch
    restart_controller: Callable[[str], None] = lambda name: None
    readings: Callable[[Mark | None], Readings] | None = None
    scale: Callable[[bool], float] | None = None
    starting: Callable[[QueueName], str] = lambda queue: ""
    tell_of_held: Callable[[bool], float] | None = None
    metrics: Metrics = field(default_factory=Unmeasured)


class Controller:
    """`start`, `beat` from workers, `stop`. A restarted one releases its predecessor's leases at once."""

    def __init__(
        self,
        store: QueueStore,
        handlers: Mapping[JobName, Handler],
        pipeline: Pipeline,
        submitters: Mapping[Place, Submitter],
        identity: Identity,
        around: Surroundings,
        on_failed: OnFailed = nothing_follows,
        tell_admins: TellAdmins = lambda tx, notices: None,
    ) -> None:
        self._store, self._submitters, self._identity = store, submitters, identity
        self.in_flight = InFlight()
        self._settler = Settler(
            store, handlers, pipeline, on_settled=self._wake, on_failed=on_failed, tell_admins=tell_admins
        )
        bencher = Bencher(around.bench)
        self._dispatcher = Dispatcher(
            store,
            handlers,
            submitters,
            self._settler,
            self.in_flight,
            identity,
            owned=lambda: self._keeper.owned,
            concurrency=around.concurrency,
            cpus=around.cpus,
            media_present=around.media_present,
            held_back=around.held_back,
            starting=around.starting,
            why_nobody=around.why_nobody,
            noted=bencher.note,
            batch=around.batch,
        )
        self._dispatcher.wake = self._wake
        end = self._dispatcher.on_end
        unsettled = self._settler.unsettled
        self._keeper = Keeper(
            store, self.in_flight, submitters, identity, end, unsettled, restart_controller=around.restart_controller
        )
        rescuer = Rescuer(
            store, self.in_flight, submitters, lambda: self._keeper.owned, end, on_due=self._wake, unsettled=unsettled
        )
        drainer = Drainer(self.in_flight, submitters, around.drained, around.clock, end, left_out=around.left_out)
        pruner = Pruner(store, around.clock, around.sweep_files, around.prune_actions)
        self._rows_changed, self._sleep = around.rows_changed, around.clock.sleep
        self._watch_folders = around.watch_libraries
        self._dispatch_loop = Loop("dispatcher", self._dispatcher.tick)
        self._settle_loop = Loop("settler", self._settler.tick)
        self._loops = [
            self._dispatch_loop,
            Loop("watcher", self._watch),
            Loop("keeper", self._keeper.tick),
            Loop("rescuer", rescuer.tick),
            Loop("drainer", drainer.tick),
            Loop("bencher", bencher.tick),
            Loop("scheduler", around.schedule),
            Loop("library watcher", self._watch_libraries),
            Loop("pruner", pruner.tick),
            self._settle_loop,
        ]
        if around.scale is not None:
            scale = around.scale
            self._loops.append(Loop("scaler", lambda: scale(QueueName.BACKGROUND_TASK in self._keeper.owned)))
        if around.tell_of_held is not None:
            tell = around.tell_of_held
            self._loops.append(Loop("herald", lambda: tell(QueueName.BACKGROUND_TASK in self._keeper.owned)))
        if around.readings is not None:
            loops = tuple(self._loops)
            meter = Meter(around.readings, around.metrics, lambda: self._keeper.owned, self.in_flight, loops)
            self._loops.append(Loop("meter", meter.tick))

    def start(self) -> None:
        """Release what an earlier incarnation held, take the queues, run the loops. Waits for a database that is away:
        Ray restarts an actor that died, but never one that could not start."""
        while True:
            try:
                self._take_over()
                break
            except Exception:
                log.exception("the controller cannot start yet")
                self._sleep(START_AGAIN_S)
        for loop in self._loops:
            loop.start()

    def _take_over(self) -> None:
        with self._store.transaction() as tx:
            released = self._store.release_predecessor(tx, self._identity.controller, self._identity.incarnation)
        if released:
            log.warning("released %d jobs that were active when the controller went down", released)
        self._keeper.tick()

    def owned(self) -> set[QueueName]:
        """The queues that are this controller's now."""
        return self._keeper.owned

    def beat(self, beats: Iterable[Beat]) -> set[str]:
        """A worker's word; the answer is what it must drop."""
        return self.in_flight.beat(beats)

    def stop(self, patience_s: float) -> None:
        """Lease no more, wait so long for what is out, give the rest back."""
        for loop in self._loops:
            if loop is not self._settle_loop:
                loop.stop(1.0)
        until_s = time.monotonic() + patience_s
        while len(self.in_flight) and time.monotonic() < until_s:
            time.sleep(0.05)
        for entry in self.in_flight.everything():
            self._dispatcher.on_end(CallLost(entry.call, LossReason.CONTROLLER, "the server is stopping"))
            self._submitters[entry.call.spec.place].cancel(entry.call.call_id)
        self._settle_loop.stop()
        self._settler.drain()

    def _wake(self) -> None:
        self._dispatch_loop.wake()

    def _watch_libraries(self) -> float:
        """Of several controllers, the one that owns the queue of the jobs watches for them."""
        return self._watch_folders(QueueName.LIBRARY in self._keeper.owned)

    def _watch(self) -> float:
        """Wake the dispatcher when another process changed rows."""
        if self._rows_changed():
            self._wake()
        return 0.02
