"""/system-config: what an admin sets. Source: spec/api.md §8."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from cluster.system_config import SystemConfig
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.system_config import default_config, get_config, save_config
from serve_app.wire.storage_template import STORAGE_TEMPLATE_OPTIONS, StorageTemplateOptions

router = APIRouter(prefix="/system-config", tags=["system-config"])

Reader = Annotated[Caller, Depends(allow("systemConfig.read", admin=True))]

# The body is checked by the config itself, which says what is wrong as it does for the config file.
WHOLE_CONFIG = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SystemConfig"}}},
    }
}


@router.get("")
def get_config_in_force(caller: Reader, services: ServicesOf) -> SystemConfig:
    """The whole config in force."""
    return get_config(services)


@router.get("/defaults")
def get_config_defaults(caller: Reader, services: ServicesOf) -> SystemConfig:
    """What is in force where nobody chose otherwise."""
    return default_config(services)


@router.get("/storage-template-options")
def get_storage_template_options(caller: Reader) -> StorageTemplateOptions:
    """What a storage template may be made of."""
    return STORAGE_TEMPLATE_OPTIONS


@router.put("", openapi_extra=WHOLE_CONFIG)
def update_config(
    body: Annotated[dict[str, Any], Body()],
    caller: Annotated[Caller, Depends(allow("systemConfig.update", admin=True))],
    services: ServicesOf,
) -> SystemConfig:
    """Takes the whole config; applied at once, everywhere."""
    return save_config(services, body, caller)
