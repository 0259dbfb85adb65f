"""Every name that a client may send has exactly one job."""

import pytest

from cluster.names import OWN_JOBS, QUEUE_OF_JOB, JobName
from cluster.queue.job import Place
from tasks.job import Job, RowJob
from tasks.jobs import not_served
from tasks.pipeline import ARROWS, BELLS
from tasks.registry import JOBS, RegistryWrong, check_registry, job_named

WORK_ON_THE_DATABASE = {JobName.DATABASE_BACKUP, JobName.GATHER_PEOPLE}


def test_every_name_has_exactly_one_job() -> None:
    check_registry()
    assert sorted(job.spec.name for job in JOBS) == sorted(JobName)


def test_a_name_without_a_job_stops_the_start() -> None:
    with pytest.raises(RegistryWrong, match=f"{JOBS[0].spec.name} has 0 jobs"):
        check_registry(JOBS[1:])


def test_a_name_with_two_jobs_stops_the_start() -> None:
    with pytest.raises(RegistryWrong, match=f"{JOBS[3].spec.name} has 2 jobs"):
        check_registry((*JOBS, JOBS[3]))


def test_a_job_is_found_by_its_name() -> None:
    assert [job_named(name).spec.name for name in JobName] == list(JobName)


def test_rows_run_where_the_database_is_and_pixels_on_the_cluster() -> None:
    for job in JOBS:
        assert isinstance(job, Job | RowJob)
        beside_database = isinstance(job, RowJob) or job.spec.name in WORK_ON_THE_DATABASE
        assert job.spec.place is (Place.ROW_JOBS if beside_database else Place.CLUSTER), job.spec.name


def test_a_job_is_either_done_or_on_the_list() -> None:
    listed = not_served.NOT_SERVED
    assert len(set(listed)) == len(listed)
    assert {job.spec.name for job in not_served.JOBS} == set(listed)


def test_a_placeholder_does_not_raise_the_batch_of_a_queue_with_work_of_its_own() -> None:
    """A queue leases by its largest batch; what no call can take would be leased and given back, again and again."""
    worked = {job.spec.name: job.spec.batch for job in JOBS if job not in not_served.JOBS}
    for job in not_served.JOBS:
        neighbours = [batch for name, batch in worked.items() if QUEUE_OF_JOB[name] == QUEUE_OF_JOB[job.spec.name]]
        assert not neighbours or job.spec.batch <= max(neighbours), job.spec.name


def test_the_pipeline_leads_to_jobs_that_exist() -> None:
    for line in (*ARROWS, *BELLS):
        assert job_named(line.after)
    for arrow in ARROWS:
        assert job_named(arrow.then)


def test_a_job_of_ours_shows_as_one_that_clients_know() -> None:
    for name in JobName:
        shown = job_named(name).spec.wire_name
        assert (shown is not None) == (name in OWN_JOBS), name
        assert shown not in OWN_JOBS
