"""Passwords: bcrypt, cost 10. Slow on purpose, so never on the event loop."""

import hashlib
import secrets

import bcrypt

COST = 10
BCRYPT_BYTES = 72
"""bcrypt reads no further, and refuses more."""
NOBODYS_HASH = "$2b$10$TKO1vXUeFQIfyufN/KQo6OvmJfniidcHa.A/AX.aFajPbAOLzz71K"
"""Hash of 32 random bytes that nobody knows, of the same COST. Checked where there is no account, so that the time of
an answer does not tell."""


def hash_password(password: str) -> str:
    return bcrypt.hashpw(_bytes(password), bcrypt.gensalt(COST)).decode()


def matches(password: str, hashed: str) -> bool:
    """False for an account without a password, too."""
    return bool(hashed) and bcrypt.checkpw(_bytes(password), hashed.encode())


def new_secret() -> str:
    """A session token or API key: 32 random bytes as text."""
    return secrets.token_urlsafe(32)


def _bytes(password: str) -> bytes:
    given = password.encode()
    # a longer one counts as a whole, not by its beginning
    return given if len(given) <= BCRYPT_BYTES else hashlib.sha256(given).hexdigest().encode()
