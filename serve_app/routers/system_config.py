"""/system-config: what an admin sets. Source: spec/api.md §8."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends

from cluster.system_config import to_wire
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.system_config import default_config, get_config, save_config

router = APIRouter(prefix="/system-config", tags=["system-config"])

Reader = Annotated[Caller, Depends(allow("systemConfig.read", admin=True))]


@router.get("")
def get_system_config(caller: Reader, services: ServicesOf) -> dict[str, Any]:
    return to_wire(get_config(services))


@router.get("/defaults")
def get_system_config_defaults(caller: Reader, services: ServicesOf) -> dict[str, Any]:
    return to_wire(default_config(services))


@router.put("")
def update_system_config(
    body: Annotated[dict[str, Any], Body()],
    caller: Annotated[Caller, Depends(allow("systemConfig.update", admin=True))],
    services: ServicesOf,
) -> dict[str, Any]:
    """Takes the whole config; applied at once, everywhere."""
    return to_wire(save_config(services, body))
