"""Gives back what runs long on drained nodes: no attempt is counted, another node takes it. Short work just ends."""

import logging
from collections.abc import Callable, Mapping

from cluster.clock import Clock
from cluster.draining import Drain
from cluster.loops.in_flight import InFlight
from cluster.loops.submitter import CallEnd, CallLost, LossReason, Submitter
from cluster.queue.job import Place

log = logging.getLogger(__name__)

EVERY_S = 1.0


class Drainer:
    """`drained`: names of live nodes → why. Jobs that are rows stay: their process is no part of a node's work."""

    def __init__(
        self,
        in_flight: InFlight,
        submitters: Mapping[Place, Submitter],
        drained: Callable[[], Mapping[str, Drain]],
        clock: Clock,
        on_end: Callable[[CallEnd], None],
    ) -> None:
        self._in_flight, self._submitter, self._drained = in_flight, submitters[Place.CLUSTER], drained
        self._clock, self._on_end = clock, on_end

    def tick(self) -> float:
        """Once: end the calls whose nodes have waited for them long enough."""
        now = self._clock.now()
        over = {name for name, drain in self._drained().items() if drain.give_back_at and drain.give_back_at <= now}
        for entry in self._in_flight.everything() if over else ():
            call, beat = entry.call, entry.beat
            if beat is None or beat.node not in over or call.spec.place is not Place.CLUSTER:
                continue
            log.info("a call of %s is given back: %s is drained, and it takes too long", call.spec.name, beat.node)
            self._on_end(CallLost(call, LossReason.CANCELLED, f"{beat.node} is drained", node=beat.node))
            self._submitter.cancel(call.call_id)
        return EVERY_S
