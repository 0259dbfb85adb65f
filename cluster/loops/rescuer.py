"""Lease expired → another attempt, or failed. Also: delayed jobs whose time has come wait again.

A lease expires when its worker is no longer heard: the process or machine died, froze or was cut off. What such a
worker still writes changes nothing, since its token is no longer valid. While the database is away nobody can extend
a lease: a call that is still heard, or whose end waits to be settled, is left alone, and the keeper extends it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from cluster.loops.in_flight import InFlight, OutCall
from cluster.loops.submitter import CallEnd, CallLost, LossReason, Submitter
from cluster.names import QueueName
from cluster.queue.job import JobId, LeaseToken, Place
from cluster.queue.store import QueueStore, Release, Settlement

log = logging.getLogger(__name__)

EXPIRED_PER_TICK = 200
EVERY_S, WHILE_DUE_S = 1.0, 0.1


class Rescuer:
    """One tick per second over the queues that this controller owns."""

    def __init__(
        self,
        store: QueueStore,
        in_flight: InFlight,
        submitters: Mapping[Place, Submitter],
        owned: Callable[[], set[QueueName]],
        on_end: Callable[[CallEnd], None],
        on_due: Callable[[], None],
        unsettled: Callable[[], Sequence[tuple[JobId, LeaseToken]]],
    ) -> None:
        self._store, self._in_flight = store, in_flight
        self._submitters, self._owned = submitters, owned
        self._on_end, self._on_due, self._unsettled = on_end, on_due, unsettled

    def tick(self) -> float:
        """Promote what is due, settle what expired. Promotion goes in pieces: while there are more, comes back soon."""
        promoted = 0
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
        return WHILE_DUE_S if promoted else EVERY_S

    def _rescue(self) -> None:
        ends: dict[str, CallLost] = {}
        with self._store.transaction() as tx:
            strangers: list[Settlement] = []
            for lease in self._store.expired(tx, self._owned(), EXPIRED_PER_TICK):
                entry = self._in_flight.holding(lease.job_id, lease.token)
                if entry is not None:
                    if not self._in_flight.believes(entry):
                        ends[entry.call.call_id] = _lost(entry)
                elif (lease.job_id, lease.token) not in self._unsettled():
                    # the controller that leased it is gone, or never submitted it: no attempt of the job
                    strangers.append(Release(lease))
            self._store.settle(tx, strangers)
        for end in ends.values():
            log.warning("%s gave up a call of %d: %s", end.call.spec.name, len(end.call.leases), end.message)
            self._on_end(end)
            self._submitters[end.call.spec.place].cancel(end.call.call_id)


def _lost(entry: OutCall) -> CallLost:
    if entry.beat is None:
        return CallLost(entry.call, LossReason.UNSCHEDULABLE, "it did not start in time")
    message = "its worker was not heard of any more"
    return CallLost(entry.call, LossReason.NODE, message, node=entry.beat.node, in_hand=entry.beat.in_hand)
