"""Every job by name, a plain list. A name with no job or with two stops start-up."""

from collections import Counter
from functools import cache

from cluster.errors import HeliostatError
from cluster.names import JobName
from tasks.job import AnyJob
from tasks.jobs import (
    back_up_database,
    check_checksums,
    check_library,
    check_missing_files,
    check_sidecar,
    check_untracked_files,
    check_version,
    clean_up_history,
    clean_up_memories,
    clean_up_people,
    clean_up_sessions,
    clean_up_tags,
    crawl_library,
    delete_assets,
    delete_files,
    delete_integrity_reports,
    delete_library,
    delete_users,
    detect_duplicates,
    detect_faces,
    encode_video,
    encode_video_part,
    extract_metadata,
    gather_people,
    generate_memories,
    generate_thumbnails,
    import_library_files,
    join_video_parts,
    migrate_files,
    migrate_library,
    migrate_person_file,
    migrate_storage_template,
    not_served,
    picture_person,
    read_text,
    recognize_faces,
    reconcile,
    refresh_integrity_reports,
    remove_library_files,
    scan_libraries,
    smart_search,
    sync_usage,
    write_sidecar,
)

JOBS: tuple[AnyJob, ...] = (
    extract_metadata.JOB,
    extract_metadata.QUEUE_ALL,
    check_sidecar.JOB,
    check_sidecar.QUEUE_ALL,
    write_sidecar.JOB,
    migrate_storage_template.JOB,
    migrate_library.JOB,
    migrate_files.JOB,
    migrate_files.QUEUE_ALL,
    migrate_person_file.JOB,
    generate_thumbnails.JOB,
    generate_thumbnails.QUEUE_ALL,
    picture_person.JOB,
    detect_faces.JOB,
    detect_faces.QUEUE_ALL,
    recognize_faces.JOB,
    recognize_faces.QUEUE_ALL,
    gather_people.JOB,
    detect_duplicates.JOB,
    detect_duplicates.QUEUE_ALL,
    read_text.JOB,
    read_text.QUEUE_ALL,
    encode_video.JOB,
    encode_video.QUEUE_ALL,
    encode_video_part.JOB,
    join_video_parts.JOB,
    delete_files.JOB,
    back_up_database.JOB,
    delete_assets.JOB,
    delete_assets.CHECK,
    delete_assets.EMPTY_TRASH,
    delete_users.JOB,
    delete_users.CHECK,
    sync_usage.JOB,
    clean_up_people.JOB,
    clean_up_tags.JOB,
    clean_up_sessions.JOB,
    clean_up_history.JOB,
    clean_up_memories.JOB,
    generate_memories.JOB,
    check_version.JOB,
    scan_libraries.JOB,
    crawl_library.JOB,
    import_library_files.JOB,
    check_library.QUEUE_ALL,
    check_library.JOB,
    remove_library_files.JOB,
    delete_library.CHECK,
    delete_library.JOB,
    check_missing_files.QUEUE_ALL,
    check_missing_files.JOB,
    check_untracked_files.QUEUE_ALL,
    check_untracked_files.JOB,
    check_checksums.JOB,
    *refresh_integrity_reports.JOBS,
    delete_integrity_reports.BY_TYPE,
    delete_integrity_reports.JOB,
    smart_search.JOB,
    smart_search.QUEUE_ALL,
    reconcile.JOB,
    *not_served.JOBS,
)


class RegistryWrong(HeliostatError):
    """Names without a job, or with more than one."""


def check_registry(jobs: tuple[AnyJob, ...] = JOBS) -> None:
    """Raise RegistryWrong, naming every culprit, unless each JobName has exactly one job. Called at start-up."""
    times = Counter(job.spec.name for job in jobs)
    wrong = [f"{name} has {times[name]} jobs" for name in JobName if times[name] != 1]
    if wrong:
        raise RegistryWrong("; ".join(wrong))


@cache
def _by_name() -> dict[JobName, AnyJob]:
    return {job.spec.name: job for job in JOBS}


def job_named(name: JobName) -> AnyJob:
    """The job of that name."""
    return _by_name()[name]
