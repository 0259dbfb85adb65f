"""What runs at its times: when next, what became of the last run, and running it now."""

from dataclasses import dataclass
from datetime import datetime, timedelta

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
from serve_app.services.system_config import get_config
from tasks.timetable import timetable

EXACT = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """An entry of the timetable. `cron` None: it is switched off. `last_run_at`: when its jobs were enqueued by their
    time; `last`: of its jobs, the one that ended last, while the history has it."""

    name: str
    cron: str | None
    next_run_at: datetime | None
    last_run_at: datetime | None
    last: EndedJob | None
    jobs: tuple[JobName, ...]


def list_schedule(services: Services) -> list[Scheduled]:
    """In the timetable's order."""
    config = get_config(services)
    with services.database.reader() as session:
        return [
            _scheduled(
                entry,
                config,
                notes.read(session, note_key(entry)),
                job_details.last_of(session, [job.name for job in entry.jobs(config)]),
                services.clock,
            )
            for entry in timetable(services.settings)
        ]


def _scheduled(
    entry: TimetableEntry, config: SystemConfig, note: dict[str, str] | None, last: EndedJob | None, clock: Clock
) -> Scheduled:
    cron, now = entry.cron(config), clock.now()
    at = datetime.fromisoformat(note["at"]) if note is not None else None
    # the note says up to when it was looked at, which is a run only where the expression says so
    ran = at if at is not None and cron is not None and parse_cron(cron).latest(at - EXACT, at, None) == at else None
    return Scheduled(
        name=entry.name,
        cron=cron,
        next_run_at=parse_cron(cron).next(now, None) if cron is not None else None,
        last_run_at=ran,
        last=last,
        jobs=tuple(job.name for job in entry.jobs(config)),
    )


def run_now(services: Services, name: str, by: Caller) -> int:
    """Enqueue what the entry would at its time, also while it is switched off; returns how many jobs are new. Raises
    NotFound."""
    entry = next((one for one in timetable(services.settings) if one.name == name), None)
    if entry is None:
        raise NotFound(f"Nothing in the timetable is called {name}")
    config = get_config(services)
    with services.database.session(durable=True) as session:
        new = services.store.enqueue(session, entry.jobs(config))
        audit.note(session, services, by, "run", name, f"{new} jobs")
    return new
