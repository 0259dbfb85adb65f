"""Templates and static files → answers. Templates escape everything; a page runs no script but ours and asks no other
host.

Static files are read once. Their address holds a digest of all of them, so that browsers may keep them for ever.
"""

import hashlib
import mimetypes
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, Response

from cluster.errors import NotFound

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
}
FOR_EVER = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


@cache
def _static() -> dict[str, bytes]:
    folder = files("serve_app.web") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


@cache
def digest() -> str:
    """Of all static files together: modules import each other by relative paths."""
    whole = hashlib.sha256()
    for name, content in sorted(_static().items()):
        whole.update(name.encode() + b"\0" + content)
    return whole.hexdigest()[:16]


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("serve_app.web"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = f"/static/{digest()}"
    return environment


def render(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page."""
    return HTMLResponse(_templates().get_template(template).render(**values), status, HEADERS)


def static_file(name: str) -> Response:
    """One of ours. Raises NotFound."""
    content = _static().get(name)
    if content is None:
        raise NotFound("Not Found")
    return Response(content, media_type=mimetypes.guess_type(name)[0], headers=FOR_EVER)
