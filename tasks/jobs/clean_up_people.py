"""Deletes people of whom no face is left to see, and their pictures. Nightly, by hand, and after "Refresh" of faces.

After: FileDelete. Source: spec/pipeline.md §8, spec/jobs-ml.md §7.2.
"""

from sqlalchemy import delete, exists, not_, select

from cluster.db.tables.person import AssetFace, Person
from cluster.names import JobName
from cluster.queue.job import Done, Lease, More
from tasks.job import Context, RowJob
from tasks.jobs.delete_files import delete_files
from tasks.queue_all import PAGE, cursor, queue_all_spec

SPEC = queue_all_spec(JobName.PERSON_CLEANUP)

_FACELESS = not_(exists().where(AssetFace.person_id == Person.id, AssetFace.is_visible, AssetFace.deleted_at.is_(None)))


def run(context: Context, lease: Lease) -> Done | More:
    session = context.session
    page = session.scalars(select(Person.id).where(Person.id > cursor(lease)).order_by(Person.id).limit(PAGE)).all()
    # the condition once more, since a face may have been given to one of them meanwhile
    paths = session.scalars(
        delete(Person)
        .where(Person.id.in_(page), _FACELESS)
        .returning(Person.thumbnail_path)
        .execution_options(synchronize_session=False)
    ).all()
    if pictures := sorted(path for path in paths if path):
        context.store.enqueue(session, [delete_files(pictures)])
    return Done() if len(page) < PAGE else More(None, {**lease.payload, "after": page[-1]})


JOB = RowJob(SPEC, run)
