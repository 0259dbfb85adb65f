"""Every job by name, a plain list. A name with no job or with two stops start-up."""

from collections import Counter
from functools import cache

from cluster.errors import HeliostatError
from cluster.names import JobName
from tasks.job import AnyJob
from tasks.jobs import (
    back_up_database,
    check_sidecar,
    delete_files,
    extract_metadata,
    generate_thumbnails,
    migrate_storage_template,
    not_implemented,
    write_sidecar,
)

JOBS: tuple[AnyJob, ...] = (
    extract_metadata.JOB,
    extract_metadata.QUEUE_ALL,
    check_sidecar.JOB,
    check_sidecar.QUEUE_ALL,
    write_sidecar.JOB,
    migrate_storage_template.JOB,
    generate_thumbnails.JOB,
    generate_thumbnails.QUEUE_ALL,
    delete_files.JOB,
    back_up_database.JOB,
    *not_implemented.JOBS,
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
