"""Who may do what: every route that is served, asked by everybody that there is. What Immich publishes says who may; of
our own routes the table below does. A new route without either fails the test.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import insert

from cluster.db.tables.user import Session as UserSession
from serve_app.app import ROUTERS
from serve_app.deps import hashed
from serve_app.permissions import ALL, PERMISSIONS
from serve_app.routers import unserved
from serve_app.web import pages
from tests.api_stack import ApiStack, AppClient, Person, api_stack, in_process
from tests.library_rows import add_album, add_asset
from tests.published_api import SHARE_CREDENTIALS, find_operation, published_api
from tests.shared_media import shared_dir

ANYBODY = None
ANY_KEY = ""


@dataclass(frozen=True)
class Access:
    """`permission`: what a key needs, ANY_KEY where any will do, ANYBODY where nobody has to say who they are."""

    permission: str | None
    admin: bool = False
    shared: bool = False


OURS = {
    "GET /queue-activity": Access("queue.read", admin=True),
    "GET /queue-activity/all": Access("queue.read", admin=True),
    "GET /queue-activity/stream": Access("queue.read", admin=True),
    "GET /queues/{name}/running": Access("queueJob.read", admin=True),
    "GET /queues/{name}/recent": Access("queueJob.read", admin=True),
    "DELETE /queues/{name}/running/{id}": Access("queueJob.delete", admin=True),
    "GET /queues/{name}/failures": Access("queueJob.read", admin=True),
    "GET /queues/{name}/failures/kinds": Access("queueJob.read", admin=True),
    "GET /queues/{name}/failures/download": Access("queueJob.read", admin=True),
    "GET /queues/{name}/failures/{id}/attempts": Access("queueJob.read", admin=True),
    "POST /queues/{name}/failures/retry": Access("queueJob.update", admin=True),
    "POST /queues/{name}/failures/discard": Access("queueJob.delete", admin=True),
    "GET /failures": Access("asset.read"),
    "GET /asset-steps/{asset_id}": Access("asset.read"),
    "GET /nodes": Access("queue.read", admin=True),
    "PUT /nodes/{name}/drain": Access("queue.update", admin=True),
    "DELETE /nodes/{name}/drain": Access("queue.update", admin=True),
    "GET /schedule": Access("job.read", admin=True),
    "POST /schedule/{name}/run": Access("job.create", admin=True),
    "GET /storage-template-preview": Access("systemConfig.read", admin=True),
    "GET /quiet-hours": Access("queue.read", admin=True),
    "PUT /quiet-hours/{name}": Access("queue.update", admin=True),
    "GET /admin/actions": Access("job.read", admin=True),
    "GET /merge-proposals": Access("person.read"),
    "DELETE /merge-proposals/{first}/{second}": Access("person.update"),
    "GET /docs": Access(ANYBODY),
    "GET /health": Access(ANYBODY),
}
TAKES_ANY_KEY = {"POST /auth/validateToken", "GET /api-keys/me"}
"""Of these what is published says no more than that somebody must be signed in. Source: spec/api.md §1."""
FOR_LINKS_ALONE = {"GET /shared-links/me", "POST /shared-links/login"}
"""Nobody is let in without a link, whoever they are."""
ENDLESS = {"GET /queue-activity/stream"}
"""Who may has an answer that does not end; only the refusals are looked at."""
QUERIES = {"GET /timeline/bucket": {"timeBucket": "2024-01-01"}}
"""What a route must be told before it looks who asks: then all is done in one turn."""
STAND_FOR = {"PATCH": "PUT", "HEAD": "GET"}
"""Immich takes both and publishes one."""


def routes() -> Iterator[tuple[str, str]]:
    """Method and path below /api."""
    for router in ROUTERS:
        if router is unserved.router:
            continue
        for route in router.routes:
            assert isinstance(route, APIRoute), route
            for method in sorted(route.methods):
                yield method, route.path


def access_to(method: str, path: str) -> Access:
    api = published_api()
    assert api is not None
    named = f"{STAND_FOR.get(method, method)} {path}"
    if named in OURS:
        return OURS[named]
    concrete = re.sub(r"{[^}]*}", str(uuid.uuid4()), path)
    operation = find_operation(api, method, concrete) or find_operation(api, STAND_FOR.get(method, method), concrete)
    assert operation is not None, f"{method} {path} is neither Immich's nor in OURS: say who may call it"
    if not operation.get("security"):
        return Access(ANYBODY)
    shared = {one["name"] for one in operation.get("parameters", ())} >= SHARE_CREDENTIALS
    permission = ANY_KEY if named in TAKES_ANY_KEY else operation.get("x-immich-permission", ALL)
    return Access(permission, operation.get("x-immich-admin-only", False), shared)


@dataclass(frozen=True)
class World:
    """An admin and a user, and how anybody asks."""

    stack: ApiStack
    client: AppClient
    admin: Person
    user: Person

    def session_of(self, person: Person, lasts: timedelta = timedelta(hours=1)) -> dict[str, str]:
        """Headers of a new session: some routes end the one that asks."""
        token, now = uuid.uuid4().hex, self.stack.services.clock.now()
        row = {"id": str(uuid.uuid4()), "token_sha256": hashed(token), "user_id": person.user_id}
        times = {"created_at": now, "updated_at": now, "expires_at": now + lasts}
        with self.stack.services.database.session() as session:
            session.execute(insert(UserSession).values(**row, **times))
        return {"authorization": f"Bearer {token}"}

    def link(self) -> dict[str, str]:
        """Headers of somebody who has a link to an album, and may do there what links can allow."""
        album = add_album(self.stack, self.user, add_asset(self.stack, self.user))
        link = {"type": "ALBUM", "albumId": album, "allowUpload": True, "allowDownload": True}
        made = self.client.post("/shared-links", json=link, headers=self.user.headers)
        assert made.status_code == 201, made.text
        return {"x-immich-share-key": made.json()["key"]}

    def ask(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        """With ids of nothing, and nothing said: who is let in is told so, or that it is wrong."""
        filled = re.sub(r"{[^}]*}", str(uuid.uuid4()), path)
        told: dict[str, Any] = {} if method in ("GET", "HEAD") else {"json": {}}
        return self.client.request(method, filled, headers=headers, params=QUERIES.get(f"{method} {path}"), **told)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    shared_dir()
    (tmp_path / "media").mkdir()
    with (
        api_stack(f"sqlite:///{tmp_path / 'heliostat.db'}", tmp_path / "media") as stack,
        in_process(stack.app) as client,
    ):
        yield World(stack, client, stack.add_person("admin", is_admin=True), stack.add_person("user"))


def as_it_should(answer: httpx.Response, wanted: int | None) -> bool:
    """`wanted`: the status of the refusal, None where there is to be none."""
    return (let_in(answer) and answer.status_code < 500) if wanted is None else answer.status_code == wanted


def let_in(answer: httpx.Response) -> bool:
    """Whether it was more than a refusal of who asks: what is wrong with the rest does not matter here."""
    message = answer.json().get("message", "") if answer.status_code == 403 else ""
    refused = message == "Forbidden" or str(message).startswith("Missing required permission")
    return answer.status_code != 401 and not refused


@dataclass(frozen=True)
class Identity:
    """Somebody who asks. `headers` makes new credentials; `status`: None when they are let in."""

    name: str
    headers: Callable[[World, Access], dict[str, str]]
    status: Callable[[Access], int | None]


def key_with(world: World, person: Person, permission: str) -> dict[str, str]:
    secret = uuid.uuid4().hex
    world.stack.add_key(person.user_id, secret, permission)
    return {"x-api-key": secret}


def another(permission: str | None) -> str:
    """Any permission but this one."""
    return next(one for one in PERMISSIONS if one not in (permission, ALL))


def refused_unless_public(access: Access) -> int | None:
    return None if access.permission is ANYBODY else 401


def refused_without_permission(access: Access) -> int | None:
    return None if access.permission in (ANYBODY, ANY_KEY) else 403


def refused_unless_shared(access: Access) -> int | None:
    return None if access.shared or access.permission is ANYBODY else 403


def refused_if_for_admins(access: Access) -> int | None:
    return 403 if access.admin else None


IDENTITIES = (
    Identity("nobody", lambda world, access: {}, refused_unless_public),
    Identity(
        "an expired session",
        lambda world, access: world.session_of(world.admin, timedelta(seconds=-1)),
        refused_unless_public,
    ),
    Identity("a wrong key", lambda world, access: {"x-api-key": uuid.uuid4().hex}, refused_unless_public),
    Identity("somebody with a link", lambda world, access: world.link(), refused_unless_shared),
    Identity("a user", lambda world, access: world.session_of(world.user), refused_if_for_admins),
    Identity("an admin", lambda world, access: world.session_of(world.admin), lambda access: None),
    Identity(
        "a key with the permission",
        lambda world, access: key_with(world, world.admin, access.permission or another(None)),
        lambda access: None,
    ),
    Identity(
        "a key without it",
        lambda world, access: key_with(world, world.admin, another(access.permission)),
        refused_without_permission,
    ),
    Identity(
        "a user's key with it",
        lambda world, access: key_with(world, world.user, access.permission or another(None)),
        refused_if_for_admins,
    ),
)


def test_every_route_lets_in_whom_it_should(world: World, report: Callable[[str], None]) -> None:
    wrong, asked, served = [], 0, sorted(routes())
    for method, path in served:
        access = access_to(method, path)
        for identity in IDENTITIES:
            wanted = identity.status(access)
            if wanted is None and f"{method} {path}" in ENDLESS:
                continue
            if f"{method} {path}" in FOR_LINKS_ALONE and "link" not in identity.name:
                continue
            answer = world.ask(method, path, identity.headers(world, access))
            asked += 1
            if not as_it_should(answer, wanted):
                wrong.append(f"{method} {path}, {identity.name}: {answer.status_code} {answer.text[:80]}")
    report(f"{len(served)} routes, {len(IDENTITIES)} identities, {asked} requests: {len(wrong)} answered otherwise")
    assert wrong == [], "\n".join(wrong)
    assert {f"{method} {path}" for method, path in served} >= set(OURS)


def test_pages_of_admins_are_shown_to_admins(world: World) -> None:
    for path, _ in pages.FOR_ADMINS:
        for headers, wanted in (({}, {303, 307, 302}), (world.session_of(world.user), {303, 307, 302, 403})):
            answer = world.client.request("GET", f"/..{path}", headers=headers)
            if path == pages.PHOTOS and headers:
                assert answer.status_code == 200
            else:
                assert answer.status_code in wanted, path
        assert world.client.request("GET", f"/..{path}", headers=world.session_of(world.admin)).status_code == 200
