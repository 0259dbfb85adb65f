"""The API without Ray: a fresh database and media folder, people with keys; in this process or on a real socket."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy import insert

from cluster.clock import SystemClock
from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.user import ApiKey, User
from cluster.settings import read_settings
from cluster.storage.layout import Folder, StorageLayout
from cluster.vectors.exact import ExactVectors
from serve_app.app import create_app
from serve_app.deps import Services, hashed
from tests.shared_media import REPOSITORY

WHEN = "2024-01-02T03:04:05.678Z"


@dataclass(frozen=True)
class Person:
    user_id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": self.key}


@dataclass(frozen=True)
class ApiStack:
    """`app` is the whole ASGI app."""

    services: Services
    app: Any

    @property
    def uploads(self) -> Path:
        return self.services.layout.folder(Folder.UPLOAD)

    def uploaded_files(self) -> list[Path]:
        return sorted(path for path in self.uploads.rglob("*") if path.is_file())

    def add_person(self, name: str = "ann", permissions: tuple[str, ...] = ("all",), **columns: Any) -> Person:
        person = Person(str(uuid.uuid4()), uuid.uuid4().hex)
        now = self.services.clock.now()
        times = {"created_at": now, "updated_at": now}
        user = {"id": person.user_id, "email": f"{name}@example.org", "name": name, "profile_changed_at": now, **times}
        with self.services.database.session() as session:
            session.execute(insert(User).values(**user, **columns))
        self.add_key(person.user_id, person.key, *permissions)
        return person

    def add_key(self, user_id: str, secret: str, *permissions: str) -> None:
        """An API key of this user that may do these."""
        now = self.services.clock.now()
        key = {"id": str(uuid.uuid4()), "name": "test", "key_sha256": hashed(secret), "user_id": user_id}
        times = {"created_at": now, "updated_at": now}
        with self.services.database.session() as session:
            session.execute(insert(ApiKey).values(**key, permissions=list(permissions), **times))


@contextlib.contextmanager
def api_stack(database_url: str, media_root: Path) -> Iterator[ApiStack]:
    """A migrated database and an app on it."""
    settings = read_settings(
        {"DB_URL": database_url, "IMMICH_MEDIA_LOCATION": str(media_root), "HOME": str(media_root)}
    )
    database = Database(settings.database_url)
    migrate(database.durable)
    layout = StorageLayout(settings.media_root)
    services = Services(settings, database, SqlQueueStore(database), layout, SystemClock(), ExactVectors())
    try:
        yield ApiStack(services, create_app(services))
    finally:
        database.close()


class AppClient:
    """Calls an app in this process, as `httpx.Client` calls a server."""

    def __init__(self, portal: BlockingPortal, client: httpx.AsyncClient) -> None:
        self._portal, self._client = portal, client

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self._portal.call(partial(self._client.request, method, f"/api{path}", **given))

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.request("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)

    def put(self, path: str, **given: Any) -> httpx.Response:
        return self.request("PUT", path, **given)

    def delete(self, path: str, **given: Any) -> httpx.Response:
        return self.request("DELETE", path, **given)


@contextlib.contextmanager
def in_process(app: Any) -> Iterator[AppClient]:
    """A client of `app`, without a socket; its lifespan does not run."""
    with start_blocking_portal() as portal:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://heliostat.test")
        yield AppClient(portal, client)
        portal.call(client.aclose)


@contextlib.contextmanager
def served(stack: ApiStack) -> Iterator[str]:
    """The app on a real port of this machine, in a thread; gives its base URL."""
    port = free_port()
    config = uvicorn.Config(stack.app, host="127.0.0.1", port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_ping(url)
        yield url
    finally:
        server.should_exit = True
        thread.join()


@contextlib.contextmanager
def served_apart(stack: ApiStack) -> Iterator[tuple[str, int]]:
    """The app in a process of its own, on the same database and files; gives its base URL and process id."""
    port = free_port()
    settings = stack.services.settings
    environment = {
        **os.environ,
        "DB_URL": settings.database_url,
        "IMMICH_MEDIA_LOCATION": str(settings.media_root),
        "PYTHONPATH": str(REPOSITORY),
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.api_stack", str(port)], cwd=REPOSITORY, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_ping(url)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for_ping(url: str, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            assert httpx.get(f"{url}/api/server/ping").json() == {"res": "pong"}
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)


def main() -> None:
    """What `served_apart` starts."""
    settings = read_settings(os.environ)
    database = Database(settings.database_url)
    layout = StorageLayout(settings.media_root)
    app = create_app(Services(settings, database, SqlQueueStore(database), layout, SystemClock(), ExactVectors()))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
