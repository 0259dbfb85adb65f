"""How often a secret may be guessed: passwords by whoever comes, PIN codes and one's own password by who is signed in.

Who signs in wrongly is counted three times: for this account from this address, for this account wherever it comes
from, for this address whatever the account. An address from which the owner has signed in before counts for the first
alone. So nobody who comes from elsewhere can lock them out, from however many addresses; and who has many addresses, or
tries many accounts, is still slow. Whether there is such an account makes no difference, or the answer would tell.

A try is counted before the secret is looked at, or a thousand at once would all be let through, and given back when
it was right. The counts are rows, so that they hold for all API processes and outlive them. An address is an IPv4
address or, since whoever has one IPv6 address has as many as they like of its network, the first 64 bits of that.

At once, and then one each:

- `HERE`, 10 and 1 minute: nobody mistypes their password ten times in a row, and who does loses a minute. A guesser
  has 1,450 tries on the first day; a list of the 100,000 most usual passwords takes ten weeks.
- `ANYWHERE`, 50 and 1 minute: as slow for a thousand addresses together. Five people who mistype do not feel it.
- `ADDRESS`, 100 and 10 seconds: an office or a school behind one address signs in on Monday morning; one that sprays
  a usual password over all accounts has 8,700 tries a day.
- `PIN_CODE`, 5 and 5 minutes: six digits are a million; 292 tries a day find it in a year with one in ten.
- `LINK_ANYWHERE`, 50 and 10 seconds: a link's password, by all who have the link together, each of whom has `HERE`.
- `OWN_PASSWORD`, as `HERE`: a session that somebody left open is no place to guess from either.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from cluster.db.queries import tries
from cluster.db.queries.tries import Allowance
from cluster.errors import TooManyTries
from serve_app.deps import Services

HERE = Allowance(10, timedelta(minutes=1))
ANYWHERE = Allowance(50, timedelta(minutes=1))
ADDRESS = Allowance(100, timedelta(seconds=10))
PIN_CODE = Allowance(5, timedelta(minutes=5))
OWN_PASSWORD = HERE
LINK_ANYWHERE = Allowance(50, timedelta(seconds=10))


def sign_in_tries(email: str, network: str, *, known: bool) -> dict[str, Allowance]:
    """What a try to sign in counts for. `known`: the owner has come from there before."""
    here = {_key("here", email.lower(), network): HERE}
    return here if known else {**here, _key("anywhere", email.lower()): ANYWHERE, _key("address", network): ADDRESS}


def pin_code_tries(user_id: str) -> dict[str, Allowance]:
    return {_key("pin code", user_id): PIN_CODE}


def password_tries(user_id: str) -> dict[str, Allowance]:
    """Of the user's own password, by who is signed in."""
    return {_key("own password", user_id): OWN_PASSWORD}


def link_tries(link_id: str, network: str) -> dict[str, Allowance]:
    """Of a shared link's password, by who has the link."""
    return {_key("link here", link_id, network): HERE, _key("link anywhere", link_id): LINK_ANYWHERE}


def count_try(services: Services, counted: Mapping[str, Allowance]) -> None:
    """Raises TooManyTries. Blocks."""
    now = services.clock.now()
    with services.database.reader() as session:
        wait = tries.wait(session, counted, now)  # who must wait costs us no write
    if wait <= timedelta(0):
        with services.database.session() as session:
            wait = tries.take(session, counted, now)
    if wait > timedelta(0):
        raise TooManyTries(math.ceil(wait.total_seconds()))


def is_right(services: Services, counted: Mapping[str, Allowance], check: Callable[[], bool]) -> bool:
    """Count a try and check it; one that is right makes the others forgotten. Raises TooManyTries. Blocks."""
    count_try(services, counted)
    right = check()
    if right:
        with services.database.session() as session:
            tries.forget(session, counted)
    return right


def network_of(address: str) -> str:
    """What counts as one address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
