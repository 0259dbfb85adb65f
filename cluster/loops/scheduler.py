"""Timetable → enqueue: every entry at its times, exactly once in the whole cluster.

Each entry has a note in the database: its cron expression and the last of its times that was seen to. Whoever replaces
the note with a newer time enqueues the entry's jobs in the same transaction; of several schedulers, one can. After a
time when no server ran, the last time that was missed is made up for, once. A changed expression starts anew, from when
this scheduler looked last: what it would have meant before that is nobody's wish.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol

from cluster.clock import Clock
from cluster.config_tree import CronSwitch
from cluster.loops.cron import parse_cron
from cluster.names import JobName
from cluster.queue.job import NewJob, Priority
from cluster.queue.store import QueueStore, Transaction
from cluster.system_config import SystemConfig

CLOCK_WAS_WRONG = timedelta(days=1)
"""A note from further ahead than clocks of one cluster differ was written by a clock that has been put right since."""


@dataclass(frozen=True, slots=True)
class TimetableEntry:
    """`jobs` are enqueued at the times of the expression `cron`, which is None while this is switched off.

    Both are asked at every look, with the config in force. `name` is the key of its note: never change it.
    """

    name: str
    cron: Callable[[SystemConfig], str | None]
    jobs: Callable[[SystemConfig], Sequence[NewJob]]


def by_cron(name: str, setting: Callable[[SystemConfig], CronSwitch], job: JobName) -> TimetableEntry:
    """An entry for one job that an admin can switch off and whose expression an admin sets."""
    return TimetableEntry(name, lambda config: _cron_of(setting(config)), lambda config: [nightly_job(job)])


def nightly_job(name: JobName, **payload: Any) -> NewJob:
    """A job that nobody waits for. While one waits, a second changes nothing."""
    return NewJob(name, payload, Priority.NIGHTLY, dedup_key=str(name))


def _cron_of(setting: CronSwitch) -> str | None:
    return setting.cron_expression if setting.enabled else None


Note = Mapping[str, Any]


class Notes(Protocol):
    """Small values in the database, by key."""

    def read(self, tx: Transaction, key: str) -> Note | None: ...

    def replace(self, tx: Transaction, key: str, before: Note | None, after: Note) -> bool:
        """Write `after` if the value still is `before`; returns whether it was."""
        ...


class Scheduler:
    """`zone`: of the times in the timetable, None for the machine's own."""

    def __init__(
        self,
        store: QueueStore,
        clock: Clock,
        timetable: Sequence[TimetableEntry],
        read_config: Callable[[Transaction], SystemConfig],
        notes: Notes,
        zone: tzinfo | None = None,
    ) -> None:
        self._store, self._clock, self._timetable = store, clock, timetable
        self._read_config, self._notes, self._zone = read_config, notes, zone
        self._looked_at: datetime | None = None

    def tick(self) -> float:
        now = self._clock.now()
        with self._store.transaction(reading=True) as tx:
            config = self._read_config(tx)
            noted = [self._notes.read(tx, note_key(entry)) for entry in self._timetable]
        for entry, note in zip(self._timetable, noted, strict=True):
            self._look(entry, note, config, now)
        self._looked_at = now
        return self._seconds_to_next_look(config)

    def _look(self, entry: TimetableEntry, note: Note | None, config: SystemConfig, now: datetime) -> None:
        cron = entry.cron(config)
        seen_to = self._seen_to(note, cron, now)
        due_at = parse_cron(cron).latest(seen_to, now, self._zone) if cron is not None else None
        after = {**(note or {}), "cron": cron, "at": (due_at or seen_to).isoformat()}
        if due_at is not None:
            after["ran"] = now.isoformat()
        if after == note:
            return
        with self._store.transaction() as tx:
            if self._notes.replace(tx, note_key(entry), note, after) and due_at is not None:
                self._store.enqueue(tx, entry.jobs(config))

    def _seen_to(self, note: Note | None, cron: str | None, now: datetime) -> datetime:
        """Everything up to here is done or not wanted."""
        if note is not None and note["cron"] == cron:
            at = datetime.fromisoformat(note["at"])
            if at - now < CLOCK_WAS_WRONG:
                return at
        return min(self._looked_at or now, now)

    def _seconds_to_next_look(self, config: SystemConfig) -> float:
        crons = [entry.cron(config) for entry in self._timetable]
        by_minutes = all(parse_cron(cron).on_whole_minutes for cron in crons if cron is not None)
        time = self._clock.now()
        return (60.0 - time.second if by_minutes else 1.0) - time.microsecond / 1e6


def note_key(entry: TimetableEntry) -> str:
    """Where it is noted until when an entry has been seen to, `cron` and `at`, and when its jobs were enqueued last,
    `ran`, which is later than their time where the server was off then."""
    return f"schedule:{entry.name}"
