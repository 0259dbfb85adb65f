"""A user's PIN code: set, changed, taken away, and what it unlocks. Wrong ones are counted (`tries`).

Source: spec/api.md §1.
"""

from dataclasses import dataclass
from datetime import datetime

from cluster.db.queries import users
from cluster.db.tables.user import Session, User
from cluster.errors import BadRequest
from serve_app.deps import ELEVATED_FOR, Caller, Services
from serve_app.services.passwords import hash_password, matches
from serve_app.services.sessions import require_session
from serve_app.services.tries import is_right, password_tries, pin_code_tries


@dataclass(frozen=True, slots=True)
class AuthStatus:
    """What the caller may do beyond the usual, and until when."""

    has_pin_code: bool
    has_password: bool
    elevated: bool
    expires_at: datetime | None
    pin_expires_at: datetime | None


def auth_status(services: Services, caller: Caller) -> AuthStatus:
    """An API key has neither end. Blocks."""
    with services.database.reader() as session:
        user = session.get_one(User, caller.user_id)
        own = session.get(Session, caller.session_id) if caller.session_id is not None else None
    return AuthStatus(
        has_pin_code=user.pin_code is not None,
        has_password=bool(user.password),
        elevated=caller.elevated,
        expires_at=own.expires_at if own is not None else None,
        pin_expires_at=own.pin_expires_at if own is not None else None,
    )


def set_up_pin_code(services: Services, caller: Caller, pin_code: str) -> None:
    """Raises BadRequest when there is one. Blocks."""
    hashed = hash_password(pin_code)
    with services.database.session(durable=True) as session:
        user = session.get_one(User, caller.user_id, with_for_update=True)
        if user.pin_code is not None:
            raise BadRequest("User already has a PIN code")
        user.pin_code = hashed


def change_pin_code(services: Services, caller: Caller, new: str, pin_code: str | None, password: str | None) -> None:
    """The old code or the password proves who asks. Raises BadRequest, TooManyTries. Blocks."""
    _check(services, caller, pin_code, password)
    hashed = hash_password(new)
    with services.database.session(durable=True) as session:
        session.get_one(User, caller.user_id).pin_code = hashed


def reset_pin_code(services: Services, caller: Caller, pin_code: str | None, password: str | None) -> None:
    """The user has none any more, and all of their sessions are locked. Raises BadRequest, TooManyTries. Blocks."""
    _check(services, caller, pin_code, password)
    with services.database.session(durable=True) as session:
        session.get_one(User, caller.user_id).pin_code = None
        users.lock_sessions(session, caller.user_id)


def unlock_session(services: Services, caller: Caller, pin_code: str | None) -> None:
    """This session sees what is locked, for a while. Raises BadRequest, TooManyTries. Blocks."""
    session_id = require_session(caller)
    _check(services, caller, pin_code, None)
    with services.database.session(durable=True) as session:
        own = session.get(Session, session_id)
        if own is not None:  # else somebody signed it out meanwhile
            own.pin_expires_at = services.clock.now() + ELEVATED_FOR


def lock_session(services: Services, caller: Caller) -> None:
    """Raises BadRequest for an API key. Blocks."""
    session_id = require_session(caller)
    with services.database.session(durable=True) as session:
        users.lock_sessions(session, caller.user_id, only=session_id)


def _check(services: Services, caller: Caller, pin_code: str | None, password: str | None) -> None:
    """A password outweighs a PIN code."""
    with services.database.reader() as session:
        user = session.get_one(User, caller.user_id)
    known = user.pin_code
    if known is None:
        raise BadRequest("User does not have a PIN code")
    if password:
        if not is_right(services, password_tries(user.id), lambda: matches(password, user.password)):
            raise BadRequest("Wrong password")
    elif pin_code:
        if not is_right(services, pin_code_tries(user.id), lambda: matches(pin_code, known)):
            raise BadRequest("Wrong PIN code")
    else:
        raise BadRequest("Either password or pinCode is required")
