"""Routes of Immich that Heliostat does not serve: 501 and a clear message, in one visible list.

An issue that serves one takes it off this list.
"""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

router = APIRouter(tags=["unserved"], include_in_schema=False)

OUT_OF_SCOPE = (
    "/workflows",
    "/plugins",
    "/oauth",
    "/admin/notifications/templates",
    "/admin/notifications/test-email",
    "/admin/maintenance",
    "/admin/database-backups",
    "/assets/{id}/edits",
    "/assets/{id}/video/stream",
)
"""Workflow, plugins, OAuth, e-mail, maintenance mode, editor, HLS: not planned."""

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def not_served(request: Request) -> JSONResponse:
    return JSONResponse({"message": f"{request.method} {request.url.path} is not served by Heliostat yet"}, 501)


for path in OUT_OF_SCOPE:
    router.add_api_route(path, not_served, methods=METHODS)
    router.add_api_route(path + "/{rest:path}", not_served, methods=METHODS)
