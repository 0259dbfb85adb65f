"""The worker process's side of a call: runs its jobs and beats while it does.

Each process beats every five seconds, one way, and only while it works: which job is in hand, for how long, how far.
The answer names calls to drop, because the controller gave them up.
"""

import logging
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import ray

from cluster.launch import NAMESPACE, controller_actor
from cluster.loops.in_flight import Beat
from cluster.loops.submitter import controller_of
from cluster.names import JobName
from cluster.queue.job import Ticket, Worked
from cluster.ray_nodes import own_name
from cluster.settings import read_settings
from cluster.telemetry import configure_logging
from tasks.run_call import run_items
from tasks.tools import Tools

log = logging.getLogger(__name__)

FIRST_BEAT_S, EVERY_S, ANSWER_S = 1.0, 5.0, 10.0


@dataclass(slots=True)
class _InHand:
    call_id: str
    index: int | None
    since_s: float
    progress: float | None = None


class Beater:
    """One thread per worker process. Quiet between calls. `node`: the name of the node that it runs on."""

    def __init__(self) -> None:
        self.node = own_name()
        self._in_hand: dict[str, _InHand] = {}
        self._changed = threading.Condition()
        self._tools: dict[str, Tools] = {}
        threading.Thread(target=self._run, name="beater", daemon=True).start()

    def begin(self, call_id: str, tools: Tools) -> None:
        with self._changed:
            self._in_hand[call_id] = _InHand(call_id, 0, time.monotonic())
            self._tools[call_id] = tools
            self._changed.notify()

    def take(self, call_id: str, index: int | None) -> None:
        """The job that is worked on from now; None: all of them."""
        self._in_hand[call_id] = _InHand(call_id, index, time.monotonic())

    def progress(self, call_id: str, share: float) -> None:
        """How far the job in hand is, 0 to 1; the next beat says it."""
        if entry := self._in_hand.get(call_id):
            entry.progress = share

    def end(self, call_id: str) -> None:
        with self._changed:
            self._in_hand.pop(call_id, None)
            self._tools.pop(call_id, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._in_hand:
                    self._changed.wait()
            time.sleep(FIRST_BEAT_S)
            while self._in_hand:
                self._beat()
                time.sleep(EVERY_S)

    def _beat(self) -> None:
        now_s = time.monotonic()
        beats: dict[str, list[Beat]] = {}
        for one in list(self._in_hand.values()):
            beat = Beat(one.call_id, self.node, one.index, now_s - one.since_s, one.progress)
            beats.setdefault(controller_of(one.call_id), []).append(beat)
        for controller, its_beats in beats.items():
            self._tell(controller, its_beats)

    def _tell(self, name: str, beats: Sequence[Beat]) -> None:
        try:
            controller: Any = ray.get_actor(controller_actor(name), NAMESPACE)
            dropped = ray.get(controller.beat.remote(beats), timeout=ANSWER_S)
            for call_id in dropped:
                if tools := self._tools.get(call_id):
                    tools.cancelled.set()
        except Exception as error:
            log.warning("the controller did not hear this beat: %s", error)


_beater: Beater | None = None
_tools: Tools | None = None
_parts_lock = threading.Lock()


def _process_parts() -> tuple[Beater, Tools]:
    global _beater, _tools
    with _parts_lock:
        if _beater is None or _tools is None:
            _beater, _tools = Beater(), Tools()
        return _beater, _tools


def process_tools() -> Tools:
    """The tools that every call in this process works with."""
    return _process_parts()[1]


@contextmanager
def beating(call_id: str, tools: Tools) -> Iterator[Callable[[int | None], None]]:
    """While this is open the process beats for the call, and says how far `tools` was told that its job is; what it
    gives takes the index of the job in hand."""
    beater, _ = _process_parts()
    tools.progress = lambda share: beater.progress(call_id, share)
    beater.begin(call_id, tools)
    try:
        yield lambda index: beater.take(call_id, index)
    finally:
        beater.end(call_id)


def packed_call(name: JobName, call_id: str, tickets: Sequence[Ticket], inputs: Sequence[Any]) -> bytes:
    """The argument of `run_call`. Ray takes bytes as they are; its own pickler takes ten times as long for the rest."""
    return pickle.dumps((name, call_id, tickets, inputs), pickle.HIGHEST_PROTOCOL)


def unpacked_answer(packed: bytes) -> tuple[str, list[Worked]]:
    """What `run_call` returned: the node's name and one entry per job."""
    node, worked = pickle.loads(packed)  # noqa: S301 (our own worker's bytes)
    return node, worked


@cache
def _set_up_log() -> None:
    """Once in a process, which is one that Ray made."""
    configure_logging(read_settings(os.environ), "Worker")


def run_call(packed: bytes) -> bytes:
    """Run a call's jobs one by one; see `packed_call` and `unpacked_answer`."""
    name, call_id, tickets, inputs = pickle.loads(packed)  # noqa: S301 (our own controller's bytes)
    _set_up_log()
    beater, tools = _process_parts()
    tools.cancelled.clear()
    try:
        with beating(call_id, tools) as in_hand:
            worked = run_items(name, tickets, inputs, tools, beater.node, in_hand)
    except KeyboardInterrupt:
        # the call was given up: what it wrote is deleted by now, but nobody knows in the middle of what else it was
        os._exit(1)
    return pickle.dumps((beater.node, worked), pickle.HIGHEST_PROTOCOL)
