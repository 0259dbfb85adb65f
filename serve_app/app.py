"""Routers, middleware and error mapping → an ASGI app, without Ray."""

import re
import time
import uuid

from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.metrics import REQUESTS, Metrics
from serve_app.deps import Services
from serve_app.error_mapping import add_error_handlers
from serve_app.routers import (
    activities,
    admin_actions,
    admin_auth,
    admin_users,
    albums,
    api_keys,
    asset_steps,
    assets,
    auth,
    docs,
    download,
    duplicates,
    faces,
    health,
    integrity,
    job_details,
    jobs,
    libraries,
    licenses,
    maps,
    memories,
    merge_proposals,
    nodes,
    notifications,
    partners,
    people,
    profile_images,
    queue_activity,
    queues,
    quiet_hours,
    schedule,
    search,
    server,
    sessions,
    shared_links,
    stacks,
    sync,
    system_config,
    tags,
    template_preview,
    timeline,
    trash,
    unserved,
    users,
    view,
    well_known,
)
from serve_app.services.queue_activity import Observer
from serve_app.services.server_info import VERSION
from serve_app.short_reads import ShortReads
from serve_app.socket_server import add_sockets, follow_events
from serve_app.web import pages

ROUTERS: tuple[APIRouter, ...] = (
    timeline.router,
    jobs.router,
    queues.router,
    server.router,
    assets.router,
    search.router,
    albums.router,
    activities.router,
    auth.router,
    users.router,
    admin_users.router,
    api_keys.router,
    sessions.router,
    shared_links.router,
    sync.router,
    trash.router,
    notifications.router,
    memories.router,
    libraries.router,
    tags.router,
    people.router,
    partners.router,
    merge_proposals.router,
    faces.router,
    maps.router,
    download.router,
    stacks.router,
    duplicates.router,
    view.router,
    system_config.router,
    integrity.router,
    queue_activity.router,
    job_details.router,
    asset_steps.router,
    schedule.router,
    quiet_hours.router,
    nodes.router,
    template_preview.router,
    admin_actions.router,
    admin_auth.router,
    licenses.router,
    profile_images.router,
    docs.router,
    health.router,
    unserved.router,
)
"""Everything below /api: what is asked for most and has few routes first, since each request looks through them in
order. `unserved` comes last: it answers for the routes of Immich that nobody above takes."""


MOST_JSON_BYTES = 10_000_000
"""Several times the largest that Immich's clients send, 65,000 ids. Files are bounded by who takes them in."""


def create_app(services: Services) -> ASGIApp:
    """The whole API for one server."""
    app = FastAPI(
        title="Heliostat",
        version=".".join(map(str, VERSION)),
        docs_url=None,  # ours needs nothing from another host
        redoc_url=None,
        openapi_url="/api/openapi.json",
        max_body_size=MOST_JSON_BYTES,
        lifespan=follow_events,
    )
    app.state.services = services
    app.state.short_reads = ShortReads(services.database)
    app.state.observer = Observer(services)
    app.state.live = queue_activity.live_queues(app.state.observer)
    add_sockets(app, services, dict(zip(("major", "minor", "patch"), VERSION, strict=True)) | {"prerelease": None})
    for router in ROUTERS:
        app.include_router(router, prefix="/api")
    app.include_router(well_known.router)
    app.include_router(pages.router)
    add_error_handlers(app)
    return Edge(TooLargeAsJson(app), services.metrics)


class TooLargeAsJson:
    """The framework refuses what is longer than `max_body_size` in plain text, past all error handlers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_plain = False

        async def send_json(message: Message) -> None:
            nonlocal is_plain
            if message["type"] == "http.response.start" and message["status"] == 413:
                is_plain = (b"content-type", b"text/plain; charset=utf-8") in message["headers"]
            if not is_plain:
                await send(message)
            elif message["type"] == "http.response.start":
                said = f"The request is larger than {MOST_JSON_BYTES // 1_000_000} MB"
                await JSONResponse({"message": said}, 413)(scope, receive, send)

        await self._app(scope, receive, send_json)


FOR_FILES = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox"
)
"""What a browser may do with an answer that it is made to show as a page: a file that somebody uploaded may hold a
script, and would run as a page of ours."""


ANSWER_HEAD = re.compile(r"/api/assets/[^/]+/(thumbnail|original|video/playback)")
"""Whose routes answer HEAD themselves, without opening the file. All others answer as to a GET, as with Immich."""


def head_alone(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Of the answer its head; who sends a body without end hears then that nobody listens."""
    over = False

    async def receive_until_over() -> Message:
        return {"type": "http.disconnect"} if over else await receive()

    async def send_head(message: Message) -> None:
        nonlocal over
        if message["type"] == "http.response.start":
            await send(message)
        elif not over:
            over = True
            await send({"type": "http.response.body", "body": b""})

    return receive_until_over, send_head


class Edge:
    """The outermost layer: every answer carries `X-Correlation-ID`, the request's or a new one, says what a browser may
    do with it where the route does not, and is measured.

    Starlette raises an unexpected error again after it was answered and logged, for servers that log; ours would say
    everything twice. One that cuts an answer short goes on, so that the connection ends.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-correlation-id"), b"")
        mark = given if re.fullmatch(rb"[\x21-\x7e]{1,128}", given) else uuid.uuid4().hex.encode()
        answered, status, began_s = False, 0, time.perf_counter()
        if scope["method"] == "HEAD" and not ANSWER_HEAD.fullmatch(scope["path"]):
            scope, receive, send = {**scope, "method": "GET"}, *head_alone(receive, send)

        async def send_marked(message: Message) -> None:
            nonlocal answered, status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-correlation-id", mark)]
                if not any(name == b"content-security-policy" for name, _ in headers):
                    headers.append((b"content-security-policy", FOR_FILES))
                message = {**message, "headers": headers}
            await send(message)
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            if not answered:
                raise
        finally:
            # by the route's pattern: ids in it would be a metric each
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.record(REQUESTS, time.perf_counter() - began_s, route, scope["method"], str(status))
