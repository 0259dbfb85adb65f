"""What people are told, in Immich's spelling. Source: spec/queues.md §4, spec/workers.md §8."""

import uuid
from datetime import datetime

from serve_app.wire.common import Wire, WireTime


class Notification(Wire):
    """`level`: success, error, warning or info. `type`: JobFailed, …"""

    id: str
    created_at: WireTime
    level: str
    type: str
    title: str
    description: str


def failed_job_notification(job_name: str, reason: str, at: datetime) -> Notification:
    """A job that nobody watches has failed for good."""
    return Notification(
        id=str(uuid.uuid4()),
        created_at=at,
        level="error",
        type="JobFailed",
        title="Job Failed",
        description=f"Job {job_name} failed with error: {reason}",
    )
