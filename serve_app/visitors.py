"""Who comes by a shared link instead of an account: which link it is, and whether they know its password."""

import base64
import hashlib

from starlette.requests import HTTPConnection

from cluster.db.queries.shared_links import KnownLink

LINK_COOKIE = "immich_shared_link_token"
"""Proofs of the passwords of links, each of one link, with a comma between them."""
PROOFS_MOST = 20
"""As many as a browser keeps: a cookie has room for some more."""
HEX_LETTERS = 100


def proof(link: KnownLink) -> str:
    """What a visitor keeps who has given the password. With another password it is worth nothing."""
    return hashlib.sha256(f"{link.id}-{link.password}".encode()).hexdigest()


def proofs_of(request: HTTPConnection) -> list[str]:
    """Those that the visitor has."""
    return [one for one in request.cookies.get(LINK_COOKIE, "").split(",") if one]


def may_pass(link: KnownLink, request: HTTPConnection) -> bool:
    """Whether the link asks for no password, or the visitor has given it."""
    return link.password is None or proof(link) in proofs_of(request)


def plain_key(key: str) -> str:
    """A link's key as we keep it: in base64url, also where it came in hex."""
    if len(key) != HEX_LETTERS:
        return key.rstrip("=")
    try:
        return base64.urlsafe_b64encode(bytes.fromhex(key)).decode().rstrip("=")
    except ValueError:
        return key
