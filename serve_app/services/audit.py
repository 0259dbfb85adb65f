"""Who did what to the queues and the settings: a line in the transaction that does it, and the list of lines."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from cluster.db.queries import admin_actions, users
from cluster.db.tables.audit import AdminAction
from serve_app.deps import Caller, Services

DETAIL_MOST = 4000
LINES_AT_ONCE = 100


def note(session: Session, services: Services, by: Caller, action: str, subject: str, detail: str = "") -> None:
    """Write down that somebody did this."""
    name, at = name_of(session, by), services.clock.now()
    admin_actions.add(session, at, by.user_id, name, action, subject, detail[:DETAIL_MOST])


def counted(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def name_of(session: Session, caller: Caller) -> str:
    """The name that people know somebody by."""
    user = users.by_id(session, caller.user_id)
    return (user.name or user.email) if user is not None else "somebody"


def list_actions(
    services: Services, below_id: int | None = None, action: str = "", subject: str = ""
) -> Sequence[AdminAction]:
    """Newest first, `LINES_AT_ONCE` at most; the next ones lie below the last one's id."""
    with services.database.reader() as session:
        return admin_actions.newest(session, LINES_AT_ONCE, below_id, action, subject)
