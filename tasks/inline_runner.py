"""A Submitter that runs `work` in this process, in threads of its own: tests and debugging need no Ray.

What goes in and out is pickled on the way, as Ray would, so that a job that cannot travel is found here.
"""

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cluster.loops.submitter import Call, CallEnd, CallLost, CallReturned, LossReason
from cluster.names import QueueName
from cluster.queue.job import WorkResult
from tasks.run_call import run_items
from tasks.tools import Tools

NODE = "inline"


class InlineRunner:
    """Runs calls one after the other on each of `threads`, each with tools of its own. `close` it at the end."""

    def __init__(self, threads: int = 1) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inline")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._cancelled: dict[str, threading.Event] = {}
        self._tools: list[Tools] = []

    def submit(self, call: Call, on_end: Callable[[CallEnd], None]) -> None:
        with self._lock:
            self._cancelled[call.call_id] = threading.Event()
        self._executor.submit(self._run, call, on_end)

    def cancel(self, call_id: str) -> None:
        with self._lock:
            if call_id in self._cancelled:
                self._cancelled[call_id].set()

    def nodes_for(self, queue: QueueName) -> int:
        return 1

    def close(self) -> None:
        """Finish what was submitted, then end the programs."""
        self._executor.shutdown()
        for tools in self._tools:
            tools.close()

    def _run(self, call: Call, on_end: Callable[[CallEnd], None]) -> None:
        cancelled = self._cancelled[call.call_id]
        in_hand: list[int | None] = [0]
        try:
            results = self._results(call, cancelled, lambda index: in_hand.__setitem__(0, index))
            end: CallEnd = CallReturned(call, results)
        except Exception as error:  # what `work` raises is a value by now: this is the call itself
            end = CallLost(call, LossReason.WORKER, f"{type(error).__name__}: {error}", NODE, in_hand[0])
        with self._lock:
            del self._cancelled[call.call_id]
        if cancelled.is_set():
            end = CallLost(call, LossReason.CANCELLED, "cancelled", NODE)
        on_end(end)

    def _results(
        self, call: Call, cancelled: threading.Event, in_hand: Callable[[int | None], None]
    ) -> tuple[WorkResult, ...]:
        tools = self._tools_of_this_thread()
        tools.cancelled = cancelled
        tickets, inputs = _through_pickle(([lease.ticket for lease in call.leases], call.inputs))
        return call.results(NODE, _through_pickle(run_items(call.spec.name, tickets, inputs, tools, NODE, in_hand)))

    def _tools_of_this_thread(self) -> Tools:
        if not hasattr(self._own, "tools"):
            self._own.tools = Tools()
            with self._lock:
                self._tools.append(self._own.tools)
        tools: Tools = self._own.tools
        return tools


def _through_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 (our own bytes)
