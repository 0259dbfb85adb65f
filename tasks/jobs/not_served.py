"""Jobs that Immich knows and we do not do. They end as Skipped, so that what follows them still runs."""

from collections.abc import Sequence

from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, Skipped
from tasks.job import Context, Job

J = JobName

NOT_SERVED: tuple[JobName, ...] = (
    J.ASSET_EDIT_THUMBNAIL_GENERATION,  # editor
    J.HLS_SESSION_CLEANUP,  # HLS
    J.NOTIFICATIONS_CLEANUP,  # notifications
    J.SEND_MAIL,  # e-mail
    J.NOTIFY_ALBUM_INVITE,
    J.NOTIFY_ALBUM_UPDATE,
    J.NOTIFY_USER_SIGNUP,
    J.WORKFLOW_ASSET_TRIGGER,  # workflow
)
"""Out of scope."""


BUSY_QUEUES = frozenset({QueueName.METADATA_EXTRACTION, QueueName.THUMBNAIL_GENERATION, QueueName.BACKGROUND_TASK})
"""Queues with work of their own. A queue leases by its largest batch, which must not come from here."""


def _skipped_job(name: JobName) -> Job:
    """A job that `load` settles. It costs no call, so one batch takes many."""
    batch = 1 if QUEUE_OF_JOB[name] in BUSY_QUEUES else 128
    return Job(JobSpec(name, batch=batch), _skip_all, _never_called, _never_called)


def _skip_all(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [Skipped("not served")] * len(leases)


def _never_called(*arguments: object) -> frozenset[Fact]:
    raise AssertionError("load settles every job")


JOBS: tuple[Job, ...] = tuple(map(_skipped_job, NOT_SERVED))
