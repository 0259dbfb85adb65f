"""Keeps leases: extends those of calls that are heard, ends calls that are overdue, renews the ownership of queues.
It also writes down how far jobs are.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from cluster.loops.dispatcher import LEASE_S, Identity
from cluster.loops.in_flight import InFlight, OutCall
from cluster.loops.submitter import CallEnd, CallLost, LossReason, Submitter
from cluster.names import QueueName
from cluster.queue.job import JobId, LeaseToken, Place
from cluster.queue.store import QueueStore, Transaction

log = logging.getLogger(__name__)

OWNERSHIP_TTL_S = 20.0
EVERY_S = 4.0


class Ends(Protocol):
    """Takes the end of a call."""

    def __call__(self, end: CallEnd) -> None: ...


def share_of(controller: str, present: Sequence[str]) -> set[QueueName]:
    """The queues of one of these controllers: every so many of them, so that each has some of the busy ones."""
    return set(list(QueueName)[present.index(controller) :: len(present)])


class Keeper:
    """`owned` is the set of queues that are ours now; another controller may hold the rest. `restart_controller` is
    told of one that was heard of and is not any more: if it is frozen, it also keeps the workers that it had."""

    def __init__(
        self,
        store: QueueStore,
        in_flight: InFlight,
        submitters: Mapping[Place, Submitter],
        identity: Identity,
        on_end: Ends,
        unsettled: Callable[[], Sequence[tuple[JobId, LeaseToken]]],
        now_s: Callable[[], float] = time.monotonic,
        restart_controller: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._store, self._in_flight, self._submitters = store, in_flight, submitters
        self._identity, self._on_end, self._unsettled = identity, on_end, unsettled
        self._now_s, self._restart_controller = now_s, restart_controller
        self._present: set[str] = set()
        self._owned: set[QueueName] = set()
        self._owned_until_s = float("-inf")
        self._lost: set[JobId] = set()
        self._lock = threading.Lock()

    @property
    def owned(self) -> set[QueueName]:
        """None once they were not renewed in time: whoever was frozen, or cut off from the database, owns nothing."""
        with self._lock:
            return set(self._owned) if self._now_s() < self._owned_until_s else set()

    def tick(self) -> float:
        """Once: ownership, extensions, progress, timeouts."""
        held: set[JobId] = set()
        began_s, before = self._now_s(), self.owned
        with self._store.transaction() as tx:
            present = self._store.present(tx, self._identity.controller, OWNERSHIP_TTL_S)
            owned = self._own(tx, present, before)
            # in the order in which a call moves, so that one that ends meanwhile is not missed
            alive = [*self._in_flight.alive(), *self._unsettled()]
            if alive:
                held = self._store.extend(tx, alive, LEASE_S)
            # after the extension, which holds the rows already and in the right order
            self._store.note_progress(tx, self._in_flight.in_hand())
        with self._lock:
            self._owned, self._owned_until_s = owned, began_s + OWNERSHIP_TTL_S
        for change, queues in (("owns", owned - before), ("leaves to another", before - owned)):
            if queues:
                log.info("this controller %s %s", change, ", ".join(sorted(queues)))
        # whoever was away from the database, too, cannot tell who else was
        for name in self._present.difference(present) if before else ():
            log.warning("%s is not heard of any more, its queues are shared out; it is started anew", name)
            self._restart_controller(name)
        self._present = set(present)
        self._end_cancelled({job_id for job_id, _ in alive} - held)
        for entry in self._in_flight.overdue():
            self._give_up(entry)
        return EVERY_S

    def _own(self, tx: Transaction, present: Sequence[str], before: set[QueueName]) -> set[QueueName]:
        """Our share of the queues. Why they wait is ours to say from now on."""
        me = self._identity.controller
        share = share_of(me, present)
        if of_others := set(QueueName) - share:
            self._store.disown(tx, of_others, me)
        owned = self._store.own(tx, share, me, OWNERSHIP_TTL_S)
        self._store.say_why_waiting(tx, dict.fromkeys(sorted(owned - before), ""))
        return owned

    def _end_cancelled(self, lost: set[JobId]) -> None:
        """End calls of which somebody took a job away; their other jobs go back. One that ends by itself lets go of
        its jobs a moment before it is out of the book, so only what is lost at two looks counts."""
        cancelled, self._lost = lost & self._lost, lost
        for entry in self._in_flight.everything() if cancelled else ():
            if cancelled.isdisjoint(entry.leases):
                continue
            call = entry.call
            log.info("a call of %s is ended: a job of it was cancelled", call.spec.name)
            self._on_end(CallLost(call, LossReason.CANCELLED, "cancelled"))
            self._submitters[call.spec.place].cancel(call.call_id)

    def _give_up(self, entry: OutCall) -> None:
        """The job in hand ran past its limit: its worker is ended, its neighbours go back."""
        call, beat = entry.call, entry.beat
        assert beat is not None
        message = f"{call.spec.name} ran for {beat.in_hand_s:.0f} s, its limit is {call.spec.timeout_s:.0f} s"
        if beat.in_hand is None:
            message += f" for each of {len(call.leases)} in one go"
        log.warning("%s on %s", message, beat.node)
        self._on_end(CallLost(call, LossReason.TIMEOUT, message, node=beat.node, in_hand=beat.in_hand))
        self._submitters[call.spec.place].cancel(call.call_id)
