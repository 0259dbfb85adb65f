"""Buttons that start jobs: a queue's start, and the manual jobs. Source: spec/queues.md §1, §5, §6."""

from enum import StrEnum
from typing import Any

from cluster.errors import BadRequest
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob, Priority
from serve_app.deps import Caller, Services
from serve_app.services import audit
from serve_app.services.queues import get_queue
from tasks.jobs.back_up_database import back_up_database

START_JOB: dict[QueueName, JobName] = {
    QueueName.THUMBNAIL_GENERATION: JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL,
    QueueName.METADATA_EXTRACTION: JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL,
    QueueName.VIDEO_CONVERSION: JobName.ASSET_ENCODE_VIDEO_QUEUE_ALL,
    QueueName.FACE_DETECTION: JobName.ASSET_DETECT_FACES_QUEUE_ALL,
    QueueName.FACIAL_RECOGNITION: JobName.FACIAL_RECOGNITION_QUEUE_ALL,
    QueueName.SMART_SEARCH: JobName.SMART_SEARCH_QUEUE_ALL,
    QueueName.DUPLICATE_DETECTION: JobName.ASSET_DETECT_DUPLICATES_QUEUE_ALL,
    QueueName.STORAGE_TEMPLATE_MIGRATION: JobName.STORAGE_TEMPLATE_MIGRATION,
    QueueName.MIGRATION: JobName.FILE_MIGRATION_QUEUE_ALL,
    QueueName.SIDECAR: JobName.SIDECAR_QUEUE_ALL,
    QueueName.LIBRARY: JobName.LIBRARY_SCAN_QUEUE_ALL,
    QueueName.BACKUP_DATABASE: JobName.DATABASE_BACKUP,
    QueueName.OCR: JobName.OCR_QUEUE_ALL,
}
"""Queues that are not here cannot be started."""


class ManualJob(StrEnum):
    """Jobs that an admin starts by name."""

    PERSON_CLEANUP = "person-cleanup"
    TAG_CLEANUP = "tag-cleanup"
    USER_CLEANUP = "user-cleanup"
    MEMORY_CLEANUP = "memory-cleanup"
    MEMORY_CREATE = "memory-create"
    BACKUP_DATABASE = "backup-database"
    MISSING_FILES = "integrity-missing-files"
    UNTRACKED_FILES = "integrity-untracked-files"
    CHECKSUM_MISMATCH = "integrity-checksum-mismatch"
    MISSING_FILES_REFRESH = "integrity-missing-files-refresh"
    UNTRACKED_FILES_REFRESH = "integrity-untracked-files-refresh"
    CHECKSUM_MISMATCH_REFRESH = "integrity-checksum-mismatch-refresh"
    MISSING_FILES_DELETE = "integrity-missing-files-delete-all"
    UNTRACKED_FILES_DELETE = "integrity-untracked-files-delete-all"
    CHECKSUM_MISMATCH_DELETE = "integrity-checksum-mismatch-delete-all"


def _once(name: JobName, **payload: Any) -> NewJob:
    """A job of which one waits, however often it is asked for with the same arguments."""
    return NewJob(name, payload, dedup_key=":".join([name, *map(str, payload.values())]))


MANUAL: dict[ManualJob, NewJob] = {
    ManualJob.PERSON_CLEANUP: NewJob(JobName.PERSON_CLEANUP),
    ManualJob.TAG_CLEANUP: NewJob(JobName.TAG_CLEANUP),
    ManualJob.USER_CLEANUP: NewJob(JobName.USER_DELETE_CHECK),
    ManualJob.MEMORY_CLEANUP: NewJob(JobName.MEMORY_CLEANUP),
    ManualJob.MEMORY_CREATE: NewJob(JobName.MEMORY_GENERATE),
    ManualJob.BACKUP_DATABASE: back_up_database(),
    ManualJob.MISSING_FILES: _once(JobName.INTEGRITY_MISSING_FILES_QUEUE_ALL),
    ManualJob.UNTRACKED_FILES: _once(JobName.INTEGRITY_UNTRACKED_FILES_QUEUE_ALL),
    ManualJob.CHECKSUM_MISMATCH: _once(JobName.INTEGRITY_CHECKSUM_FILES),
    ManualJob.MISSING_FILES_REFRESH: _once(JobName.INTEGRITY_MISSING_FILES_QUEUE_ALL, refreshOnly=True),
    ManualJob.UNTRACKED_FILES_REFRESH: _once(JobName.INTEGRITY_UNTRACKED_FILES_QUEUE_ALL, refreshOnly=True),
    ManualJob.CHECKSUM_MISMATCH_REFRESH: _once(JobName.INTEGRITY_CHECKSUM_FILES, refreshOnly=True),
    ManualJob.MISSING_FILES_DELETE: _once(JobName.INTEGRITY_DELETE_REPORT_TYPE, type="missing_file"),
    ManualJob.UNTRACKED_FILES_DELETE: _once(JobName.INTEGRITY_DELETE_REPORT_TYPE, type="untracked_file"),
    ManualJob.CHECKSUM_MISMATCH_DELETE: _once(JobName.INTEGRITY_DELETE_REPORT_TYPE, type="checksum_mismatch"),
}


def start_queue(services: Services, queue: QueueName, force: bool | None, by: Caller | None = None) -> None:
    """Enqueue the queue's start job. Raises BadRequest when it runs already, or has nothing to start."""
    if get_queue(services, queue).active > 0:
        raise BadRequest("Job is already running")
    if queue not in START_JOB:
        raise BadRequest(f"Invalid job name: {queue}")
    payload = {} if force is None else {"force": force}
    job = NewJob(START_JOB[queue], payload, Priority.PERSON_WAITS, dedup_key=START_JOB[queue])
    how = {True: "all", False: "missing", None: ""}[force]
    _enqueue(services, job, by, "start", queue, how)


def run_manual_job(services: Services, manual: ManualJob, by: Caller | None = None) -> None:
    job = MANUAL[manual]
    # one that waits, from here or from the timetable, is enough; those that differ by payload alone are different jobs
    key = job.dedup_key or (f"{job.name}:{manual}" if job.payload else str(job.name))
    _enqueue(services, NewJob(job.name, job.payload, Priority.PERSON_WAITS, dedup_key=key), by, "create", manual)


def _enqueue(services: Services, job: NewJob, by: Caller | None, action: str, subject: str, how: str = "") -> None:
    """`by` None: the server itself."""
    with services.database.session(durable=True) as session:
        services.store.enqueue(session, [job])
        if by is not None:
            audit.note(session, services, by, action, subject, how)
