"""Password in, session token out."""

import logging

from cluster.db.queries import system, tries, users
from cluster.db.tables.user import User
from cluster.errors import NotAuthenticated
from serve_app.deps import Services
from serve_app.services.passwords import NOBODYS_HASH, matches
from serve_app.services.sessions import Device, open_session
from serve_app.services.tries import ADDRESS, count_try, network_of, sign_in_tries

log = logging.getLogger(__name__)


def sign_in(services: Services, email: str, password: str, device: Device, address: str) -> tuple[User, str]:
    """The account and a new token. Raises NotAuthenticated, and TooManyTries; logs who tried from which `address`, for
    programs that lock such addresses out. Blocks for as long as bcrypt takes, whether there is such an account or not.
    """
    network = network_of(address)
    with services.database.reader() as session:
        if not system.read_config(session, services.settings).password_login.enabled:
            raise NotAuthenticated("Password login has been disabled")
        user = users.by_email(session, email)
        known = tries.is_known(session, user.id if user is not None else "", network)
    counted = sign_in_tries(email, network, known=known)
    count_try(services, counted)
    right = matches(password, user.password if user is not None and user.password else NOBODYS_HASH)
    if user is None or not right:
        log.warning("sign-in as %s from %s: wrong email or password", email, address)
        raise NotAuthenticated("Incorrect email or password")
    with services.database.session() as session:
        # what the address has tried of other accounts stays counted: who has one of their own could go on for ever
        tries.give_back(session, {key: one for key, one in counted.items() if one is ADDRESS})
        tries.forget(session, [key for key, one in counted.items() if one is not ADDRESS])
        tries.note_address(session, user.id, network, services.clock.now())
    return user, open_session(services, user.id, device)[1]
