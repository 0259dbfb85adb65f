"""Ends sessions that ran out, or that nobody used for three months, and forgets tries of secrets that are paid off and
addresses that nobody came from for as long. Nightly. After: nothing.

Source: spec/pipeline.md §8.
"""

from datetime import timedelta

from sqlalchemy import delete

from cluster.db.queries import tries
from cluster.db.tables.user import Session
from cluster.names import JobName
from cluster.queue.job import Done, Lease
from tasks.job import Context, RowJob
from tasks.queue_all import queue_all_spec

SPEC = queue_all_spec(JobName.SESSION_CLEANUP)

IDLE = timedelta(days=90)


def run(context: Context, lease: Lease) -> Done:
    over = (Session.updated_at <= context.now - IDLE) | (Session.expires_at <= context.now)
    context.session.execute(delete(Session).where(over).execution_options(synchronize_session=False))
    tries.forget_old(context.session, context.now, context.now - IDLE)
    return Done()


JOB = RowJob(SPEC, run)
