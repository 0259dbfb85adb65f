"""Scans every external library: the queue's start button and the nightly cron.

Before: a person, the cron. After: LibraryDeleteCheck, and for every library the jobs that find what is new
(crawl_library) and look after what is known (check_library). Source: spec/pipeline.md §6.
"""

from cluster.db.queries import libraries
from cluster.names import JobName
from cluster.queue.job import Done, Lease, NewJob
from tasks.job import Context, RowJob
from tasks.libraries import check_job, crawl_job
from tasks.queue_all import queue_all_spec


def run(context: Context, lease: Lease) -> Done:
    """Deleted libraries are left to LibraryDeleteCheck: a scan of theirs could only fail."""
    found = [library.id for library in libraries.libraries(context.session)]
    check = JobName.LIBRARY_DELETE_CHECK
    jobs = [NewJob(check, dedup_key=check), *map(crawl_job, found), *map(check_job, found)]
    context.store.enqueue(context.session, jobs)
    return Done()


JOB = RowJob(queue_all_spec(JobName.LIBRARY_SCAN_QUEUE_ALL), run)
