"""API keys: made, shown, changed, deleted. The secret is shown once."""

import uuid
from collections.abc import Sequence

from cluster.db.queries import users
from cluster.db.tables.user import ApiKey
from cluster.errors import BadRequest, Forbidden
from serve_app.deps import Caller, Services, hashed
from serve_app.permissions import covers
from serve_app.services.passwords import new_secret


def create_api_key(services: Services, caller: Caller, name: str, permissions: Sequence[str]) -> tuple[ApiKey, str]:
    """A key and its secret. Raises BadRequest for permissions that the caller lacks."""
    _check(caller, permissions)
    secret, now = new_secret(), services.clock.now()
    key = ApiKey(
        id=str(uuid.uuid4()),
        name=name,
        key_sha256=hashed(secret),
        user_id=caller.user_id,
        permissions=list(permissions),
        created_at=now,
        updated_at=now,
    )
    with services.database.session(durable=True) as session:
        session.add(key)
    return key, secret


def list_api_keys(services: Services, caller: Caller) -> list[ApiKey]:
    with services.database.reader() as session:
        return users.api_keys_of(session, caller.user_id)


def get_api_key(services: Services, caller: Caller, key_id: str) -> ApiKey:
    """Raises BadRequest when it is not the caller's."""
    with services.database.reader() as session:
        return _found(users.api_key_of(session, caller.user_id, key_id))


def own_api_key(services: Services, caller: Caller) -> ApiKey:
    """The key that asks. Raises Forbidden for a session."""
    if caller.api_key_id is None:
        raise Forbidden("Not authenticated with an API Key")
    return get_api_key(services, caller, caller.api_key_id)


def update_api_key(
    services: Services, caller: Caller, key_id: str, name: str | None, permissions: Sequence[str] | None
) -> ApiKey:
    """Raises BadRequest as `create_api_key` does."""
    if permissions is not None:
        _check(caller, permissions)
    with services.database.session(durable=True) as session:
        key = _found(users.api_key_of(session, caller.user_id, key_id))
        key.name = name if name is not None else key.name
        key.permissions = list(permissions) if permissions is not None else key.permissions
        key.updated_at = services.clock.now()
        return key


def delete_api_key(services: Services, caller: Caller, key_id: str) -> None:
    """Raises BadRequest when it is not the caller's."""
    with services.database.session(durable=True) as session:
        session.delete(_found(users.api_key_of(session, caller.user_id, key_id)))


def _check(caller: Caller, permissions: Sequence[str]) -> None:
    if caller.permissions is not None and not all(covers(caller.permissions, one) for one in permissions):
        raise BadRequest("Cannot grant permissions you do not have")


def _found(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise BadRequest("API Key not found")
    return key
