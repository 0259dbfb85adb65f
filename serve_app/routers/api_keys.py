"""/api-keys. Source: spec/api.md §1."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import AnyCaller, Caller, ServicesOf, allow
from serve_app.services.api_keys import (
    create_api_key,
    delete_api_key,
    get_api_key,
    list_api_keys,
    own_api_key,
    update_api_key,
)
from serve_app.wire.api_key import ApiKeyMade, ApiKeySeen, ApiKeyUpdate, NewApiKey, api_key_seen
from serve_app.wire.common import WireId

router = APIRouter(prefix="/api-keys", tags=["api-keys"])

Reader = Annotated[Caller, Depends(allow("apiKey.read"))]


@router.post("", status_code=201)
def create_key(
    body: NewApiKey, caller: Annotated[Caller, Depends(allow("apiKey.create"))], services: ServicesOf
) -> ApiKeyMade:
    """The only time that the secret is shown."""
    key, secret = create_api_key(services, caller, body.name, body.permissions)
    return ApiKeyMade(secret=secret, api_key=api_key_seen(key))


@router.get("")
def get_api_keys(caller: Reader, services: ServicesOf) -> list[ApiKeySeen]:
    """The caller's, without their secrets."""
    return [api_key_seen(key) for key in list_api_keys(services, caller)]


@router.get("/me")
def get_my_api_key(caller: AnyCaller, services: ServicesOf) -> ApiKeySeen:
    """The key that asks."""
    return api_key_seen(own_api_key(services, caller))


@router.get("/{id}")
def get_one_key(id: WireId, caller: Reader, services: ServicesOf) -> ApiKeySeen:
    """One key."""
    return api_key_seen(get_api_key(services, caller, id))


@router.put("/{id}")
@router.patch("/{id}", include_in_schema=False)
def update_key(
    id: WireId,
    body: ApiKeyUpdate,
    caller: Annotated[Caller, Depends(allow("apiKey.update"))],
    services: ServicesOf,
) -> ApiKeySeen:
    """Rename a key, or change what it may do."""
    return api_key_seen(update_api_key(services, caller, id, body.name, body.permissions))


@router.delete("/{id}", status_code=204)
def delete_key(id: WireId, caller: Annotated[Caller, Depends(allow("apiKey.delete"))], services: ServicesOf) -> None:
    """Delete a key; it is refused at once."""
    delete_api_key(services, caller, id)
