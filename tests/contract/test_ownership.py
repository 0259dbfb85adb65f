"""What is somebody's is nobody else's: every route that names a thing of a user by its id is asked by another user, who
is refused or sees nothing of it, and then by its owner, who is not. A new such route without a line here fails.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from cluster.db.tables.activity import Activity
from cluster.db.tables.notification import Notification
from cluster.db.tables.person import AssetFace, MergeProposal
from cluster.db.tables.user import ApiKey
from cluster.db.tables.user import Session as UserSession
from tests.api_stack import ApiStack, AppClient, Person, api_stack, in_process
from tests.contract.test_authorisation import access_to, routes
from tests.library_rows import NOON, add, add_album, add_asset, add_person, add_tag
from tests.shared_media import shared_dir


@dataclass(frozen=True)
class Things:
    """One of each that somebody owns, made anew for each route."""

    asset: str
    second: str
    album: str
    member: str
    guest: str
    tag: str
    stack: str
    stacked: str
    person: str
    other_person: str
    face: str
    memory: str
    key: str
    session: str
    activity: str
    notification: str
    link: str
    duplicate: str
    twin: str


@dataclass(frozen=True)
class Ask:
    """A request that names somebody's thing. `status`: the owner's answer; for files that are not there it is 404,
    which nobody else is told. `hides`: the other's answer is a good one that says nothing of it."""

    route: str
    path: Callable[[Things], str]
    body: Callable[[Things], Any] | None = None
    status: int = 200
    hides: bool = False


def at(route: str, name: str, body: Callable[[Things], Any] | None = None, status: int = 200) -> Ask:
    """The route's first id is this thing's."""
    return Ask(route, lambda things: re.sub(r"{[^}]*}", getattr(things, name), route.split()[1], count=1), body, status)


def told(route: str, body: Callable[[Things], Any], status: int = 200, *, hides: bool = False) -> Ask:
    """The thing stands in the body."""
    return Ask(route, lambda things: route.split()[1], body, status, hides)


def nothing(things: Things) -> Any:
    return {}


def no_file(route: str) -> Ask:
    return at(route, "asset", status=404)


