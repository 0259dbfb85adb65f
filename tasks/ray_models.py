"""Model pools: detached Ray actors that keep a model's weights, and the book of which call is with which of them.

A call waits here until a process is free. Where there is no room for another process, one call stands ahead at a busy
one, which then never waits for the controller; it comes back when that process dies. While a call waits it counts as
heard. Processes outlive the controller: the next one finds them by their names.
"""

import logging
import math
import pickle
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import ray
from ray.util import list_named_actors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.errors import ModelUnavailable
from cluster.launch import NAMESPACE
from cluster.loops.in_flight import Beat
from cluster.loops.submitter import Call, CallEnd, CallLost, LossReason
from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, ModelPool
from cluster.ray_nodes import Node, RayNodes, serves
from tasks import ray_worker
from tasks.pool_places import next_place, processes_of
from tasks.ray_ends import crashed_call, end_of_call, first_line
from tasks.registry import job_named

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
ROOM_AFTER_S = 5.0
"""So long a process may wait for memory or a GPU before an idle one of another model gives way to it."""
START_LIMIT_S = 600.0
FAILURES = 3
"""Deaths one after the other while a model is loaded, after which the queue waits."""
TROUBLE_S = 30.0
IN_LINE = 2
"""Calls that a process has at a time: what it works on, and what it goes on with while the controller hears of that."""
CANCEL_GRACE_S = 5.0
NODE_DIED = "its node has died"

OnEnd = Callable[[CallEnd], None]


class ModelActor:
    """One process of a pool. Its calls come one at a time; `stay` never ends and so tells of its death."""

    def __init__(self, threads: int) -> None:
        self._tools = ray_worker.process_tools()
        self._tools.threads = threads

    def hello(self) -> None:
        """It runs."""

    def warm(self, name: JobName, packed_input: bytes) -> str:
        """Load what inputs like this one need. `""`, or why that cannot be."""
        try:
            job_named(name).warm(pickle.loads(packed_input), self._tools)  # type: ignore[union-attr]  # noqa: S301 (our own controller's bytes)
        except ModelUnavailable as missing:
            return str(missing)
        except Exception as error:
            log.exception("the model of %s could not be loaded", name)
            return f"the model could not be loaded: {type(error).__name__}: {first_line(error)}"
        return ""

    def run(self, packed: bytes) -> bytes:
        """See `ray_worker.run_call`."""
        return ray_worker.run_call(packed)

    @ray.method(concurrency_group="staying")
    def stay(self) -> None:
        threading.Event().wait()


class _State(Enum):
    STARTING = "starting"
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"


@dataclass(slots=True, eq=False)
class _Held:
    """A call, and whom to tell of its end."""

    call: Call
    packed: bytes
    on_end: OnEnd


@dataclass(slots=True, eq=False)
class _Process:
    handle: Any
    node_id: str
    since_s: float
    state: _State = _State.STARTING
    line: list[_Held] = field(default_factory=list)
    calls: int = 0

    def at_work(self, call_id: str) -> bool:
        """Whether it is at this call; the others in its line have not begun."""
        return bool(self.line) and self.line[0].call.call_id == call_id

    def turn(self, state: _State) -> None:
        self.state, self.since_s = state, time.monotonic()


@dataclass(slots=True, eq=False)
class _Pool:
    pool: ModelPool
    spec: JobSpec
    queue: QueueName
    waiting: deque[_Held] = field(default_factory=deque)
    processes: list[_Process] = field(default_factory=list)
    failures: int = 0
    trouble: str = ""
    trouble_until_s: float = 0.0

    def idle(self) -> list[_Process]:
        return [process for process in self.processes if process.state is _State.IDLE]

    def with_room_ahead(self) -> list[_Process]:
        """Where a call may stand in line, the longest at its call first. Nowhere while one is about to be free."""
        if any(process.state is not _State.BUSY for process in self.processes):
            return []
        most = self.pool.recycle_after_batches or math.inf
        free = [one for one in self.processes if len(one.line) < IN_LINE and one.calls + len(one.line) < most]
        return sorted(free, key=lambda process: process.since_s)

    def is_stopped(self) -> bool:
        return time.monotonic() < self.trouble_until_s


