"""/health: ours, for the supervisor and for monitors. Immich has no such route; its clients ask /server/ping."""

import logging

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from serve_app.deps import ServicesOf
from serve_app.services.health import controller_lives

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"], include_in_schema=False)


@router.get("/health")
def tell_health(services: ServicesOf) -> dict[str, bool]:
    """Whether the controller lives; 503 while the database, which knows, does not answer."""
    try:
        return {"controller": controller_lives(services)}
    except Exception as error:
        log.warning("the database does not say whether the controller lives: %s", error)
        raise HTTPException(503, "The database does not answer") from error
