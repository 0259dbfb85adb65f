"""Results → rows. Many jobs to a transaction: the token is checked, files are renamed into place, rows are saved, the
job is settled and what follows is enqueued, all or nothing. When a batch fails, each of its jobs is settled on its own.
"""

import logging
import queue
import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from cluster.loops.submitter import CallEnd, CallLost, CallReturned
from cluster.loops.verdict import after_attempt, loss_settlements, settlement
from cluster.names import JobName
from cluster.queue.job import (
    Done,
    FailedAttempt,
    FollowUps,
    Handler,
    JobId,
    Lease,
    LeaseToken,
    More,
    Notice,
    Pipeline,
    Skipped,
    WorkResult,
)
from cluster.queue.store import Fail, QueueStore, Settlement, Transaction
from cluster.storage.files import commit_fenced, discard_fenced

log = logging.getLogger(__name__)

JOBS_PER_TRANSACTION = 256
TRANSACTIONS_APART_S = 0.04
"""From the begin of one to the next, unless it fills up before: what ends meanwhile shares a transaction."""
LOOK_EVERY_S = 0.005
CROWDED = 2048
"""Jobs that may wait here before the dispatcher stops leasing."""
MOST_TRIES = 30
"""How often a call's end comes back when the database refuses it: some minutes, in which a server restarts."""


OnFailed = Callable[[Lease, FailedAttempt], FollowUps]
"""What the last failure of a job causes, beside its row on the list of the failed."""


TellAdmins = Callable[[Transaction, Sequence[Notice]], None]
"""Writes down what admins are told, in the transaction that settles what it is about."""


def nothing_follows(lease: Lease, attempt: FailedAttempt) -> FollowUps:
    """Nobody is told."""
    return FollowUps()