ASKS = (
    at("PUT /sessions/{id}", "session", lambda _: {"isPendingSyncReset": True}),
    at("PATCH /sessions/{id}", "session", lambda _: {"isPendingSyncReset": True}),
    at("POST /sessions/{id}/lock", "session", status=204),
    at("DELETE /sessions/{id}", "session", status=204),
    at("GET /api-keys/{id}", "key"),
    at("PUT /api-keys/{id}", "key", lambda _: {"name": "other"}),
    at("PATCH /api-keys/{id}", "key", lambda _: {"name": "other"}),
    at("DELETE /api-keys/{id}", "key", status=204),
    at("GET /assets/{asset_id}", "asset"),
    at("PUT /assets/{asset_id}", "asset", lambda _: {"description": "other"}),
    at("PATCH /assets/{asset_id}", "asset", lambda _: {"description": "other"}),
    at("GET /assets/{asset_id}/metadata", "asset"),
    at("GET /assets/{asset_id}/ocr", "asset"),
    at("GET /assets/{asset_id}/edits", "asset"),
    no_file("GET /assets/{asset_id}/thumbnail"),
    no_file("HEAD /assets/{asset_id}/thumbnail"),
    no_file("GET /assets/{asset_id}/original"),
    no_file("HEAD /assets/{asset_id}/original"),
    no_file("GET /assets/{asset_id}/video/playback"),
    no_file("HEAD /assets/{asset_id}/video/playback"),
    at("GET /asset-steps/{asset_id}", "asset"),
    Ask("GET /failures", lambda things: f"/failures?assetId={things.asset}", hides=True),
    at("PUT /assets/{asset_id}/metadata", "asset", lambda _: {"items": [{"key": "mobile-app", "value": {"a": 1}}]}),
    Ask("GET /assets/{asset_id}/metadata/{key}", lambda things: f"/assets/{things.asset}/metadata/mobile-app"),
    Ask(
        "DELETE /assets/{asset_id}/metadata/{key}",
        lambda things: f"/assets/{things.asset}/metadata/mobile-app",
        status=204,
    ),
    told("PUT /assets/copy", lambda things: {"sourceId": things.asset, "targetId": things.second}, 204),
    at("DELETE /activities/{id}", "activity", status=204),
    Ask("GET /activities", lambda things: f"/activities?albumId={things.album}"),
    told("POST /activities", lambda things: {"albumId": things.album, "type": "like"}, 201),
    at("GET /notifications/{id}", "notification"),
    at("PUT /notifications/{id}", "notification", lambda _: {"readAt": "2024-03-05T00:00:00.000Z"}),
    at("DELETE /notifications/{id}", "notification", status=204),
    at("GET /shared-links/{id}", "link"),
    at("PATCH /shared-links/{id}", "link", lambda _: {"description": "other"}),
    at("DELETE /shared-links/{id}", "link", status=204),
    at("PUT /shared-links/{id}/assets", "link", lambda things: {"assetIds": [things.second]}),
    at("DELETE /shared-links/{id}/assets", "link", lambda things: {"assetIds": [things.asset]}),
    told("PUT /assets", lambda things: {"ids": [things.asset], "isFavorite": True}, 204),
    told("PATCH /assets", lambda things: {"ids": [things.asset], "isFavorite": True}, 204),
    told("DELETE /assets", lambda things: {"ids": [things.asset]}, 204),
    told("POST /assets/jobs", lambda things: {"assetIds": [things.asset], "name": "refresh-metadata"}, 204),
    told("POST /trash/restore/assets", lambda things: {"ids": [things.asset]}),
    at("GET /memories/{id}", "memory"),
    at("PUT /memories/{id}", "memory", lambda _: {"isSaved": True}),
    at("PATCH /memories/{id}", "memory", lambda _: {"isSaved": True}),
    at("DELETE /memories/{id}", "memory", status=204),
    at("PUT /memories/{id}/assets", "memory", lambda things: {"ids": [things.second]}),
    at("DELETE /memories/{id}/assets", "memory", lambda things: {"ids": [things.asset]}),
    at("GET /tags/{id}", "tag"),
    at("PUT /tags/{id}", "tag", lambda _: {"color": "#ff0000"}),
    at("PATCH /tags/{id}", "tag", lambda _: {"color": "#ff0000"}),
    at("DELETE /tags/{id}", "tag", status=204),
    told("PUT /tags/assets", lambda things: {"tagIds": [things.tag], "assetIds": [things.second]}, hides=True),
    at("PUT /tags/{id}/assets", "tag", lambda things: {"ids": [things.second]}),
    at("DELETE /tags/{id}/assets", "tag", lambda things: {"ids": [things.asset]}),
    at("GET /people/{id}", "person"),
    at("PUT /people/{id}", "person", lambda _: {"name": "other"}),
    at("PATCH /people/{id}", "person", lambda _: {"name": "other"}),
    at("DELETE /people/{id}", "person", status=204),
    at("GET /people/{id}/statistics", "person"),
    at("GET /people/{id}/thumbnail", "person", status=404),
    at("POST /people/{id}/merge", "person", lambda things: {"ids": [things.other_person]}),
    at(
        "PUT /people/{id}/reassign",
        "other_person",
        lambda things: {"data": [{"personId": things.person, "assetId": things.asset}]},
    ),
    told("PUT /people", lambda things: {"people": [{"id": things.person, "name": "other"}]}),
    told("PATCH /people", lambda things: {"people": [{"id": things.person, "name": "other"}]}),
    told("DELETE /people", lambda things: {"ids": [things.person]}, 204),
    Ask("GET /faces", lambda things: f"/faces?id={things.asset}"),
    told(
        "POST /faces",
        lambda things: {
            "assetId": things.asset,
            "personId": things.person,
            **{"imageWidth": 20, "imageHeight": 20},
            **dict.fromkeys(("x", "y", "width", "height"), 10),
        },
        201,
    ),
    at("PUT /faces/{id}", "other_person", lambda things: {"id": things.face}),
    at("DELETE /faces/{id}", "face", lambda _: {"force": False}, 204),
    Ask(
        "DELETE /merge-proposals/{first}/{second}",
        lambda things: f"/merge-proposals/{'/'.join(sorted((things.person, things.other_person)))}",
        status=204,
    ),
    at("GET /albums/{album_id}", "album"),
    at("PATCH /albums/{album_id}", "album", lambda _: {"albumName": "other"}),
    at("DELETE /albums/{album_id}", "album", status=204),
    at("GET /albums/{album_id}/map-markers", "album"),
    at("PUT /albums/{album_id}/assets", "album", lambda things: {"ids": [things.second]}),
    at("DELETE /albums/{album_id}/assets", "album", lambda things: {"ids": [things.asset]}),
    at("PUT /albums/{album_id}/users", "album", lambda things: {"albumUsers": [{"userId": things.guest}]}),
    told("PUT /albums/assets", lambda things: {"albumIds": [things.album], "assetIds": [things.second]}),
    Ask(
        "PUT /albums/{album_id}/user/{user_id}",
        lambda things: f"/albums/{things.album}/user/{things.member}",
        lambda _: {"role": "editor"},
        204,
    ),
    Ask(
        "DELETE /albums/{album_id}/user/{user_id}",
        lambda things: f"/albums/{things.album}/user/{things.member}",
        status=204,
    ),
    told("POST /download/info", lambda things: {"assetIds": [things.asset]}, 201),
    told("POST /download/archive", lambda things: {"assetIds": [things.asset]}),
    told("POST /stacks", lambda things: {"assetIds": [things.asset, things.second]}, 201),
    told("DELETE /stacks", lambda things: {"ids": [things.stack]}, 204),
    at("GET /stacks/{stack_id}", "stack"),
    at("PUT /stacks/{stack_id}", "stack", nothing),
    at("PATCH /stacks/{stack_id}", "stack", nothing),
    at("DELETE /stacks/{stack_id}", "stack", status=204),
    Ask(
        "DELETE /stacks/{stack_id}/assets/{asset_id}",
        lambda things: f"/stacks/{things.stack}/assets/{things.stacked}",
        status=204,
    ),
    told("DELETE /duplicates", lambda things: {"ids": [things.duplicate]}, 204, hides=True),
    Ask(
        "DELETE /duplicates/{duplicate_id}",
        lambda things: f"/duplicates/{things.duplicate}",
        status=204,
        hides=True,
    ),
    told(
        "POST /duplicates/resolve",
        lambda things: {
            "groups": [{"duplicateId": things.duplicate, "keepAssetIds": [things.twin], "trashAssetIds": []}]
        },
    ),
)
NOTHING = (None, {"count": 0}, {"items": [], "total": 0, "next": None})
NOBODYS = {
    "GET /users/{id}",
    "GET /users/{id}/profile-image",
    *(f"{method} /partners/{{id}}" for method in ("POST", "PUT", "DELETE")),
}
"""Every user may know of every other; whose partner somebody is stands in who asks."""


