"""What runs at its times: when next, what became of the last run, and running it now."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from cluster.clock import Clock
from cluster.db.queries import job_details, notes
from cluster.db.queries.job_details import EndedJob
from cluster.errors import NotFound
from cluster.loops.cron import parse_cron
from cluster.loops.scheduler import TimetableEntry, note_key
from cluster.names import JobName
from cluster.system_config import SystemConfig
from serve_app.deps import Caller, Services
from serve_app.services import audit
from serve_app.services.audit import counted
from serve_app.services.system_config import get_config
from tasks.timetable import timetable

CLOCKS_DIFFER = timedelta(minutes=1)
ENQUEUED_WITHIN = timedelta(seconds=30)
"""An entry's jobs are enqueued in the transaction that notes its run. The history has when they ended, what they took
and how long they waited."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """An entry of the timetable. `cron` None: it is switched off. `last_run_at`: when its jobs were enqueued last, by
    their time or by hand; `last`: of the jobs of that run, the one that ended last, while the history has it."""

    name: str
    cron: str | None
    next_run_at: datetime | None
    last_run_at: datetime | None
    last: EndedJob | None
    jobs: tuple[JobName, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """When an entry's jobs were enqueued. `job_ids` None: by their time, which does not say which they were."""

    at: datetime
    job_ids: frozenset[int] | None = None

    def has(self, job: EndedJob) -> bool:
        """Others of the same name are started by a queue's button, or by another job."""
        if self.job_ids is not None:
            return job.job_id in self.job_ids
        return abs(job.enqueued_at - self.at) <= ENQUEUED_WITHIN


def list_schedule(services: Services) -> list[Scheduled]:
    """In the timetable's order."""
    config = get_config(services)
    with services.database.reader() as session:
        return [_scheduled(session, entry, config, services.clock) for entry in timetable(services.settings)]


def _scheduled(session: Session, entry: TimetableEntry, config: SystemConfig, clock: Clock) -> Scheduled:
    cron, now = entry.cron(config), clock.now()
    jobs = tuple(job.name for job in entry.jobs(config))
    run = _last_run(session, entry)
    ended = job_details.ended_since(session, jobs, run.at - CLOCKS_DIFFER) if run is not None else []
    return Scheduled(
        name=entry.name,
        cron=cron,
        next_run_at=parse_cron(cron).next(now, None) if cron is not None else None,
        last_run_at=run.at if run is not None else None,
        last=next((job for job in ended if run is not None and run.has(job)), None),
        jobs=jobs,
    )


def _last_run(session: Session, entry: TimetableEntry) -> Run | None:
    note, by_hand = notes.read(session, note_key(entry)), notes.read(session, _by_hand(entry))
    runs = []
    if note is not None and "ran" in note:
        runs.append(Run(datetime.fromisoformat(note["ran"])))
    if by_hand is not None:
        runs.append(Run(datetime.fromisoformat(by_hand["at"]), frozenset(by_hand["jobs"])))
    return max(runs, key=lambda run: run.at, default=None)


def _by_hand(entry: TimetableEntry) -> str:
    """The note's key: when it was run by hand last, and which jobs that were."""
    return f"{note_key(entry)}:by-hand"


def run_now(services: Services, name: str, by: Caller) -> int:
    """Enqueue what the entry would at its time, also while it is switched off; returns how many jobs are new. Raises
    NotFound."""
    entry = next((one for one in timetable(services.settings) if one.name == name), None)
    if entry is None:
        raise NotFound(f"Nothing in the timetable is called {name}")
    config = get_config(services)
    with services.database.session(durable=True) as session:
        jobs = entry.jobs(config)
        new = services.store.enqueue(session, jobs)
        ids = job_details.ids_of_waiting(session, [job.dedup_key for job in jobs if job.dedup_key is not None])
        notes.write(session, _by_hand(entry), {"at": services.clock.now().isoformat(), "jobs": ids})
        audit.note(session, services, by, "run", name, counted(new, "job"))
    return new
