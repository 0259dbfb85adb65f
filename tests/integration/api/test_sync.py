"""A client that applies the sync stream has what the API shows, whatever happened and however often it was cut off."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from cluster.db.queries.sync_changes import begin_again, prune_deleted
from cluster.db.tables.asset import Asset, AssetMetadata
from cluster.db.tables.sync import SyncChange, SyncCheckpoint
from cluster.db.tables.user import Session as UserSession
from serve_app.deps import hashed
from tests.api_stack import ApiStack, AppClient, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_asset, add_person, asset_values
from tests.sync_copy import Copy

SOON_S = 20.0
ALBUMS = 4


def copy_of(stack: ApiStack, client: AppClient, person: Person) -> Copy:
    """A device that the person has signed in with."""
    token, now = uuid.uuid4().hex, stack.services.clock.now()
    row = {"id": str(uuid.uuid4()), "token_sha256": hashed(token), "user_id": person.user_id}
    times = {"created_at": now, "updated_at": now}
    with stack.services.database.session() as session:
        session.execute(insert(UserSession).values(**row, **times))
    return Copy(client, token)


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return [line["type"] for line in lines]


def after_sync(copy: Copy, shown: Callable[[], Any], had: Callable[[], Any]) -> None:
    """On PostgreSQL, where tests share a server, a transaction of another test may hold the horizon for a moment."""
    until = time.monotonic() + SOON_S
    while True:
        copy.sync()
        if had() == shown() or time.monotonic() > until:
            assert had() == shown()
            return


def all_assets(client: CheckedClient) -> dict[str, Any]:
    found = client.post("/search/metadata", size=1000, withDeleted=True, withExif=True)["assets"]["items"]
    return {one["id"]: asset_facts(one, one["exifInfo"], one["isTrashed"]) for one in found}


def asset_facts(asset: dict[str, Any], exif: dict[str, Any], trashed: bool) -> Any:
    of_asset = ("isFavorite", "visibility", "originalFileName", "checksum", "localDateTime", "livePhotoVideoId")
    return [trashed, *(asset[name] for name in of_asset), exif["description"], exif["rating"], exif["fileSizeInByte"]]


def of_others(client: CheckedClient, asset_ids: Collection[str]) -> dict[str, Any]:
    """Those that the caller may see."""
    answers = [client.request("GET", f"/assets/{asset_id}") for asset_id in asset_ids]
    found = [answer.json() for answer in answers if answer.is_success]
    return {one["id"]: asset_facts(one, one["exifInfo"], one["isTrashed"]) for one in found}


def shown(client: CheckedClient, others: Collection[str] = ()) -> dict[str, Any]:
    """What the API lists, and what it shows of the assets of others."""
    me = client.get("/users/me")
    found = all_assets(client)
    faces = {one for asset_id in found for one in face_facts(client, asset_id)}
    albums = client.get("/albums")
    memories = client.get("/memories")
    return {
        "me": (me["id"], me["name"], me["email"], me["isAdmin"], me["quotaUsageInBytes"]),
        "users": {(one["id"], one["name"]) for one in client.get("/users")},
        "preferences": client.get("/users/me/preferences"),
        "assets": found,
        "albums": {one["id"]: (one["albumName"], one["description"], one["order"]) for one in albums},
        "members": {(one["id"], who["user"]["id"], who["role"]) for one in albums for who in one["albumUsers"]},
        "contents": {one["id"]: contents(client, one["id"]) for one in albums},
        "stacks": {
            one["id"]: (one["primaryAssetId"], {each["id"] for each in one["assets"]}) for one in client.get("/stacks")
        },
        "people": {
            (one["id"], one["name"], one["isHidden"], one["isFavorite"])
            for one in client.get("/people", withHidden=True)["people"]
        },
        "faces": faces,
        "memories": {(one["id"], one["isSaved"], *sorted(each["id"] for each in one["assets"])) for one in memories},
        "partners": [(one["id"], one["inTimeline"]) for one in client.get("/partners", direction="shared-with")],
        "shown to": [(one["id"], one["inTimeline"]) for one in client.get("/partners", direction="shared-by")],
        "of others": of_others(client, others),
        "metadata": {
            (asset_id, one["key"], one["value"]["n"])
            for asset_id in found
            for one in client.get(f"/assets/{asset_id}/metadata")
        },
    }


def contents(client: CheckedClient, album_id: str) -> dict[str, Any]:
    months = [one["timeBucket"] for one in client.get("/timeline/buckets", albumId=album_id)]
    pages = [client.get("/timeline/bucket", albumId=album_id, timeBucket=month) for month in months]
    found = [client.get(f"/assets/{asset_id}") for page in pages for asset_id in page["id"]]
    assert len(found) == client.get(f"/albums/{album_id}")["assetCount"]
    return {one["id"]: asset_facts(one, one["exifInfo"], False) for one in found}


def face_facts(client: CheckedClient, asset_id: str) -> list[tuple[Any, ...]]:
    return [
        (asset_id, one["id"], one["person"] and one["person"]["id"], one["boundingBoxX2"])
        for one in client.get("/faces", id=asset_id)
    ]


def had(copy: Copy, user_id: str) -> dict[str, Any]:
    """The same, as the copy has it."""
    exifs = {row["assetId"]: row for row in copy.rows("exif")}
    assets = {row["id"]: row for row in copy.rows("asset")}
    mine = {one: row for one, row in assets.items() if row["ownerId"] == user_id}

    def facts(asset_id: str) -> Any:
        return asset_facts(assets[asset_id], exifs[asset_id], assets[asset_id]["deletedAt"] is not None)

    def timeline(asset_id: str) -> bool:
        return assets[asset_id]["deletedAt"] is None and assets[asset_id]["visibility"] == "timeline"

    def in_album(asset_id: str) -> bool:
        return assets[asset_id]["deletedAt"] is None and assets[asset_id]["visibility"] in ("timeline", "archive")

    (me,) = copy.rows("account")
    partners = {row["sharedById"] for row in copy.rows("partner")} - {user_id}
    links = [(row["albumId"], row["assetId"]) for row in copy.rows("album_asset")]
    return {
        "me": (me["id"], me["name"], me["email"], me["isAdmin"], me["quotaUsageInBytes"]),
        "users": {(row["id"], row["name"]) for row in copy.rows("user")},
        "preferences": copy.tables["user_metadata"][(user_id, "preferences")]["value"],
        "assets": {one: facts(one) for one in mine},
        "albums": {row["id"]: (row["name"], row["description"], row["order"]) for row in copy.rows("album")},
        "members": {(row["albumId"], row["userId"], row["role"]) for row in copy.rows("album_user")},
        "contents": {
            row["id"]: {asset: facts(asset) for album, asset in links if album == row["id"] and in_album(asset)}
            for row in copy.rows("album")
        },
        "stacks": {
            row["id"]: (
                row["primaryAssetId"],
                {one for one, asset in mine.items() if asset["stackId"] == row["id"] and asset["deletedAt"] is None},
            )
            for row in copy.rows("stack")
        },
        "people": {(row["id"], row["name"], row["isHidden"], row["isFavorite"]) for row in copy.rows("person")},
        "faces": {
            (row["assetId"], row["id"], row["personId"], row["boundingBoxX2"])
            for row in copy.rows("face")
            if row["deletedAt"] is None
        },
        "memories": {
            (
                *(row["id"], row["isSaved"]),
                *sorted(
                    link["assetId"]
                    for link in copy.rows("memory_asset")
                    if link["memoryId"] == row["id"] and timeline(link["assetId"])
                ),
            )
            for row in copy.rows("memory")
        },
        "metadata": {(row["assetId"], row["key"], row["value"]["n"]) for row in copy.rows("metadata")},
        "partners": [
            (row["sharedById"], row["inTimeline"]) for row in copy.rows("partner") if row["sharedWithId"] == user_id
        ],
        "shown to": [
            (row["sharedWithId"], row["inTimeline"]) for row in copy.rows("partner") if row["sharedById"] == user_id
        ],
        "of others": {
            one: facts(one)
            for one in assets.keys() - mine.keys()
            if in_album(one) and (assets[one]["ownerId"] in partners or one in {asset for _, asset in links})
        },
    }


@dataclass
class World:
    """Two people who do things at random. Whatever is refused is no change."""

    stack: ApiStack
    chance: random.Random
    people: dict[str, tuple[Person, CheckedClient]]
    assets: dict[str, list[str]] = field(default_factory=lambda: {"ann": [], "ben": []})
    albums: list[str] = field(default_factory=list)
    persons: list[str] = field(default_factory=list)
    stacks: list[str] = field(default_factory=list)
    memories: list[str] = field(default_factory=list)

    def step(self) -> None:
        name = self.chance.choice(("ann", "ben"))
        person, client = self.people[name]
        self.chance.choice(
            (
                self.arrive,
                self.arrive,
                self.change_asset,
                self.describe,
                self.trash,
                self.delete_for_good,
                self.make_album,
                self.fill_album,
                self.fill_album,
                self.empty_album,
                self.share,
                self.share,
                self.share,
                self.unshare,
                self.change_album,
                self.delete_album,
                self.make_stack,
                self.drop_stack,
                self.meet,
                self.change_person,
                self.forget_person,
                self.remember,
                self.change_memory,
                self.note,
                self.change_me,
                self.show_timeline,
                self.hide_timeline,
            )
        )(name, person, client)

    def one_of(self, things: list[str]) -> str:
        return self.chance.choice(things) if things else str(uuid.uuid4())

    def some(self, name: str, least: int = 0) -> list[str]:
        mine = self.assets[name]
        return self.chance.sample(mine, min(len(mine), least + self.chance.randrange(4)))

    def arrive(self, name: str, person: Person, client: CheckedClient) -> None:
        number = self.chance.randrange(1000)
        self.assets[name].append(add_asset(self.stack, person, NOON + timedelta(hours=number), file_size_bytes=number))

    def change_asset(self, name: str, person: Person, client: CheckedClient) -> None:
        body = {"isFavorite": self.chance.random() < 0.5, "visibility": self.chance.choice(("timeline", "archive"))}
        client.request("PUT", f"/assets/{self.one_of(self.assets[name])}", json=body)

    def describe(self, name: str, person: Person, client: CheckedClient) -> None:
        body = {"description": f"text {self.chance.random()}", "rating": self.chance.randrange(1, 6)}
        client.request("PUT", f"/assets/{self.one_of(self.assets[name])}", json=body)

    def trash(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("DELETE", "/assets", json={"ids": self.some(name)})
        client.request("POST", "/trash/restore/assets", json={"ids": self.some(name)})

    def delete_for_good(self, name: str, person: Person, client: CheckedClient) -> None:
        """As the job does in the end."""
        gone = self.one_of(self.assets[name])
        with self.stack.services.database.session() as session:
            stack_id = session.scalar(select(Asset.stack_id).where(Asset.id == gone))
            if stack_id is None:
                session.execute(delete(Asset).where(Asset.id == gone))
        if stack_id is None and gone in self.assets[name]:
            self.assets[name].remove(gone)

    def make_album(self, name: str, person: Person, client: CheckedClient) -> None:
        if len(self.albums) < ALBUMS:
            made = client.request("POST", "/albums", json={"albumName": name, "assetIds": self.some(name)})
            self.albums.append(made.json()["id"])

    def fill_album(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("PUT", f"/albums/{self.one_of(self.albums)}/assets", json={"ids": self.some(name, 1)})

    def empty_album(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("DELETE", f"/albums/{self.one_of(self.albums)}/assets", json={"ids": self.some(name, 1)})

    def other(self, name: str) -> str:
        return self.people["ben" if name == "ann" else "ann"][0].user_id

    def share(self, name: str, person: Person, client: CheckedClient) -> None:
        who = {"userId": self.other(name), "role": self.chance.choice(("editor", "viewer"))}
        path = f"/albums/{self.one_of(self.albums)}"
        client.request("PUT", f"{path}/users", json={"albumUsers": [who]})
        client.request("PUT", f"{path}/user/{who['userId']}", json={"role": who["role"]})

    def unshare(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("DELETE", f"/albums/{self.one_of(self.albums)}/user/{self.other(name)}")

    def change_album(self, name: str, person: Person, client: CheckedClient) -> None:
        body = {"description": f"{self.chance.random()}", "order": self.chance.choice(("asc", "desc"))}
        client.request("PATCH", f"/albums/{self.one_of(self.albums)}", json=body)

    def delete_album(self, name: str, person: Person, client: CheckedClient) -> None:
        gone = self.one_of(self.albums)
        if self.chance.random() < 0.4 and client.request("DELETE", f"/albums/{gone}").is_success:
            self.albums.remove(gone)

    def make_stack(self, name: str, person: Person, client: CheckedClient) -> None:
        made = client.request("POST", "/stacks", json={"assetIds": self.some(name, 2)})
        if made.is_success:
            self.stacks.append(made.json()["id"])

    def drop_stack(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("DELETE", f"/stacks/{self.one_of(self.stacks)}")

    def meet(self, name: str, person: Person, client: CheckedClient) -> None:
        self.persons.append(add_person(self.stack, person, f"n{self.chance.random()}", *self.some(name)))

    def change_person(self, name: str, person: Person, client: CheckedClient) -> None:
        body = {"name": f"m{self.chance.random()}", "isHidden": self.chance.random() < 0.5}
        client.request("PUT", f"/people/{self.one_of(self.persons)}", json=body)

    def forget_person(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("DELETE", f"/people/{self.one_of(self.persons)}")

    def remember(self, name: str, person: Person, client: CheckedClient) -> None:
        body = {"type": "on_this_day", "data": {"year": 2020}, "memoryAt": "2024-03-05T00:00:00.000Z"}
        made = client.request("POST", "/memories", json={**body, "assetIds": self.some(name)})
        self.memories.append(made.json()["id"])

    def change_memory(self, name: str, person: Person, client: CheckedClient) -> None:
        path = f"/memories/{self.one_of(self.memories)}"
        client.request("PUT", path, json={"isSaved": self.chance.random() < 0.5})
        client.request("PUT", f"{path}/assets", json={"ids": self.some(name, 1)})
        client.request("DELETE", f"{path}/assets", json={"ids": self.some(name)})
        if self.chance.random() < 0.2:
            client.request("DELETE", path)

    def note(self, name: str, person: Person, client: CheckedClient) -> None:
        with self.stack.services.database.session() as session:
            for asset_id in self.some(name):
                session.execute(delete(AssetMetadata).where(AssetMetadata.asset_id == asset_id))
                if self.chance.random() < 0.7:
                    value = {"n": self.chance.random()}
                    row = {"asset_id": asset_id, "key": "a/b", "value": value, "updated_at": NOON}
                    session.execute(insert(AssetMetadata).values(**row))

    def show_timeline(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("POST", "/partners", json={"sharedWithId": self.other(name)})
        client.request("PUT", f"/partners/{self.other(name)}", json={"inTimeline": self.chance.random() < 0.5})

    def hide_timeline(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("DELETE", f"/partners/{self.other(name)}")

    def change_me(self, name: str, person: Person, client: CheckedClient) -> None:
        client.request("PUT", "/users/me", json={"name": f"{name} {self.chance.random()}"})
        client.request("PUT", "/users/me/preferences", json={"people": {"minimumFaces": self.chance.randrange(1, 9)}})


@pytest.mark.parametrize("seed", [1, 2])
def test_copies_are_what_the_api_lists_however_often_they_are_cut_off(
    stack: ApiStack,
    client: AppClient,
    ann: Person,
    ben: Person,
    as_ann: CheckedClient,
    as_ben: CheckedClient,
    seed: int,
) -> None:
    chance = random.Random(seed)
    world = World(stack, chance, {"ann": (ann, as_ann), "ben": (ben, as_ben)})
    steady, torn, of_ben = copy_of(stack, client, ann), copy_of(stack, client, ann), copy_of(stack, client, ben)
    for _ in range(12):
        for _ in range(10):
            world.step()
        torn.sync(only=chance.randrange(40))
        if chance.random() < 0.5:
            after_sync(steady, lambda: shown(as_ann, world.assets["ben"]), lambda: had(steady, ann.user_id))
        if chance.random() < 0.5:
            after_sync(of_ben, lambda: shown(as_ben, world.assets["ann"]), lambda: had(of_ben, ben.user_id))
    for copy, person, checked, other in (
        (steady, ann, as_ann, "ben"),
        (torn, ann, as_ann, "ben"),
        (of_ben, ben, as_ben, "ann"),
    ):
        after_sync(copy, lambda: shown(checked, world.assets[other]), lambda: had(copy, person.user_id))  # noqa: B023 at once


def test_keys_may_not_sync_and_sessions_may(stack: ApiStack, client: AppClient, ann: Person) -> None:
    refused = {"message": "Sync endpoints cannot be used with API keys"}
    for method, path, body in (
        ("POST", "/sync/stream", {"types": []}),
        ("GET", "/sync/ack", None),
        ("POST", "/sync/ack", {"acks": []}),
        ("DELETE", "/sync/ack", {}),
    ):
        answer = client.request(method, path, json=body, headers=ann.headers)
        assert (answer.status_code, answer.json()) == (403, refused)
    assert kinds(copy_of(stack, client, ann).lines(["AssetsV2"])) == ["SyncCompleteV1"]
    assert client.post("/sync/stream", json={"types": ["Nonsense"]}, headers=ann.headers).status_code == 400


def test_acks_are_kept_by_session_and_type(stack: ApiStack, client: AppClient, ann: Person) -> None:
    add_asset(stack, ann)
    phone, tablet = copy_of(stack, client, ann), copy_of(stack, client, ann)
    told = phone.sync()
    by_type = {line["ack"].partition("|")[0]: line["ack"] for line in told}
    kept = client.get("/sync/ack", headers=phone.headers).json()
    # of albums nobody has, the server notes that nothing has to be made up for
    assert {one["type"]: one["ack"] for one in kept} == by_type
    assert client.get("/sync/ack", headers=tablet.headers).json() == []
    assert kinds(phone.sync()) == ["SyncCompleteV1"]
    client.request("DELETE", "/sync/ack", json={"types": ["AssetV2"]}, headers=phone.headers)
    assert kinds(phone.lines()) == ["AssetV2", "SyncCompleteV1"]
    client.request("DELETE", "/sync/ack", json={}, headers=phone.headers)
    assert kinds(phone.lines()) == kinds(told)


NO_ACKS = (
    *("", "Nonsense|0.1", "AssetV2", "AssetV2|", "AssetV2|x.y", "AssetV2|1"),
    *(
        "AssetV2|1.1000000000000000000",
        "AssetV2|9999999999999999999.1",
        "AssetV2|1.--1",
        "AssetV2|1_0.1",
        "AssetV2|١.1",
    ),
    *("AlbumToAssetBackfillV1|0.1|x", "AlbumToAssetBackfillV1|0.1|1", "SyncCompleteV1|0.1|x", "SyncCompleteV1|0.1"),
    *("SyncCompleteV1|0.1|999999999999999", "AssetV2|0.1|complete|"),
)


@pytest.mark.parametrize("ack", NO_ACKS)
def test_an_ack_that_we_did_not_write_is_refused(stack: ApiStack, client: AppClient, ann: Person, ack: str) -> None:
    phone = copy_of(stack, client, ann)
    answer = client.post("/sync/ack", json={"acks": [ack]}, headers=phone.headers)
    assert answer.status_code == 400, ack
    assert client.get("/sync/ack", headers=phone.headers).json() == []
    assert kinds(phone.lines())[-1] == "SyncCompleteV1"


def test_what_is_deleted_is_told_once(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = add_asset(stack, ann)
    phone = copy_of(stack, client, ann)
    phone.sync()
    with stack.services.database.session() as session:
        session.execute(delete(Asset).where(Asset.id == asset_id))
    (deleted, _) = until(lambda: phone.lines(["AssetsV2"]), lambda lines: len(lines) == 2)
    assert (deleted["type"], deleted["data"]) == ("AssetDeleteV1", {"assetId": asset_id})
    phone.sync()
    assert kinds(phone.sync()) == ["SyncCompleteV1"]


def asset_ids_after_sync(copy: Copy) -> list[str]:
    copy.sync()
    return [row["id"] for row in copy.rows("asset")]


def until(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """Another test's transaction on the same server may hold the horizon for a moment."""
    end = time.monotonic() + SOON_S
    while not good(found := ask()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_a_device_that_was_away_too_long_begins_anew(stack: ApiStack, client: AppClient, ann: Person) -> None:
    gone, stays = add_asset(stack, ann), add_asset(stack, ann)
    phone, other = copy_of(stack, client, ann), copy_of(stack, client, ann)
    phone.sync()
    other.sync(only=3)  # never got to the end
    session_of = select(SyncCheckpoint.session_id)
    long_ago = stack.services.clock.now() - timedelta(days=32)
    with stack.services.database.session() as session:
        session.execute(delete(Asset).where(Asset.id == gone))
        assert prune_deleted(session, stack.services.clock.now() + timedelta(days=1), 10) == 1
        assert session.scalars(session_of).all()
        session.execute(update(SyncCheckpoint).values(created_at=long_ago))
        (ack,) = session.scalars(select(SyncCheckpoint).where(SyncCheckpoint.type == "SyncCompleteV1"))
        ack.ack = ack.ack.rpartition("|")[0] + f"|{int(long_ago.timestamp() * 1000)}"
    for device in (phone, other):
        (line,) = device.sync()
        assert (line["type"], line["data"], line["ack"]) == ("SyncResetV1", {}, "SyncResetV1|reset")
        assert until(lambda: asset_ids_after_sync(device), lambda ids: ids == [stays]) == [stays]  # noqa: B023 at once


def test_a_device_resets_itself_or_is_made_to(stack: ApiStack, client: AppClient, ann: Person) -> None:
    add_asset(stack, ann)
    phone = copy_of(stack, client, ann)
    whole = kinds(phone.sync())
    assert kinds(phone.lines()) == ["SyncCompleteV1"]
    assert kinds(phone.lines(reset=True)) == whole
    phone.sync()
    with stack.services.database.session() as session:
        begin_again(session.connection())  # as after a restore
    (own,) = (one for one in client.get("/sessions", headers=phone.headers).json() if one["current"])
    assert own["isPendingSyncReset"] is True
    assert kinds(phone.lines()) == ["SyncResetV1"]
    assert kinds(phone.sync()) == ["SyncResetV1"]
    assert kinds(phone.sync()) == whole


def test_a_backfill_that_is_cut_off_goes_on_where_it_was(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    rome = [add_asset(stack, ann) for _ in range(5)]
    album_id = as_ann.post("/albums", albumName="Rome", assetIds=rome)["id"]
    as_ben.post("/albums", albumName="Oslo", assetIds=[add_asset(stack, ben)])
    phone = copy_of(stack, client, ben)
    after_sync(phone, lambda: shown(as_ben, rome), lambda: had(phone, ben.user_id))
    as_ann.put(f"/albums/{album_id}/users", albumUsers=[{"userId": ben.user_id, "role": "viewer"}])
    told: list[str] = []
    lines = until(lambda: phone.lines(["AlbumToAssetsV1"]), lambda lines: len(lines) > 5)
    assert kinds(lines) == ["AlbumToAssetBackfillV1"] * 5 + ["SyncAckV1", "SyncCompleteV1"]
    while kinds(lines := phone.sync(["AlbumToAssetsV1"], only=2)) != ["SyncCompleteV1"]:
        told += [line["data"]["assetId"] for line in lines if line["type"] == "AlbumToAssetBackfillV1"]
    assert len(told) == len(set(told)) == 5
    after_sync(phone, lambda: shown(as_ben, rome), lambda: had(phone, ben.user_id))


def test_nobody_is_told_what_is_not_theirs(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    shared, private, locked = (
        add_asset(stack, ann, is_favorite=True, city="Rome"),
        add_asset(stack, ann),
        add_asset(stack, ann, visibility="locked"),
    )
    moving = add_asset(stack, ann, type="VIDEO", visibility="hidden")
    secret = add_asset(stack, ann, visibility="locked", live_photo_video_id=moving)
    album_id = as_ann.post("/albums", albumName="Rome", assetIds=[shared])["id"]
    with stack.services.database.session() as session:  # locked after it was put there
        text_of = text("INSERT INTO album_asset (album_id, asset_id, created_at) VALUES (:album, :asset, :at)")
        for asset_id in (locked, moving, secret):
            session.execute(text_of, {"album": album_id, "asset": asset_id, "at": NOON})
    as_ann.put(f"/albums/{album_id}/users", albumUsers=[{"userId": ben.user_id, "role": "viewer"}])
    phone = copy_of(stack, client, ben)
    until(phone.sync, lambda _: bool(list(phone.rows("album_asset"))))
    assert {row["id"]: row["isFavorite"] for row in phone.rows("asset")} == {shared: False}
    assert [row["city"] for row in phone.rows("exif")] == ["Rome"]
    with stack.services.database.session() as session:
        session.execute(update(Asset).values(width_px=9))
    until(phone.sync, lambda _: any(row["width"] for row in phone.rows("asset")))
    assert {row["id"]: row["width"] for row in phone.rows("asset")} == {shared: 9}
    as_ann.delete(f"/albums/{album_id}/user/{ben.user_id}")
    until(phone.sync, lambda _: not list(phone.rows("album")))
    assert not list(phone.rows("album")) + list(phone.rows("album_asset")) + list(phone.rows("album_user"))
    assert private not in str(phone.tables)


def test_nothing_is_missed_while_others_write(stack: ApiStack, client: AppClient, ann: Person) -> None:
    """Transactions that commit in another order than they began; the one that began first ends last."""
    database, phone = stack.services.database, copy_of(stack, client, ann)
    over = threading.Event()

    def write(pause_s: float) -> None:
        while not over.is_set():
            with database.session() as session:
                for _ in range(3):
                    session.execute(insert(Asset).values(**row_of(ann)))
                    if not database.is_sqlite:
                        time.sleep(pause_s)

    writers = [threading.Thread(target=write, args=(pause_s,)) for pause_s in (0.0, 0.003, 0.02)]
    for writer in writers:
        writer.start()
    for _ in range(25):
        phone.sync(["AssetsV2"])
        time.sleep(0.02)
    over.set()
    for writer in writers:
        writer.join()
    with database.reader() as session:
        there = set(session.scalars(select(Asset.id)))
    until(lambda: phone.sync(["AssetsV2"]), lambda _: {row["id"] for row in phone.rows("asset")} == there)
    assert {row["id"] for row in phone.rows("asset")} == there
    assert len(there) > 50


def row_of(owner: Person) -> dict[str, Any]:
    return asset_values(owner.user_id)


def test_the_older_types_have_their_own_form(
    stack: ApiStack, client: AppClient, ann: Person, as_ann: CheckedClient
) -> None:
    asset_id = add_asset(stack, ann, duration_ms=3_723_045)
    person_id = add_person(stack, ann, "Grace", asset_id)
    album_id = as_ann.post("/albums", albumName="Rome", assetIds=[asset_id])["id"]
    phone = copy_of(stack, client, ann)
    types = ["AssetsV1", "AlbumsV1", "AlbumAssetsV1", "AssetFacesV1"]
    told = {line["type"]: line["data"] for line in until(lambda: phone.lines(types), lambda lines: len(lines) > 5)}
    assert told["AssetV1"]["duration"] == told["AlbumAssetCreateV1"]["duration"] == "01:02:03.045"
    assert (told["AlbumV1"]["id"], told["AlbumV1"]["ownerId"]) == (album_id, ann.user_id)
    assert told["AssetFaceV1"]["personId"] == person_id
    assert "deletedAt" not in told["AssetFaceV1"]
    phone.acknowledge([line["ack"] for line in phone.lines(types)])
    as_ann.delete(f"/faces/{told['AssetFaceV1']['id']}", force=False)
    lines = until(lambda: phone.lines(["AssetFacesV1"]), lambda lines: len(lines) > 1)
    assert lines[0]["type"] == "AssetFaceDeleteV1"
    assert lines[0]["data"] == {"assetFaceId": told["AssetFaceV1"]["id"]}


def test_a_change_of_nothing_that_clients_copy_is_not_told(stack: ApiStack, client: AppClient, ann: Person) -> None:
    asset_id = add_asset(stack, ann)
    phone = copy_of(stack, client, ann)
    until(phone.sync, lambda _: bool(list(phone.rows("asset"))))
    with stack.services.database.session() as session:
        session.execute(update(Asset).values(original_path="/elsewhere.jpg", is_favorite=False, updated_at=NOON))
        before = session.scalar(select(func.max(SyncChange.seq)))
        session.execute(update(Asset).where(Asset.id == asset_id).values(is_favorite=True))
        assert session.scalar(select(func.max(SyncChange.seq))) != before
    assert kinds(until(phone.lines, lambda lines: len(lines) > 1)) == ["AssetV2", "SyncCompleteV1"]


def test_an_account_that_is_back_shows_what_it_showed(
    stack: ApiStack, client: AppClient, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    admin = CheckedClient(client, stack.add_person("ada", is_admin=True))
    hers = [add_asset(stack, ann) for _ in range(3)]
    album_id = as_ann.post("/albums", albumName="Rome", assetIds=hers[:1])["id"]
    as_ann.put(f"/albums/{album_id}/users", albumUsers=[{"userId": ben.user_id, "role": "viewer"}])
    as_ann.post("/partners", sharedWithId=ben.user_id)
    phone = copy_of(stack, client, ben)
    after_sync(phone, lambda: shown(as_ben, hers), lambda: had(phone, ben.user_id))
    assert had(phone, ben.user_id)["of others"].keys() == set(hers)
    admin.delete(f"/admin/users/{ann.user_id}")
    new = copy_of(stack, client, ben)
    for copy in (phone, new):
        until(copy.sync, lambda _: not list(copy.rows("album")) and list(copy.rows("account")))  # noqa: B023 at once
        assert list(copy.rows("album")) == list(copy.rows("album_asset")) == []
    admin.post(f"/admin/users/{ann.user_id}/restore")
    for copy in (phone, new):
        after_sync(copy, lambda: shown(as_ben, hers), lambda: had(copy, ben.user_id))  # noqa: B023 at once
        assert had(copy, ben.user_id)["of others"].keys() == set(hers)
