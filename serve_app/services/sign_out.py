"""Ending sessions."""

from cluster.db.queries import users
from cluster.errors import BadRequest
from cluster.queue.job import NewEvent
from serve_app.deps import Caller, Services


def sign_out(services: Services, caller: Caller) -> None:
    """End the session that asks; an API key has none."""
    if caller.session_id is not None:
        end_session(services, caller.user_id, caller.session_id)


def end_session(services: Services, user_id: str, session_id: str) -> None:
    """End one session of a user, and tell its client. Raises BadRequest when it is not theirs."""
    with services.database.session(durable=True) as session:
        if not users.delete_sessions(session, user_id, only=session_id):
            raise BadRequest("Not found or no authDevice.delete access")
        services.store.emit(session, [NewEvent("session_delete", user_id, {"session_id": session_id})])


def end_other_sessions(services: Services, caller: Caller) -> None:
    """End every session of the caller but the one that asks."""
    with services.database.session(durable=True) as session:
        users.delete_sessions(session, caller.user_id, keep=caller.session_id or "")
