"""Runs what needs the database. Jobs that are rows: each page is one transaction in which it is also settled, so
cursor and rows agree. Jobs that are work (a backup): outside any transaction, and the controller settles them.
"""

import logging
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from cluster.loops.settler import Settler
from cluster.loops.submitter import Call, CallReturned
from cluster.names import JobName
from cluster.queue.job import Crashed, FailedAttempt, Handler, Lease, Outcome, Worked, WorkResult
from cluster.queue.store import QueueStore
from cluster.telemetry import lines_about
from tasks.binding import BoundRowJob
from tasks.run_call import run_items, subject_of
from tasks.tools import Tools

log = logging.getLogger(__name__)

Beats = Callable[[str, Tools], AbstractContextManager[Callable[[int | None], None]]]
"""`beats(call_id, tools)`: while it is open the controller hears that the call lives; gives what to tell which of its
jobs is in hand."""


@contextmanager
def silent(call_id: str, tools: Tools) -> Iterator[Callable[[int | None], None]]:
    """No beats: for calls that nobody gives up."""
    yield lambda index: None


class RowRunner:
    """`run` returns when every job of the call is settled, or has its result. Needs the database: api nodes only.
    `node`: this machine's name, its host name unless it is told."""

    def __init__(
        self,
        store: QueueStore,
        settler: Settler,
        handlers: Mapping[JobName, Handler],
        database_url: str | None = None,
        beats: Beats = silent,
        node: str = "",
    ) -> None:
        self._store, self._settler, self._handlers = store, settler, handlers
        self._database_url, self._beats = database_url, beats
        self._node = node or socket.gethostname()

    def run(self, call: Call) -> CallReturned:
        if not isinstance(self._handlers[call.spec.name], BoundRowJob):
            return CallReturned(call, call.results(self._node, self._work(call)))
        for lease in call.leases:
            started_s = time.perf_counter()
            with lines_about(subject_of(lease.name, lease.ticket, self._node)):
                try:
                    self._run_one(lease, started_s)
                except Exception as error:
                    log.exception("failed")
                    self._settle_crash(lease, error, started_s)
        return CallReturned(call, (), settled=True)

    def _work(self, call: Call) -> list[Worked]:
        tools = Tools(self._database_url)
        tickets = [lease.ticket for lease in call.leases]
        try:
            with self._beats(call.call_id, tools) as in_hand:
                return run_items(call.spec.name, tickets, call.inputs, tools, self._node, in_hand)
        finally:
            tools.close()

    def _run_one(self, lease: Lease, started_s: float) -> None:
        handler = self._handlers[lease.name]
        assert isinstance(handler, BoundRowJob), lease.name
        with self._store.transaction() as tx:
            if self._store.held(tx, [lease]):
                outcome = handler.run(tx, lease)
                self._settler.settle_in(tx, [self._result(lease, outcome, started_s)])

    def _settle_crash(self, lease: Lease, error: Exception, started_s: float) -> None:
        attempt = FailedAttempt(type(error).__name__, str(error), traceback.format_exc()[-4000:], node=self._node)
        crashed = Crashed(attempt, retryable=getattr(error, "retryable", True))
        with self._store.transaction() as tx:
            self._settler.settle_in(tx, [self._result(lease, crashed, started_s)])

    def _result(self, lease: Lease, outcome: Outcome, started_s: float) -> WorkResult:
        return WorkResult(lease, outcome, self._node, round((time.perf_counter() - started_s) * 1000))
