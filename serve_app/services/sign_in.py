"""Password in, session token out."""

import logging
from functools import cache

from cluster.db.queries import system, users
from cluster.db.tables.user import User
from cluster.errors import NotAuthenticated
from serve_app.deps import Services
from serve_app.services.passwords import hash_password, matches
from serve_app.services.sessions import Device, open_session

log = logging.getLogger(__name__)


def sign_in(services: Services, email: str, password: str, device: Device, address: str) -> tuple[User, str]:
    """The account and a new token. Raises NotAuthenticated, and logs who tried from which `address`, for programs that
    lock such addresses out. Blocks for as long as bcrypt takes."""
    with services.database.reader() as session:
        if not system.read_config(session, services.settings).password_login.enabled:
            raise NotAuthenticated("Password login has been disabled")
        user = users.by_email(session, email)
    right = matches(password, user.password if user is not None else _nobodys_password())
    if user is None or not right:
        log.warning("sign-in as %s from %s: wrong email or password", email, address)
        raise NotAuthenticated("Incorrect email or password")
    return user, open_session(services, user.id, device)[1]


@cache
def _nobodys_password() -> str:
    """Checked when there is no such account, so that the time of an answer does not tell."""
    return hash_password("")
