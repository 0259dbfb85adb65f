"""API keys in Immich's spelling. Source: spec/api.md §1."""

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from cluster.db.tables.user import ApiKey
from serve_app.permissions import PERMISSIONS
from serve_app.wire.common import PlainText, Wire, WireTime


def _permission(name: str) -> str:
    if name not in PERMISSIONS:
        options = "|".join(f'"{one}"' for one in PERMISSIONS)
        raise PydanticCustomError("option", "Invalid option: expected one of {options}", {"options": options})
    return name


Permission = Annotated[
    PlainText, AfterValidator(_permission), WithJsonSchema({"type": "string", "enum": list(PERMISSIONS)})
]


class NewApiKey(Wire):
    """A key to be made."""

    name: PlainText = "API Key"
    permissions: Annotated[list[Permission], Field(min_length=1)]


class ApiKeyUpdate(Wire):
    """What is to be changed of a key."""

    name: PlainText | None = None
    permissions: Annotated[list[Permission], Field(min_length=1)] | None = None


class ApiKeySeen(Wire):
    """A key without its secret."""

    id: str
    name: str
    permissions: list[str]
    created_at: WireTime
    updated_at: WireTime


class ApiKeyMade(Wire):
    """The one time that the secret is shown."""

    secret: str
    api_key: ApiKeySeen


def api_key_seen(key: ApiKey) -> ApiKeySeen:
    return ApiKeySeen(
        id=key.id, name=key.name, permissions=key.permissions, created_at=key.created_at, updated_at=key.updated_at
    )
