"""The Socket.IO server at `/api/socket.io`: who connects is asked who they are, and hears what concerns them.

Rooms are named after the user and, when signed in with one, after the session. Source: spec/workers.md §8.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import socketio
from anyio import to_thread
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from cluster.errors import Forbidden, NotAuthenticated
from cluster.telemetry import follow_config
from serve_app.deps import Services, authenticate
from serve_app.events import EventTail, Message
from serve_app.services.system_config import get_config

log = logging.getLogger(__name__)

SOCKET_PATH = "/api/socket.io"
DELIVERY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Who connected. `session_id` None: with an API key."""

    user_id: str
    session_id: str | None


Authenticate = Callable[[Mapping[str, Any]], Awaitable[Listener | None]]
"""The ASGI scope of a connection → who it is; None for nobody that we know."""


class SocketServer:
    """Mount `app` at `SOCKET_PATH`; `deliver` is for the tail's thread."""

    def __init__(self, authenticate: Authenticate, version: Mapping[str, object]) -> None:
        self._authenticate, self._version = authenticate, dict(version)
        self._server = socketio.AsyncServer(
            async_mode="asgi",
            transports=["websocket"],
            cors_allowed_origins="*",
            always_connect=True,  # so that a stranger can be told why before the connection ends
            logger=False,
            engineio_logger=False,
        )
        self._server.on("connect", self._connect)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.app = socketio.ASGIApp(self._server, socketio_path=SOCKET_PATH)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver on this loop."""
        self._loop = loop

    def listening(self) -> bool:
        """Whether anyone is connected."""
        return bool(self._server.manager.rooms.get("/"))

    def deliver(self, messages: Sequence[Message]) -> None:
        """Send in order; blocks until sent. Not to be called on the loop itself."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._send(messages), self._loop).result(DELIVERY_TIMEOUT_S)

    async def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            try:
                await self._server.emit(message.name, message.arguments, room=message.room)
            except Exception:
                log.exception("cannot send %s", message.name)  # the others must still go

    async def _connect(self, connection: str, environ: Mapping[str, Any], _credentials: object = None) -> None:
        listener = await self._authenticate(environ["asgi.scope"])
        if listener is None:
            await self._server.emit("error", "unauthorized", to=connection)
            # Not by returning False: the library would add a reason, which the official client takes for nonsense and
            # comes again and again.
            await self._server.disconnect(connection)
            return
        await self._server.enter_room(connection, listener.user_id)
        if listener.session_id is not None:
            await self._server.enter_room(connection, listener.session_id)
        await self._server.emit("on_server_version", self._version, to=connection)


def add_sockets(app: FastAPI, services: Services, version: Mapping[str, object]) -> None:
    """Serve `SOCKET_PATH`. Clients hear what happens within `follow_events`, the app's lifespan."""

    async def who(scope: Mapping[str, Any]) -> Listener | None:
        try:
            caller = await to_thread.run_sync(authenticate, services, HTTPConnection(dict(scope)))
        except (NotAuthenticated, Forbidden):
            return None
        return Listener(caller.user_id, caller.session_id)

    app.state.sockets = SocketServer(who, version)
    app.mount(SOCKET_PATH, app.state.sockets.app)


@asynccontextmanager
async def follow_events(app: FastAPI) -> AsyncIterator[None]:
    """While the app lives, its clients hear what happens, and it logs as the system config says."""
    sockets: SocketServer = app.state.sockets
    services: Services = app.state.services

    def log_as_configured() -> None:
        config = get_config(services).logging
        follow_config(services.settings, config.enabled, config.level)

    tail = EventTail(services.database, sockets.deliver, sockets.listening, log_as_configured)
    sockets.bind(asyncio.get_running_loop())
    tail.start()
    try:
        yield
    finally:
        app.state.live.close()
        await to_thread.run_sync(tail.stop)
