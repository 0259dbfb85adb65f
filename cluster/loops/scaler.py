"""Backlog → machines: tells Ray's autoscaler what the queues need, so that a label without any node gets one.

Ray keeps what it was told last, from whoever told it; so one controller of the cluster tells it, anew when that
changes, and an empty list when all is done. Machines end by Ray's own word: when Ray itself finds them idle.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import Handler, JobSpec
from cluster.queue.store import QueueStore, Transaction
from cluster.scaling import Bundle, Fleet, Line

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""Ray's autoscaler looks as often."""


class Scaler:
    """`usual_s`: how long a job of this queue takes, 0 while nobody knows. `ask`: replaces what Ray was asked for.
    `idle`: how many machines of each type live and are drained by hand."""

    def __init__(
        self,
        store: QueueStore,
        handlers: Mapping[JobName, Handler],
        fleet: Fleet,
        concurrency: Callable[[QueueName], int],
        held_back: Callable[[QueueName], str],
        nodes_for: Callable[[QueueName], int],
        usual_s: Callable[[Transaction, QueueName], float],
        ask: Callable[[Sequence[Bundle]], None],
        idle: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._store, self._fleet, self._ask = store, fleet, ask
        self._concurrency, self._held_back = concurrency, held_back
        self._nodes_for, self._usual_s, self._idle = nodes_for, usual_s, idle
        self._lines: Sequence[Line] = ()
        self._asked: Sequence[Bundle] | None = None
        self._specs_of: dict[QueueName, list[JobSpec]] = {}
        for handler in handlers.values():
            self._specs_of.setdefault(QUEUE_OF_JOB[handler.spec.name], []).append(handler.spec)

    def tick(self, ours: bool) -> float:
        """Ask once, if it is ours to ask; returns when to look again. What a controller before this one asked for is
        unknown, so the first time counts as a change."""
        self._lines = self._read_lines()
        if not ours:
            self._asked = None
            return EVERY_S
        idle = self._idle()
        bundles = self._fleet.bundles(self._lines, idle)
        if bundles != self._asked:
            self._ask(bundles)
            self._asked = bundles
            wanted = {name: count for name, count in self._fleet.machines(self._lines, idle).items() if count}
            log.info("Ray's autoscaler is asked for %s", wanted or "no machine")
        return EVERY_S

    def starting(self, queue: QueueName) -> str:
        """What this queue, in which something waits, is without a node for: `""` when no machine is asked for it, or
        will be at the next tick."""
        others = [line for line in self._lines if line.queue is not queue]
        this = Line(queue, self._specs_of[queue], 1, 0.0, self._concurrency(queue), served=False)
        return self._fleet.starting(queue, [*others, this], self._idle())

    def _read_lines(self) -> list[Line]:
        """Of queues that have something to do and may do it."""
        with self._store.transaction(reading=True) as tx:
            counts = self._store.counts(tx)
            jobs = {
                queue: count.active + (0 if count.paused else count.waiting)
                for queue, count in counts.items()
                if queue in self._specs_of
            }
            usual_s = {queue: self._usual_s(tx, queue) for queue, number in jobs.items() if number}
        return [
            Line(
                queue,
                self._specs_of[queue],
                jobs[queue],
                usual_s[queue],
                self._concurrency(queue),
                self._nodes_for(queue) > 0,
            )
            for queue in usual_s
            if not self._held_back(queue)
        ]
