"""What went wrong → status and body. The one place that chooses HTTP codes for errors. Source: spec/api.md §1."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from cluster.errors import (
    BadRequest,
    ConfigInvalid,
    Forbidden,
    NotAuthenticated,
    NotFound,
    Refused,
    TooManyTries,
    Unavailable,
    UploadTooLarge,
)
from serve_app.wire.validation import wire_issues

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[Refused], int], ...] = (
    (NotAuthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (BadRequest, 400),
    (UploadTooLarge, 413),
    (TooManyTries, 429),
    (Unavailable, 503),
)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error with `{"message": …}` and, for bodies that do not fit, a list of issues."""
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(ConfigInvalid, config_invalid)
    app.add_exception_handler(RequestValidationError, validation_failed)
    app.add_exception_handler(HTTPException, http_failed)
    app.add_exception_handler(Exception, unexpected)


def refused(request: Request, error: Exception) -> Response:
    """Our own refusals: the message is for a person."""
    status = next((code for kind, code in STATUS if isinstance(error, kind)), 400)
    answer = _said(status, str(error), getattr(error, "issues", ()))
    if isinstance(error, TooManyTries):
        answer.headers["Retry-After"] = str(error.wait_s)
    return answer


def config_invalid(request: Request, error: Exception) -> Response:
    """A wrong system config, one issue per field."""
    assert isinstance(error, ConfigInvalid)
    issues = [{"code": "custom", "path": list(path), "message": message} for path, message in error.issues]
    return _said(400, "Validation failed", issues)


def validation_failed(request: Request, error: Exception) -> Response:
    """What does not fit the route's model, in Immich's wording."""
    assert isinstance(error, RequestValidationError)
    body = getattr(request.scope.get("route"), "body_field", None)
    wanted = body.field_info.annotation if body is not None else None
    names = _published_names(getattr(request.scope.get("route"), "path", ""))
    errors = [
        {**one, "loc": ("path", names[one["loc"][1]])} if one["loc"][0] == "path" else one for one in error.errors()
    ]
    return _said(400, "Validation failed", wire_issues(errors, wanted))


def _published_names(path: str) -> dict[str, str]:
    """What Immich calls the parameters of a route: the thing that it is about is its `id`."""
    first, *others = re.findall(r"\{(\w+)", path) or [""]
    return {first: "id" if first.endswith("_id") else first, **{name: to_camel(name) for name in others}}


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
