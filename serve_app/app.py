"""Routers, middleware and error mapping → an ASGI app, without Ray."""

import logging
import re
import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.errors import BadRequest, ConfigInvalid, Forbidden, NotAuthenticated, NotFound, Refused
from serve_app.deps import Services
from serve_app.routers import (
    api_keys,
    assets,
    auth,
    jobs,
    queues,
    server,
    sessions,
    system_config,
    trash,
    unserved,
    users,
    well_known,
)
from serve_app.services.server_info import VERSION
from serve_app.socket_server import add_sockets, follow_events
from serve_app.wire.validation import wire_issues

log = logging.getLogger(__name__)

ROUTERS: tuple[APIRouter, ...] = (
    auth.router,
    users.router,
    api_keys.router,
    sessions.router,
    server.router,
    assets.router,
    trash.router,
    jobs.router,
    queues.router,
    system_config.router,
)
"""Everything below /api. `unserved` comes last: it answers for the routes of Immich that nobody above takes."""

STATUS: tuple[tuple[type[Refused], int], ...] = (
    (NotAuthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (BadRequest, 400),
)


def create_app(services: Services) -> ASGIApp:
    """The whole API for one server."""
    app = FastAPI(
        title="Heliostat",
        version="3.1.0",
        docs_url="/api/docs",
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=follow_events,
    )
    app.state.services = services
    add_sockets(app, services, dict(zip(("major", "minor", "patch"), VERSION, strict=True)) | {"prerelease": None})
    for router in ROUTERS:
        app.include_router(router, prefix="/api")
    app.include_router(well_known.router)
    app.include_router(unserved.router, prefix="/api")
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(ConfigInvalid, config_invalid)
    app.add_exception_handler(RequestValidationError, validation_failed)
    app.add_exception_handler(HTTPException, http_failed)
    app.add_exception_handler(Exception, unexpected)
    return CorrelationId(app)


class CorrelationId:
    """Every answer carries `X-Correlation-ID`: the request's, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-correlation-id"), b"")
        mark = given if re.fullmatch(rb"[\x21-\x7e]{1,128}", given) else uuid.uuid4().hex.encode()

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (b"x-correlation-id", mark)]
            await send(message)

        await self._app(scope, receive, send_marked)


def refused(request: Request, error: Exception) -> Response:
    """Our own refusals: the message is for a person."""
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 400)
    return _said(status, str(error), getattr(error, "issues", ()))


def config_invalid(request: Request, error: Exception) -> Response:
    """A wrong system config, one issue per field."""
    assert isinstance(error, ConfigInvalid)
    issues = [{"code": "custom", "path": list(path), "message": message} for path, message in error.issues]
    return _said(400, "Validation failed", issues)


def validation_failed(request: Request, error: Exception) -> Response:
    """What does not fit the route's model, in Immich's wording."""
    assert isinstance(error, RequestValidationError)
    return _said(400, "Validation failed", wire_issues(error.errors()))


def http_failed(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        return _said(404, f"Cannot {request.method} {request.url.path}")
    return _said(error.status_code, str(error.detail))


def unexpected(request: Request, error: Exception) -> Response:
    """Ours to mend: the log has the story, the client a word."""
    endpoint = request.scope.get("endpoint")
    words = getattr(endpoint, "__name__", "answer").replace("_", " ")
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _said(500, f"Failed to {words}")


def _said(status: int, message: str, issues: Sequence[dict[str, Any]] = ()) -> JSONResponse:
    body: dict[str, Any] = {"message": message}
    if issues:
        body["errors"] = list(issues)
    return JSONResponse(body, status)
