"""A person changes their password, and may sign out everywhere else by it."""

from functools import partial

from cluster.db.queries import users
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from serve_app.deps import Caller, Services
from serve_app.services.passwords import hash_password, matches
from serve_app.services.sessions import end_other_sessions
from serve_app.services.tries import is_right, password_tries


def change_password(services: Services, caller: Caller, old: str, new: str, *, sign_out_others: bool) -> User:
    """Raises BadRequest when `old` is wrong, TooManyTries. Blocks."""
    with services.database.reader() as session:
        user = users.by_id(session, caller.user_id)
    if user is None or not is_right(services, password_tries(user.id), partial(matches, old, user.password)):
        raise BadRequest("Wrong password")
    hashed = hash_password(new)
    with services.database.session(durable=True) as session:
        user = session.get_one(User, caller.user_id)
        user.password, user.should_change_password = hashed, False
        user.updated_at = services.clock.now()
    if sign_out_others:
        end_other_sessions(services, caller)
    return user
