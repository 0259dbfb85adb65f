"""The trash: emptied, or taken out of. Source: spec/api.md §4.2."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import trash
from serve_app.wire.asset import Count, Ids

router = APIRouter(prefix="/trash", tags=["trash"])

Deleter = Annotated[Caller, Depends(allow("asset.delete"))]


@router.post("/empty")
def empty_trash(services: ServicesOf, caller: Deleter) -> Count:
    return Count(count=trash.empty_trash(services, caller))


@router.post("/restore")
def restore_trash(services: ServicesOf, caller: Deleter) -> Count:
    return Count(count=trash.restore_trash(services, caller))


@router.post("/restore/assets")
def restore_assets(body: Ids, services: ServicesOf, caller: Deleter) -> Count:
    return Count(count=trash.restore_assets(services, caller, body.ids))
