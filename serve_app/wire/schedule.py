"""What runs at its times, as our own pages see it."""

from cluster.names import JobName
from serve_app.services.queues import shown_name
from serve_app.services.schedule import Scheduled
from serve_app.wire.common import Wire, WireTime
from serve_app.wire.job_details import EndedSeen, ended_seen


class ScheduledSeen(Wire):
    """An entry of the timetable. `cron` null: switched off. `last`: of its last run, the job that ended last."""

    name: str
    cron: str | None
    next_run_at: WireTime | None
    last_run_at: WireTime | None
    last: EndedSeen | None
    jobs: list[JobName]


def scheduled_seen(entry: Scheduled) -> ScheduledSeen:
    return ScheduledSeen(
        name=entry.name,
        cron=entry.cron,
        next_run_at=entry.next_run_at,
        last_run_at=entry.last_run_at,
        last=ended_seen(entry.last, shown_name(entry.last.name)) if entry.last is not None else None,
        jobs=list(entry.jobs),
    )
