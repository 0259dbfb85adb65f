"""The whole API over a real database, without a network: every answer is held against what Immich publishes."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from cluster.clock import Clock
from cluster.db.engine import Database
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.base import Base
from cluster.settings import Settings, read_settings
from cluster.storage.layout import StorageLayout
from cluster.vectors.exact import ExactVectors
from serve_app.app import create_app
from serve_app.deps import Services
from tests.fake_clock import FakeClock
from tests.published_api import answer_complaints, find_operation, published_api

ADMIN = {"email": "ada@example.org", "password": "correct horse", "name": "Ada"}
OTHER = {"email": "bob@example.org", "password": "battery staple", "name": "Bob"}


class ApiClient:
    """Sends requests as one caller: `headers` carry the credentials, and cookies are never kept."""

    def __init__(self, services: Services, runner: asyncio.Runner, headers: Mapping[str, str] | None = None) -> None:
        self.services = services
        self._runner = runner
        self._headers = dict(headers or {})
        transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://heliostat.test")

    def with_headers(self, **headers: str) -> "ApiClient":
        """The same server, another caller. `x_api_key` names the header `x-api-key`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ApiClient(self.services, self._runner, named)

    def with_settings(self, **changes: Any) -> "ApiClient":
        """The same database and caller, another environment."""
        services = replace(self.services, settings=replace(self.services.settings, **changes))
        return ApiClient(services, self._runner, self._headers)

    def as_session(self, token: str) -> "ApiClient":
        return self.with_headers(Authorization=f"Bearer {token}")

    def request(self, method: str, path: str, **details: Any) -> httpx.Response:
        """`path` is below /api, or begins with `/.`."""
        url = path if path.startswith("/.") else f"/api{path}"
        headers = {**self._headers, **details.pop("headers", {})}
        response = self._runner.run(self._client.request(method, url, headers=headers, **details))
        self._client.cookies.clear()
        check_answer(response, method, path)
        return response

    def get(self, path: str, **details: Any) -> httpx.Response:
        return self.request("GET", path, **details)

    def post(self, path: str, json: Any = None, **details: Any) -> httpx.Response:
        return self.request("POST", path, json=json, **details)

    def put(self, path: str, json: Any = None, **details: Any) -> httpx.Response:
        return self.request("PUT", path, json=json, **details)

    def delete(self, path: str, **details: Any) -> httpx.Response:
        return self.request("DELETE", path, **details)

    def sign_up(self) -> "ApiClient":
        """The admin, signed in."""
        assert self.post("/auth/admin-sign-up", ADMIN).status_code == 201
        return self.sign_in(ADMIN)

    def sign_in(self, person: Mapping[str, str]) -> "ApiClient":
        answer = self.post("/auth/login", {name: person[name] for name in ("email", "password")})
        assert answer.status_code == 201, answer.text
        return self.as_session(answer.json()["accessToken"])

    def other_user(self) -> "ApiClient":
        """Somebody who is no admin, signed in; `self` must be the admin."""
        assert self.post("/admin/users", OTHER).status_code == 201
        return self.sign_in(OTHER)

    def with_key(self, *permissions: str) -> "ApiClient":
        """A new API key of this caller."""
        made = self.post("/api-keys", {"name": "a key", "permissions": list(permissions)})
        assert made.status_code == 201, made.text
        return self.with_headers(x_api_key=made.json()["secret"])


def check_answer(response: httpx.Response, method: str, path: str) -> None:
    """Every answer is marked; an error says a message and nothing else; a good one is what Immich publishes."""
    assert response.headers["x-correlation-id"]
    if response.status_code >= 400:
        assert set(response.json()) <= {"message", "errors"}, response.text
        return
    api = published_api()
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if api is None or path.startswith("/.") or not (is_json or not response.content):
        return
    route = path.partition("?")[0]
    operation = find_operation(api, method, route) or find_operation(api, "PUT" if method == "PATCH" else method, route)
    if operation is not None:
        body = response.json() if response.content else None
        assert answer_complaints(api, operation, response.status_code, body) == [], f"{method} {path}: {response.text}"


def settings_for(database_url: str, media_root: Path) -> Settings:
    return read_settings({"DB_URL": database_url, "IMMICH_MEDIA_LOCATION": str(media_root), "HOME": str(media_root)})


@contextmanager
def api_client(database_url: str, media_root: Path, clock: Clock | None = None) -> Iterator[ApiClient]:
    """A fresh server with nobody signed up, and a caller without credentials."""
    settings = settings_for(database_url, media_root)
    media_root.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    Base.metadata.create_all(database.durable)
    services = Services(
        settings,
        database,
        SqlQueueStore(database),
        StorageLayout(settings.media_root),
        clock or FakeClock(),
        ExactVectors(),
    )
    with asyncio.Runner() as runner:
        yield ApiClient(services, runner)
    database.close()
