"""Gives back what runs long on drained nodes: no attempt is counted, another node takes it. Short work just ends.

A call that Ray has not begun was told which nodes to leave out when it was submitted. When others are drained now, or
no longer, it may wait for a node that never comes back: it is given back as well, and submitted anew. So it is when a
node has died: it may have just begun there, and of one that froze or was cut off Ray keeps the calls.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from cluster.clock import Clock
from cluster.draining import Drain
from cluster.loops.in_flight import InFlight
from cluster.loops.submitter import Call, CallEnd, CallLost, LossReason, Submitter
from cluster.queue.job import Place

log = logging.getLogger(__name__)

EVERY_S = 1.0
UNHEARD_S = 8.0
"""So long after a change, a call from before it that was never heard of has not begun. A worker's first beat comes
after a second; one that has just beaten for another call tells of its next five seconds later; busy ones are late."""


class Drainer:
    """`drained`: names of live nodes → why; `left_out`: ids of those, and of nodes that died. Jobs that are rows stay:
    their process is no part of a node's work."""

    def __init__(
        self,
        in_flight: InFlight,
        submitters: Mapping[Place, Submitter],
        drained: Callable[[], Mapping[str, Drain]],
        clock: Clock,
        on_end: Callable[[CallEnd], None],
        now_s: Callable[[], float] = time.monotonic,
        left_out: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._in_flight, self._submitter, self._drained = in_flight, submitters[Place.CLUSTER], drained
        self._clock, self._on_end, self._now_s = clock, on_end, now_s
        self._left_out = left_out
        self._known: Sequence[str] = ()
        self._changed_s: float | None = None

    def tick(self) -> float:
        """Once: end the calls whose nodes have waited for them long enough, and those that wait for the wrong nodes."""
        now, now_s, drained = self._clock.now(), self._now_s(), self._drained()
        over = {name for name, drain in drained.items() if drain.give_back_at and drain.give_back_at <= now}
        if (left_out := self._left_out()) != self._known:
            self._known, self._changed_s = left_out, now_s
        settled = self._changed_s is not None and now_s >= self._changed_s + UNHEARD_S
        for entry in self._in_flight.everything() if over or settled else ():
            if entry.call.spec.place is not Place.CLUSTER:
                continue
            if entry.beat is not None and entry.beat.node in over:
                self._give_back(entry.call, f"{entry.beat.node} is drained, and it takes too long", entry.beat.node)
            elif settled and entry.heard_s is None and entry.submitted_s < (self._changed_s or 0.0):
                self._give_back(entry.call, "other nodes are there than when it was submitted, and none began it")
        if settled:
            self._changed_s = None
        return EVERY_S

    def _give_back(self, call: Call, why: str, node: str = "") -> None:
        log.info("a call of %s is given back: %s", call.spec.name, why)
        self._on_end(CallLost(call, LossReason.CANCELLED, why, node=node))
        self._submitter.cancel(call.call_id)