def actor_options(spec: JobSpec, pool: ModelPool, node: Node) -> dict[str, Any]:
    """What Ray is told about a process. It holds its memory and its share of a GPU as long as it lives, but no CPU: it
    is kept warm while others work, and the dispatcher counts the CPUs of its calls."""
    options: dict[str, Any] = {
        "name": f"{spec.name}:{node.node_id}:{uuid.uuid4().hex[:8]}",
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": 0,
        "max_task_retries": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node.node_id, soft=False),
        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(threads_on(pool, node))}},
    }
    if pool.gpus and node.gpus:
        options["num_gpus"] = pool.gpus
    if pool.memory_mb:
        options["memory"] = pool.memory_mb * 1024 * 1024
    return options


def threads_on(pool: ModelPool, node: Node) -> int:
    """Threads of one process there: no more than the node has cores."""
    return max(1, int(min(pool.cpus, node.cpus)))


class RayModels:
    """One thread of its own does everything here. What others want, and what Ray answers, is put in its line: Ray tells
    of an answer in the very thread that must go on for the next question to be answered.

    `heard` is told of calls that wait here, and answers which of them nobody waits for any more. `owned`: the queues
    of this controller. The processes of another's are not ours to end.
    """

    def __init__(self, nodes: RayNodes, actor_class: type = ModelActor) -> None:
        self._nodes, self._actor_class = nodes, actor_class
        self._actor: Any = None
        self._pools: dict[str, _Pool] = {}
        self._line: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.heard: Callable[[Sequence[Beat]], Iterable[str]] = lambda beats: ()
        self.owned: Callable[[], set[QueueName]] = lambda: set(QueueName)

    def submit(self, call: Call, pool: ModelPool, on_end: OnEnd) -> None:
        """Give it to a process of the pool as soon as one is free. Returns at once."""
        tickets = [lease.ticket for lease in call.leases]
        held = _Held(call, ray_worker.packed_call(call.spec.name, call.call_id, tickets, call.inputs), on_end)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="models", daemon=True)
                self._thread.start()
        self._line.put(lambda: self._take(held, pool))

    def cancel(self, call_id: str) -> None:
        """One that waits here is over at once. One that runs hears it by its beat and ends after the job in hand; if it
        does not, its process is ended, since nothing can interrupt a model."""
        self._line.put(lambda: self._cancel(call_id))

    def trouble(self, queue: QueueName) -> str:
        """Why the models of this queue cannot be loaded, while that is not tried again; `""`: they can."""
        pools = list(self._pools.values())
        return next((pool.trouble for pool in pools if pool.queue is queue and pool.is_stopped()), "")

    def _run(self) -> None:
        look_at_s = time.monotonic() + LOOK_EVERY_S
        while True:
            try:
                with suppress(Empty):
                    self._line.get(timeout=max(0.0, look_at_s - time.monotonic()))()
                if time.monotonic() >= look_at_s:
                    look_at_s = time.monotonic() + LOOK_EVERY_S
                    self._let_go()
                    for pool in list(self._pools.values()):
                        self._look_at(pool)
            except Exception:
                log.exception("the models' processes could not be looked after")

    def _take(self, held: _Held, pool: ModelPool) -> None:
        try:
            mine = self._pool(held.call, pool)
        except Exception as error:
            log.exception("%s: Ray could not be asked for its processes", pool.name)
            held.on_end(CallLost(held.call, LossReason.UNSCHEDULABLE, first_line(error)))
            return
        mine.waiting.append(held)
        self._feed(mine)

    def _cancel(self, call_id: str) -> None:
        for pool in self._pools.values():
            for held in [one for one in pool.waiting if one.call.call_id == call_id]:
                pool.waiting.remove(held)
                held.on_end(CallLost(held.call, LossReason.CANCELLED, "cancelled before it started"))
            if any(held.call.call_id == call_id for process in pool.processes for held in process.line):
                end = partial(self._line.put, partial(self._end_process_of, pool, call_id))
                timer = threading.Timer(CANCEL_GRACE_S, end)
                timer.daemon = True
                timer.start()

    def _pool(self, call: Call, pool: ModelPool) -> _Pool:
        if self._actor is None:
            remote: Any = ray.remote  # its types know nothing of groups
            self._actor = remote(concurrency_groups={"staying": 1})(self._actor_class)
        if pool.name not in self._pools:
            self._pools[pool.name] = _Pool(pool, call.spec, call.queue)
            self._adopt(self._pools[pool.name])
        return self._pools[pool.name]

    # ---- processes ----------------------------------------------------------------------------------------------

    def _feed(self, pool: _Pool) -> None:
        """Calls to idle processes, then as many more processes as calls wait, then calls to the lines of busy ones.
        Those on drained nodes get none."""
        serving = self._serving(pool.queue)
        ids = {node.node_id for node in serving}
        for process in pool.idle():
            if pool.waiting and process.node_id in ids:
                self._hand_over(pool, process, pool.waiting.popleft())
        if pool.is_stopped():
            self._give_back(pool)
        while pool.waiting and len(pool.processes) < processes_of(pool.pool, self._busy(pool) + len(pool.waiting)):
            node = next_place(pool.pool, serving, Counter(one.node_id for one in pool.processes))
            if node is None:
                break
            try:
                self._start(pool, node, pool.waiting[0])
            except Exception as error:
                log.exception("%s: no process could be started on %s", pool.pool.name, node.address)
                self._stop(pool, f"Ray started no process for the model: {first_line(error)}")
        for process in pool.with_room_ahead():
            if pool.waiting and process.node_id in ids:
                self._hand_over(pool, process, pool.waiting.popleft())

    def _busy(self, pool: _Pool) -> int:
        return sum(process.state is _State.BUSY for process in pool.processes)

    def _serving(self, queue: QueueName) -> list[Node]:
        return [node for node in self._nodes.nodes() if serves(node, queue)]

    def _start(self, pool: _Pool, node: Node, first: _Held) -> None:
        options = actor_options(pool.spec, pool.pool, node)
        handle = self._actor.options(**options).remote(threads_on(pool.pool, node))
        process = _Process(handle, node.node_id, time.monotonic())
        pool.processes.append(process)
        log.info("%s: a process is started on %s", pool.pool.name, node.address)
        example = pickle.dumps(first.call.inputs[0], pickle.HIGHEST_PROTOCOL)
        self._watch(handle.stay.remote(), self._died, pool, process)
        self._watch(handle.hello.remote(), self._runs, pool, process)
        self._watch(handle.warm.remote(pool.spec.name, example), self._is_warm, pool, process)

    def _adopt(self, pool: _Pool) -> None:
        """Processes that a controller before this one left: free when they have ended what they were at."""
        for name in list_named_actors():
            job, _, rest = name.partition(":")
            if job != pool.spec.name:
                continue
            try:
                handle = ray.get_actor(name, NAMESPACE)
            except ValueError:  # it has just died
                continue
            process = _Process(handle, rest.partition(":")[0], time.monotonic(), _State.LOADING)
            pool.processes.append(process)
            self._watch(handle.stay.remote(), self._died, pool, process)
            self._watch(handle.hello.remote(), self._is_warm, pool, process)

    def _watch(self, ref: Any, then: Callable[..., None], *what: Any) -> None:
        """`then(*what, future)` when it is answered."""
        ref.future().add_done_callback(lambda future: self._line.put(lambda: then(*what, future)))

    def _runs(self, pool: _Pool, process: _Process, future: Any) -> None:
        if process in pool.processes and future.exception() is None:
            process.turn(_State.LOADING)

    def _is_warm(self, pool: _Pool, process: _Process, future: Any) -> None:
        if process not in pool.processes or future.exception() is not None:
            return  # `stay` tells of its death
        if why := future.result():
            self._remove(pool, process)
            self._stop(pool, why)
            return
        pool.failures = 0
        process.turn(_State.IDLE)
        self._feed(pool)

    def _died(self, pool: _Pool, process: _Process, future: Any) -> None:
        if process not in pool.processes:
            return  # by our own hand
        self._remove(pool, process)
        error = future.exception() or RuntimeError("it ended")
        log.warning("%s: a process died: %s", pool.pool.name, first_line(error))
        if process.state in (_State.STARTING, _State.LOADING):
            pool.failures += 1
        if pool.failures >= FAILURES:
            said = " ".join(str(error).split())[-300:]
            self._stop(pool, f"{pool.failures} processes died while they loaded the model: {said}")
        self._feed(pool)

    def _remove(self, pool: _Pool, process: _Process) -> None:
        if process in pool.processes:
            pool.processes.remove(process)
            pool.waiting.extendleft(reversed(process.line[1:]))  # these had not begun
            del process.line[1:]
        try:
            ray.kill(process.handle, no_restart=True)
        except Exception as error:
            log.info("%s: a process could not be ended: %s", pool.pool.name, error)

    def _stop(self, pool: _Pool, why: str) -> None:
        """Nothing is started for a while, and the queue says why."""
        log.warning("%s: %s", pool.pool.name, why)
        pool.trouble, pool.trouble_until_s = why, time.monotonic() + TROUBLE_S
        self._give_back(pool)

    def _give_back(self, pool: _Pool) -> None:
        while pool.waiting:
            held = pool.waiting.popleft()
            held.on_end(CallLost(held.call, LossReason.UNSCHEDULABLE, pool.trouble))

    # ---- calls --------------------------------------------------------------------------------------------------

    def _hand_over(self, pool: _Pool, process: _Process, held: _Held) -> None:
        if not process.line:
            process.turn(_State.BUSY)
        process.line.append(held)
        self._say_heard([held])
        ref = process.handle.run.options(name=str(held.call.spec.name)).remote(held.packed)
        self._watch(ref, self._ended, pool, process, held)

    def _ended(self, pool: _Pool, process: _Process, held: _Held, future: Any) -> None:
        end = _end_of(held.call, future)
        process.calls += 1
        worn_out = 0 < pool.pool.recycle_after_batches <= process.calls
        if isinstance(end, CallLost) or worn_out:
            self._remove(pool, process)
        over = held in process.line  # else it waits again: its process ended before it came to it
        if over:
            process.line.remove(held)
        if process in pool.processes:
            process.turn(_State.BUSY if process.line else _State.IDLE)
        self._feed(pool)
        if over:
            held.on_end(end)

    def _end_process_of(self, pool: _Pool, call_id: str) -> None:
        for process in [one for one in pool.processes if one.at_work(call_id)]:
            self._remove(pool, process)
        self._feed(pool)

    def _say_heard(self, calls: Sequence[_Held]) -> set[str]:
        return set(self.heard([Beat(held.call.call_id, "", None, 0.0) for held in calls]))

    # ---- once a second ------------------------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Of pools that another controller has by now: it finds their processes by name, as we did."""
        owned = self.owned()
        for name, pool in list(self._pools.items()):
            if pool.queue not in owned and not pool.waiting and not self._busy(pool):
                pool.processes.clear()
                del self._pools[name]

    def _look_at(self, pool: _Pool) -> None:
        serving = {node.node_id for node in self._serving(pool.queue)}
        for process in list(pool.processes):
            self._look_at_process(pool, process, serving)
        if pool.waiting and not serving:
            pool.trouble = self._nodes.why_nobody(pool.queue)
            self._give_back(pool)
        self._feed(pool)
        ahead = [held for process in pool.processes for held in process.line[1:]]
        if ahead or pool.waiting:
            given_up = self._say_heard([*ahead, *pool.waiting])
            pool.waiting = deque(held for held in pool.waiting if held.call.call_id not in given_up)

    def _look_at_process(self, pool: _Pool, process: _Process, serving: set[str]) -> None:
        for_s = time.monotonic() - process.since_s
        match process.state:
            case _State.IDLE:
                spare = len(pool.processes) > pool.pool.least and for_s > pool.pool.idle_ttl_s
                if spare or process.node_id not in serving:
                    self._remove(pool, process)
            case _State.STARTING | _State.LOADING if for_s > START_LIMIT_S:
                self._remove(pool, process)
                self._stop(pool, f"a process for the model did not start within {START_LIMIT_S:.0f} s")
            case _State.STARTING if for_s > ROOM_AFTER_S:
                self._make_room(pool, process.node_id)

    def _make_room(self, pool: _Pool, node_id: str) -> None:
        """It waits for memory or a GPU: an idle process of another model on its node gives way."""
        for other in self._pools.values():
            for process in other.idle():
                if other is not pool and process.node_id == node_id:
                    log.info("%s: an idle process gives way to %s", other.pool.name, pool.pool.name)
                    self._remove(other, process)
                    return


def _end_of(call: Call, future: Any) -> CallEnd:
    error = future.exception()
    try:
        end = end_of_call(call, error, future)
    except Exception as unread:
        log.exception("the answer to a call of %s could not be read", call.spec.name)
        return crashed_call(call, unread)
    if isinstance(end, CallLost) and end.reason is LossReason.WORKER and NODE_DIED in str(error):
        return CallLost(call, LossReason.NODE, end.message)
    return end
