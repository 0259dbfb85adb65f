"""Timetable → enqueue, once per minute across the cluster: the job and the mark of the minute are one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cluster.clock import Clock
from cluster.queue.job import NewJob
from cluster.queue.store import QueueStore, Transaction


@dataclass(frozen=True, slots=True)
class TimetableEntry:
    """`due(minute)` says whether `jobs` are to be enqueued in that minute; both read the current system config."""

    name: str
    due: Callable[[datetime], bool]
    jobs: Callable[[], Sequence[NewJob]]


class Scheduler:
    """`mark_minute(tx, minute)` is true for the first controller that asks for that minute."""

    def __init__(
        self,
        store: QueueStore,
        clock: Clock,
        timetable: Sequence[TimetableEntry],
        mark_minute: Callable[[Transaction, datetime], bool],
    ) -> None:
        self._store, self._clock, self._timetable, self._mark_minute = store, clock, timetable, mark_minute

    def tick(self) -> float:
        now = self._clock.now()
        minute = now.replace(second=0, microsecond=0)
        due = [entry for entry in self._timetable if entry.due(minute)]
        if due:
            with self._store.transaction() as tx:
                if self._mark_minute(tx, minute):
                    self._store.enqueue(tx, [job for entry in due for job in entry.jobs()])
        return 60.0 - self._clock.now().second