@dataclass(frozen=True)
class World:
    """Somebody with things, and somebody else."""

    stack: ApiStack
    client: AppClient
    owner: Person
    other: Person

    def things(self) -> Things:
        stack, owner = self.stack, self.owner
        asset, second, stacked, third = (add_asset(stack, owner) for _ in range(4))
        duplicate = str(uuid.uuid4())
        twin, _ = (add_asset(stack, owner, duplicate_id=duplicate) for _ in range(2))
        member, guest = (stack.add_person(uuid.uuid4().hex) for _ in range(2))
        person, other_person = add_person(stack, owner, "Ada", asset), add_person(stack, owner, "Eve")
        times = {"created_at": NOON, "updated_at": NOON}
        face = add(stack, AssetFace, asset_id=asset, person_id=person, **times)
        first, last = sorted((person, other_person))
        with stack.services.database.session() as session:
            session.execute(insert(MergeProposal).values(first_id=first, second_id=last, faces=3, proposed_at=NOON))
        made, album = self.made, add_album(stack, owner, asset, shared_with=member)
        self.client.put(
            f"/assets/{asset}/metadata",
            json={"items": [{"key": "mobile-app", "value": {}}]},
            headers=self.owner.headers,
        )
        return Things(
            asset=asset,
            second=second,
            album=album,
            activity=add(stack, Activity, album_id=album, user_id=owner.user_id, is_liked=False, comment="Oh", **times),
            notification=add(
                stack, Notification, user_id=owner.user_id, level="info", type="Custom", title="Hello", created_at=NOON
            ),
            link=made("/shared-links", {"type": "INDIVIDUAL", "assetIds": [asset]}),
            member=member.user_id,
            guest=guest.user_id,
            tag=add_tag(stack, owner, uuid.uuid4().hex, asset),
            stack=made("/stacks", {"assetIds": [third, stacked]}),
            stacked=stacked,
            person=person,
            other_person=other_person,
            face=face,
            memory=made(
                "/memories",
                {
                    "type": "on_this_day",
                    "data": {"year": 2020},
                    "memoryAt": "2024-03-05T00:00:00.000Z",
                    "assetIds": [asset],
                },
            ),
            key=add(
                stack, ApiKey, name="a", key_sha256=uuid.uuid4().hex, user_id=owner.user_id, permissions=[], **times
            ),
            session=add(stack, UserSession, token_sha256=uuid.uuid4().hex, user_id=owner.user_id, **times),
            duplicate=duplicate,
            twin=twin,
        )

    def made(self, path: str, body: dict[str, Any]) -> str:
        answer = self.client.post(path, json=body, headers=self.owner.headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def ask(self, ask: Ask, things: Things, caller: Person) -> httpx.Response:
        method = ask.route.split()[0]
        said = {} if ask.body is None else {"json": ask.body(things)}
        return self.client.request(method, ask.path(things), headers=caller.headers, **said)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with (
        api_stack(f"sqlite:///{tmp_path / 'heliostat.db'}", tmp_path / "media") as stack,
        in_process(stack.app) as client,
    ):
        yield World(stack, client, stack.add_person("ann"), stack.add_person("bob"))


def secret() -> str:
    return uuid.uuid4().hex


def tells_nothing(ask: Ask, answer: httpx.Response) -> bool:
    """A refusal; or, where many things are named, that none of them is the caller's."""
    if answer.status_code in (400, 403, 404):
        return not (ask.status == 404 and answer.status_code == 404)
    if ask.hides:
        return answer.status_code in (200, 204) and (answer.json() if answer.content else None) in NOTHING
    outcomes = answer.json() if answer.content else None
    if isinstance(outcomes, dict):
        outcomes = [outcomes]
    return bool(outcomes) and all(one.get("success") is False for one in outcomes)


def test_nobody_reaches_what_is_somebody_elses(world: World, report: Callable[[str], None]) -> None:
    wrong = []
    for ask in ASKS:
        things = world.things()
        others = world.ask(ask, things, world.other)
        own = world.ask(ask, things, world.owner)
        if not tells_nothing(ask, others):
            wrong.append(f"{ask.route}, another user: {others.status_code} {others.text[:120]}")
        if own.status_code != ask.status:
            wrong.append(f"{ask.route}, the owner: {own.status_code} {own.text[:200]}")
    report(f"{len(ASKS)} routes that name a user's thing: {len(wrong)} answered otherwise")
    assert wrong == [], "\n".join(wrong)


def test_every_route_that_names_a_thing_is_asked() -> None:
    shared_dir()
    naming = {f"{method} {path}" for method, path in routes() if "{" in path and not access_to(method, path).admin}
    assert naming - {ask.route for ask in ASKS} - NOBODYS == set()
