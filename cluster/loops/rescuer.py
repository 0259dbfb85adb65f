"""Lease expired → another attempt, or failed. Also: delayed jobs whose time has come wait again.

A lease expires when its worker is no longer heard: the process or machine died, froze or was cut off. What such a
worker still writes changes nothing, since its token is no longer valid.
"""

import logging
import random
from collections.abc import Callable, Mapping

from cluster.loops.in_flight import InFlight
from cluster.loops.submitter import CallEnd, CallLost, LossReason, Submitter
from cluster.loops.verdict import after_attempt
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, Handler, Lease, Place
from cluster.queue.store import QueueStore, Settlement

log = logging.getLogger(__name__)

EXPIRED_PER_TICK = 200
EVERY_S = 1.0


class Rescuer:
    """One tick per second over the queues that this controller owns."""

    def __init__(
        self,
        store: QueueStore,
        handlers: Mapping[JobName, Handler],
        in_flight: InFlight,
        submitters: Mapping[Place, Submitter],
        owned: Callable[[], set[QueueName]],
        on_end: Callable[[CallEnd], None],
        on_due: Callable[[], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._handlers, self._in_flight = store, handlers, in_flight
        self._submitters, self._owned = submitters, owned
        self._on_end, self._on_due, self._chance = on_end, on_due, chance

    def tick(self) -> float:
        """Promote what is due, settle what expired."""
        with self._store.transaction(reading=True) as tx:
            next_due = self._store.next_due(tx)
            any_expired = bool(self._store.expired(tx, self._owned(), 1))
        if next_due is not None:
            with self._store.transaction() as tx:
                promoted = self._store.promote_due(tx)
            if promoted:
                self._on_due()
        if any_expired:
            self._rescue()
        return EVERY_S

    def _rescue(self) -> None:
        ends: dict[str, CallLost] = {}
        with self._store.transaction() as tx:
            strangers: list[Settlement] = []
            for lease in self._store.expired(tx, self._owned(), EXPIRED_PER_TICK):
                entry = self._in_flight.holding(lease.job_id, lease.token)
                if entry is None:
                    strangers.append(self._judge(lease))
                    continue
                started = entry.beat is not None
                reason = LossReason.NODE if started else LossReason.UNSCHEDULABLE
                message = "its worker was not heard of any more" if started else "it did not start in time"
                in_hand = entry.beat.in_hand if entry.beat else None
                ends[entry.call.call_id] = CallLost(
                    entry.call, reason, message, node=entry.beat.node if entry.beat else "", in_hand=in_hand
                )
            self._store.settle(tx, strangers)
        for end in ends.values():
            log.warning("%s gave up a call of %d: %s", end.call.spec.name, len(end.call.leases), end.message)
            self._on_end(end)
            self._submitters[end.call.spec.place].cancel(end.call.call_id)

    def _judge(self, lease: Lease) -> Settlement:
        attempt = FailedAttempt("WorkerLost", "the lease ran out and nobody knows its worker")
        return after_attempt(self._handlers[lease.name].spec, lease, attempt, self._chance)
