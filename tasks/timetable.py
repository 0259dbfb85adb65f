"""What runs nightly and by cron, as a value: the scheduler looks at each entry once a minute, with the config in force.

To add one: a line in `TIMETABLE`. Times are in the server's own zone. Source: spec/pipeline.md §8, §9.
"""

import random
from collections.abc import Sequence
from dataclasses import replace

from cluster.loops.scheduler import TimetableEntry, by_cron, nightly_job
from cluster.names import JobName
from cluster.queue.job import NewJob
from cluster.settings import Settings
from cluster.system_config import SystemConfig
from tasks.jobs.check_version import check_version

J = JobName


def nightly_cron(config: SystemConfig) -> str:
    """`startTime` is `HH:MM`."""
    hour, minute = config.nightly_tasks.start_time.split(":")
    return f"{int(minute)} {int(hour)} * * *"


def nightly_jobs(config: SystemConfig) -> Sequence[NewJob]:
    """In Immich's order; ours comes last."""
    wanted = config.nightly_tasks
    jobs: list[NewJob] = []
    if wanted.database_cleanup:
        jobs += [
            nightly_job(J.ASSET_DELETE_CHECK),
            nightly_job(J.USER_DELETE_CHECK),
            nightly_job(J.PERSON_CLEANUP),
            nightly_job(J.MEMORY_CLEANUP),
            nightly_job(J.SESSION_CLEANUP),
            nightly_job(J.AUDIT_TABLE_CLEANUP),
        ]
    if wanted.generate_memories:
        jobs.append(nightly_job(J.MEMORY_GENERATE))
    if wanted.sync_quota_usage:
        jobs.append(nightly_job(J.USER_SYNC_USAGE))
    if wanted.missing_thumbnails:
        jobs.append(nightly_job(J.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL, force=False, nightly=True))
    if wanted.cluster_new_faces:
        jobs.append(nightly_job(J.FACIAL_RECOGNITION_QUEUE_ALL, force=False, nightly=True))
    return [*jobs, nightly_job(J.RECONCILE)]


TIMETABLE: tuple[TimetableEntry, ...] = (
    TimetableEntry("nightly", nightly_cron, nightly_jobs),
    by_cron("database-backup", lambda config: config.backup.database, J.DATABASE_BACKUP),
    by_cron("library-scan", lambda config: config.library.scan, J.LIBRARY_SCAN_QUEUE_ALL),
    by_cron("missing-files", lambda config: config.integrity_checks.missing_files, J.INTEGRITY_MISSING_FILES_QUEUE_ALL),
    by_cron(
        "untracked-files",
        lambda config: config.integrity_checks.untracked_files,
        J.INTEGRITY_UNTRACKED_FILES_QUEUE_ALL,
    ),
    by_cron("checksums", lambda config: config.integrity_checks.checksum_files, J.INTEGRITY_CHECKSUM_FILES),
)
"""`by_cron` is for one job with a switch and a cron expression."""

VERSION_CHECK = TimetableEntry(
    "version-check",
    lambda config: "0 * * * *" if config.new_version_check.enabled else None,
    lambda config: [_some_time_in_the_hour()],
)


def timetable(settings: Settings) -> tuple[TimetableEntry, ...]:
    """What this installation does at its times."""
    return TIMETABLE if settings.version_url is None else (*TIMETABLE, VERSION_CHECK)


def _some_time_in_the_hour() -> NewJob:
    """So that not every server in the world asks at once."""
    return replace(check_version(), delay_s=random.uniform(0, 3000))  # noqa: S311 - no secret
