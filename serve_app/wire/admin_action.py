"""What admins did, as our own pages see it."""

from cluster.db.tables.audit import AdminAction
from serve_app.wire.common import Wire, WireTime


class AdminActionSeen(Wire):
    """One line. `subject`: a queue, a job, a setting; `detail`: for people."""

    id: int
    at: WireTime
    user_id: str | None
    user_name: str
    action: str
    subject: str
    detail: str


def admin_action(line: AdminAction) -> AdminActionSeen:
    return AdminActionSeen(
        id=line.id,
        at=line.at,
        user_id=line.user_id,
        user_name=line.user_name,
        action=line.action,
        subject=line.subject,
        detail=line.detail,
    )