class Settler:
    """An inbox that any thread may drop a call's end into, and the tick that empties it."""

    def __init__(
        self,
        store: QueueStore,
        handlers: Mapping[JobName, Handler],
        pipeline: Pipeline,
        on_settled: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
        on_failed: OnFailed = nothing_follows,
        tell_admins: TellAdmins = lambda tx, notices: None,
    ) -> None:
        self._store, self._handlers, self._pipeline, self._on_failed = store, handlers, pipeline, on_failed
        self._tell_admins = tell_admins
        self._on_settled, self._chance = on_settled, chance
        self._inbox: queue.SimpleQueue[CallEnd] = queue.SimpleQueue()
        self._waiting = 0
        self._unsettled: dict[str, CallEnd] = {}
        self._tries: dict[str, int] = {}
        self._lock = threading.Lock()
        self._began_s = 0.0

    def put(self, end: CallEnd) -> None:
        """Take a call's end; it is settled soon."""
        with self._lock:
            self._waiting += len(end.call.leases)
            self._unsettled[end.call.call_id] = end
        self._inbox.put(end)

    @property
    def crowded(self) -> bool:
        """Too much waits here: lease no more."""
        return self._waiting > CROWDED

    def unsettled(self) -> list[tuple[JobId, LeaseToken]]:
        """Leases of calls that ended and are not settled yet: nobody beats for them, and they are not lost."""
        with self._lock:
            return [(lease.job_id, lease.token) for end in self._unsettled.values() for lease in end.call.leases]

    def tick(self) -> float:
        """Settle what is there; waits up to a quarter second for the first. Raises what the database raised, after
        which everything is in the inbox again."""
        ends = self._take()
        if ends:
            try:
                self.settle(ends)
            except Exception:
                self._put_back(ends)
                raise
        return 0.0

    def drain(self) -> None:
        """Settle everything that is in the inbox now."""
        while not self._inbox.empty():
            self.tick()

    def settle(self, ends: Sequence[CallEnd]) -> None:
        """Settle these calls, together if it works, else job by job. Raises when not even that works."""
        losses = [one for end in ends if isinstance(end, CallLost) for one in loss_settlements(end, self._chance)]
        results = [one for end in ends if isinstance(end, CallReturned) and not end.settled for one in end.results]
        try:
            if results or losses:
                with self._store.transaction() as tx:
                    self.settle_in(tx, results, losses)
        except Exception:
            log.warning("a batch of %d did not settle, trying one by one", len(results) + len(losses), exc_info=True)
            for result in results:
                self._settle_alone(result)
            for loss in losses:
                with self._store.transaction() as tx:
                    self.settle_in(tx, [], [loss])
        self._forget(ends)
        self._on_settled()

    def settle_in(self, tx: Transaction, results: Sequence[WorkResult], losses: Sequence[Settlement] = ()) -> None:
        """Save and settle within the caller's transaction. Results whose lease was lost change nothing."""
        held = self._store.held(tx, [r.lease for r in results] + [loss.lease for loss in losses])
        settlements: list[Settlement] = [loss for loss in losses if loss.lease.job_id in held]
        follow_ups: list[FollowUps] = []
        # whoever writes many assets takes them in this order, so that nobody waits in a circle
        in_order = sorted(results, key=lambda result: result.lease.asset_id or "")
        self.refuse([result for result in in_order if result.lease.job_id not in held])
        ours = [result for result in in_order if result.lease.job_id in held]
        for name, neighbours in groupby(ours, key=lambda result: result.lease.name):
            together, handler = list(neighbours), self._handlers[name]
            settlements += [settlement(handler.spec, result, self._chance) for result in together]
            follow_ups += self._save(tx, handler, together)
        follow_ups += [self._on_failed(one.lease, one.attempt) for one in settlements if isinstance(one, Fail)]
        jobs = [job for follow in follow_ups for job in follow.jobs]
        events = [event for follow in follow_ups for event in follow.events]
        # follow-ups first: whoever counts jobs never sees a chain with nothing left in it before it is done
        if jobs:
            self._store.enqueue(tx, jobs)
        if events:
            self._store.emit(tx, events)
        if notices := [notice for follow in follow_ups for notice in follow.notices]:
            self._tell_admins(tx, notices)
        self._store.settle(tx, settlements)

    def refuse(self, results: Sequence[WorkResult]) -> None:
        """Results that come too late, when the lease is gone: they change nothing, their files go."""
        for result in results:
            lease, output = result.lease, _output(result)
            log.warning("%s (job %s) from %s is refused: its lease is gone", lease.name, lease.job_id, result.node)
            if output is not None:
                for final in self._handlers[lease.name].files(output):
                    discard_fenced(final, lease.token)

    def _save(self, tx: Transaction, handler: Handler, results: Sequence[WorkResult]) -> list[FollowUps]:
        """Files and rows of jobs of one type; returns what follows."""
        worked = [result for result in results if isinstance(result.outcome, Done | More)]
        for result in worked:
            self._commit_files(handler, result)
        saved = handler.save(tx, [(result.lease, _output(result)) for result in worked]) if worked else ()
        facts_of = {result.lease.job_id: facts for result, facts in zip(worked, saved, strict=True)}
        follow_ups = []
        for lease, outcome in ((result.lease, result.outcome) for result in results):
            if isinstance(outcome, Done):
                follow_ups.append(self._pipeline(lease, outcome, facts_of[lease.job_id]))
            elif isinstance(outcome, Skipped):
                follow_ups.append(self._pipeline(lease, outcome, outcome.facts))
        return follow_ups

    def _settle_alone(self, result: WorkResult) -> None:
        try:
            with self._store.transaction() as tx:
                self.settle_in(tx, [result])
        except Exception as error:
            log.exception("saving %s (job %s) failed", result.lease.name, result.lease.job_id)
            attempt = FailedAttempt(
                type(error).__name__, f"saving failed: {error}", traceback.format_exc()[-4000:], node=result.node
            )
            spec = self._handlers[result.lease.name].spec
            with self._store.transaction() as tx:
                self.settle_in(tx, [], [after_attempt(spec, result.lease, attempt, self._chance)])

    def _commit_files(self, handler: Handler, result: WorkResult) -> None:
        for final in handler.files(_output(result)):
            commit_fenced(final, result.lease.token)

    def _put_back(self, ends: Sequence[CallEnd]) -> None:
        """Settling is fenced, so an end of which a part is settled may come again."""
        for end in ends:
            call_id = end.call.call_id
            tries = self._tries[call_id] = self._tries.get(call_id, 0) + 1
            if tries >= MOST_TRIES:
                log.error("%s: its end could not be settled, its jobs will run again", end.call.spec.name)
                self._forget([end])
            else:
                self.put(end)

    def _forget(self, ends: Sequence[CallEnd]) -> None:
        with self._lock:
            for end in ends:
                self._unsettled.pop(end.call.call_id, None)
                self._tries.pop(end.call.call_id, None)

    def _gather(self) -> None:
        """Wait until a transaction is full, or the last one began long enough ago."""
        while self._waiting < JOBS_PER_TRANSACTION and time.monotonic() < self._began_s + TRANSACTIONS_APART_S:
            time.sleep(LOOK_EVERY_S)
        self._began_s = time.monotonic()

    def _take(self) -> list[CallEnd]:
        ends: list[CallEnd] = []
        jobs = 0
        try:
            ends.append(self._inbox.get(timeout=0.25))
            jobs += len(ends[0].call.leases)
            self._gather()
            while jobs < JOBS_PER_TRANSACTION:
                ends.append(self._inbox.get_nowait())
                jobs += len(ends[-1].call.leases)
        except queue.Empty:
            pass
        with self._lock:
            self._waiting -= jobs
        return ends


def _output(result: WorkResult) -> Any:
    return result.outcome.output if isinstance(result.outcome, Done | More) else None
