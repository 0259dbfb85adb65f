"""/view: the library as folders. Source: spec/openapi.json."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import folders
from serve_app.wire.asset import AssetResponse, seen_asset
from serve_app.wire.common import PlainText

router = APIRouter(prefix="/view", tags=["view"])

Reader = Annotated[Caller, Depends(allow("folder.read"))]


@router.get("/folder/unique-paths")
def get_unique_original_paths(services: ServicesOf, caller: Reader) -> list[str]:
    """Every folder with something in it."""
    return folders.list_folders(services, caller.user_id)


@router.get("/folder")
def get_assets_by_original_path(services: ServicesOf, caller: Reader, path: PlainText) -> list[AssetResponse]:
    """What lies right in one."""
    return [seen_asset(seen) for seen in folders.list_folder(services, caller.user_id, path)]
