"""Where clients find the API when they are given a bare address."""

from fastapi import APIRouter

router = APIRouter(tags=["well-known"])


@router.get("/.well-known/immich")
async def well_known() -> dict[str, dict[str, str]]:
    return {"api": {"endpoint": "/api"}}
