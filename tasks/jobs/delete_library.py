"""Deletes an external library: its assets one by one, then its row. The files are not ours and stay.

Before: a person (LibraryDelete), every scan of all libraries (LibraryDeleteCheck). After: AssetDelete for each asset;
the row goes with a later run that finds none. Source: spec/pipeline.md §6.
"""

from cluster.db.queries import libraries
from cluster.db.tables.asset import Library
from cluster.names import JobName
from cluster.queue.job import Done, Failed, Lease, More, Skipped
from tasks.job import Context, RowJob
from tasks.jobs.delete_assets import delete_asset
from tasks.libraries import delete_job
from tasks.queue_all import PAGE, cursor, queue_all_spec


def check(context: Context, lease: Lease) -> Done:
    """Take up every deletion that is not at its end."""
    jobs = [delete_job(library_id) for library_id in libraries.deleted_ids(context.session)]
    context.store.enqueue(context.session, jobs)
    return Done()


def delete_page(context: Context, lease: Lease) -> Done | More | Skipped | Failed:
    """One page of assets; with none at all, the library itself."""
    library = context.session.get(Library, lease.payload["id"])
    if library is None:
        return Skipped("the library is gone")
    if library.deleted_at is None:
        return Failed(f"the library {library.name} is in use")
    page = libraries.asset_ids_after(context.session, library.id, cursor(lease), PAGE)
    if not page and not cursor(lease):
        libraries.remove(context.session, library.id)
        return Done()
    context.store.enqueue(context.session, [delete_asset(asset_id, delete_on_disk=False) for asset_id in page])
    return More(None, {"id": library.id, "after": page[-1]}) if len(page) == PAGE else Done()


CHECK = RowJob(queue_all_spec(JobName.LIBRARY_DELETE_CHECK), check)
JOB = RowJob(queue_all_spec(JobName.LIBRARY_DELETE), delete_page)
