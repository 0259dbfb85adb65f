"""From the event table to a client's socket: everything, once, in order, to whom it concerns."""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import socketio
from jsonschema import Draft202012Validator
from sqlalchemy import insert

from cluster.db.queries import events as event_queries
from cluster.db.tables.user import Session as SignedIn
from cluster.notices import tell_admins
from cluster.queue.job import NewEvent, Notice
from cluster.system_config import to_wire
from cluster.telemetry import OURS
from serve_app import events as tailing
from serve_app.deps import hashed
from serve_app.events import EventTail, Message
from serve_app.services.system_config import get_config, save_config
from tests.api_stack import WHEN, ApiStack, Person, api_stack, served
from tests.library_rows import add_asset
from tests.published_api import published_api

WAIT_S = 15


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[ApiStack]:
    with api_stack(database_url, tmp_path / "media") as built:
        yield built


def emit(stack: ApiStack, *events: NewEvent) -> None:
    with stack.services.database.session() as session:
        stack.services.store.emit(session, events)


def numbered(first: int, last: int) -> list[NewEvent]:
    return [NewEvent("asset_hidden", "ann", {"asset_id": str(number)}) for number in range(first, last)]


class Heard:
    """Remembers what was delivered; `wait_for` waits for so many messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.listening = True
        self.failures = 0
        self._changed = threading.Condition()

    def deliver(self, messages: Sequence[Message]) -> None:
        if self.failures:
            self.failures -= 1
            raise TimeoutError("the loop is busy")
        with self._changed:
            self.messages += messages
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[str]:
        """The first argument of each."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.messages) >= count, WAIT_S), f"heard {self.messages}"
        return [message.arguments[0] for message in self.messages]


@contextmanager
def tailed(stack: ApiStack, heard: Heard) -> Iterator[EventTail]:
    tail = EventTail(stack.services.database, heard.deliver, lambda: heard.listening)
    tail.start()
    try:
        assert tail.wait_until_started(WAIT_S)
        yield tail
    finally:
        tail.stop()


def words(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last)]


def test_events_are_told_in_order_and_once_from_the_start_of_the_tail(stack: ApiStack) -> None:
    heard = Heard()
    emit(stack, *numbered(0, 3))
    with tailed(stack, heard):
        for number in range(3, 6):
            emit(stack, *numbered(number, number + 1))
        emit(stack, *numbered(6, 1300))
        assert heard.wait_for(1297) == words(3, 1300)
    assert {(message.name, message.room) for message in heard.messages} == {("on_asset_hidden", "ann")}


def test_an_event_is_heard_soon(stack: ApiStack) -> None:
    heard = Heard()
    with tailed(stack, heard):
        time.sleep(0.3)  # it sleeps by now
        began = time.monotonic()
        emit(stack, *numbered(0, 1))
        heard.wait_for(1)
        took_s = time.monotonic() - began
    assert took_s < 0.5


def test_nothing_is_told_of_what_is_locked(stack: ApiStack) -> None:
    """A session hears events whether a PIN code unlocked it or not."""
    owner = stack.add_person("ann")
    secret, plain = add_asset(stack, owner, visibility="locked"), add_asset(stack, owner)
    heard = Heard()
    with tailed(stack, heard):
        for name in ("upload_success", "asset_update"):
            emit(stack, *(NewEvent(name, owner.user_id, {"asset_id": one}) for one in (secret, plain)))
        heard.wait_for(3)
    assert secret not in str(heard.messages)
    assert {message.name for message in heard.messages} == {
        "on_upload_success",
        "AssetUploadReadyV2",
        "on_asset_update",
    }


def test_a_failed_backup_is_told_to_every_admin_and_nobody_else(stack: ApiStack) -> None:
    admins = {stack.add_person(name, is_admin=True).user_id for name in ("ada", "eve")}
    stack.add_person("bob")
    heard = Heard()
    with tailed(stack, heard):
        described = "Job DatabaseBackup failed with error: the disk is full"
        with stack.services.store.transaction() as tx:
            failed = Notice("JobFailed", "error", "Job Failed", described)
            tell_admins(stack.services.store, tx, [failed], stack.services.clock.now())
        notes = heard.wait_for(2)
    assert {(message.name, message.room) for message in heard.messages} == {("on_notification", one) for one in admins}
    note: Any = notes[0]
    assert (note["type"], note["level"], note["title"]) == ("JobFailed", "error", "Job Failed")
    assert note["description"] == "Job DatabaseBackup failed with error: the disk is full"
    api = published_api()
    if api is not None:
        root = {"$ref": "#/components/schemas/NotificationDto", "components": api["components"]}
        assert list(Draft202012Validator(root).iter_errors(note)) == []


def test_a_failing_database_costs_time_and_no_event(stack: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "PAUSE_AFTER_ERROR_S", (0.05,))
    whole = event_queries.events_above
    failures = iter([True] * 5)

    def flaky(*arguments: Any) -> Any:
        if next(failures, False):
            raise ConnectionError("the database is away")
        return whole(*arguments)

    heard = Heard()
    with tailed(stack, heard):
        monkeypatch.setattr(event_queries, "events_above", flaky)
        emit(stack, *numbered(0, 5))
        assert heard.wait_for(5) == words(0, 5)


def test_what_could_not_be_delivered_is_delivered_again(stack: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "PAUSE_AFTER_ERROR_S", (0.05,))
    heard = Heard()
    heard.failures = 3
    with tailed(stack, heard):
        emit(stack, *numbered(0, 5))
        assert heard.wait_for(5) == words(0, 5)


def test_the_tail_survives_a_restart_of_postgresql(postgres_database_url: str, tmp_path: Path) -> None:
    heard = Heard()
    with api_stack(postgres_database_url, tmp_path / "media") as stack, tailed(stack, heard):
        emit(stack, *numbered(0, 2))
        heard.wait_for(2)
        with psycopg.connect(postgres_database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        emit(stack, *numbered(2, 4))
        assert heard.wait_for(4) == words(0, 4)


def test_an_idle_tail_asks_the_database_next_to_nothing(stack: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    whole = event_queries.events_above
    with tailed(stack, Heard()):
        time.sleep(0.3)
        monkeypatch.setattr(event_queries, "events_above", lambda *given: asked.append(1) or whole(*given))
        time.sleep(2)
    assert len(asked) <= 3


def test_nothing_is_read_for_nobody(stack: ApiStack) -> None:
    heard = Heard()
    heard.listening = False
    with tailed(stack, heard) as tail:
        emit(stack, *numbered(0, 3))
        deadline = time.monotonic() + WAIT_S
        while tail._last_id != 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        heard.listening = True
        emit(stack, *numbered(3, 4))
        assert heard.wait_for(1) == ["3"]


def test_events_that_cannot_be_read_do_not_stop_the_others(stack: ApiStack) -> None:
    heard = Heard()
    with tailed(stack, heard):
        emit(
            stack,
            NewEvent("asset_hidden", "ann", {}),
            NewEvent("upload_success", None, {"asset_id": str(uuid.uuid4())}),
            NewEvent("for us alone", None, {}),
            *numbered(0, 1),
        )
        assert heard.wait_for(1) == ["0"]


# Sockets


class Ear:
    """A Socket.IO client of the server, that remembers what it hears."""

    def __init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False)
        self.heard: list[tuple[Any, ...]] = []
        self.gone = asyncio.Event()
        self._news = asyncio.Event()
        self.client.on("*", self._remember)
        self.client.on("disconnect", self._went)

    async def connect(self, url: str, **given: Any) -> "Ear":
        await self.client.connect(url, socketio_path="/api/socket.io", transports=["websocket"], **given)
        return self

    async def wait_for(self, name: str) -> tuple[Any, ...]:
        """The arguments of the first event of this name."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for event in self.heard:
                    if event[0] == name:
                        return event[1:]
                self._news.clear()
                await self._news.wait()

    def names(self) -> list[str]:
        return [event[0] for event in self.heard]

    async def _remember(self, name: str, *arguments: Any) -> None:
        self.heard.append((name, *arguments))
        self._news.set()

    async def _went(self, *_: Any) -> None:
        self.gone.set()


def upload(url: str, person: Person) -> str:
    data = {"fileCreatedAt": WHEN, "fileModifiedAt": WHEN}
    files = {"assetData": ("a.jpg", b"photo")}
    answer = httpx.post(f"{url}/api/assets", headers=person.headers, data=data, files=files)
    asset_id: str = answer.json()["id"]
    return asset_id


def sign_in(stack: ApiStack, person: Person) -> tuple[str, str]:
    """A session's id and its token."""
    session_id, token, now = str(uuid.uuid4()), uuid.uuid4().hex, stack.services.clock.now()
    row = {"id": session_id, "token_sha256": hashed(token), "user_id": person.user_id}
    with stack.services.database.session() as session:
        session.execute(insert(SignedIn).values(**row, created_at=now, updated_at=now))
    return session_id, token


def test_a_finished_upload_is_told_to_its_owner_alone(stack: ApiStack) -> None:
    ann, ben = stack.add_person("ann"), stack.add_person("ben")

    async def story(url: str) -> None:
        hers = await Ear().connect(url, headers=ann.headers)
        his = await Ear().connect(url, headers=ben.headers)
        assert await hers.wait_for("on_server_version") == ({"major": 3, "minor": 1, "patch": 0, "prerelease": None},)
        await his.wait_for("on_server_version")
        asset_id = await asyncio.to_thread(upload, url, ann)
        await asyncio.to_thread(emit, stack, NewEvent("upload_success", data={"asset_id": asset_id}))
        (shown,) = await hers.wait_for("on_upload_success")
        (ready,) = await hers.wait_for("AssetUploadReadyV2")
        got = await asyncio.to_thread(httpx.get, f"{url}/api/assets/{asset_id}", headers=ann.headers)
        assert shown == got.json()
        assert ready["asset"].keys() == READY_ASSET
        assert ready["exif"].keys() == READY_EXIF
        assert ready["asset"]["checksum"] == shown["checksum"]
        assert (ready["exif"]["assetId"], ready["exif"]["fileSizeInByte"]) == (asset_id, 5)
        await asyncio.to_thread(emit, stack, NewEvent("config_update"))
        assert await his.wait_for("on_config_update") == ()
        assert his.names() == ["on_server_version", "on_config_update"]
        for ear in (hers, his):
            await ear.client.disconnect()

    with served(stack) as url:
        asyncio.run(story(url))


READY_ASSET = {
    *("id", "ownerId", "originalFileName", "thumbhash", "checksum", "fileCreatedAt", "fileModifiedAt", "createdAt"),
    *("localDateTime", "duration", "type", "deletedAt", "isFavorite", "visibility", "livePhotoVideoId", "stackId"),
    *("libraryId", "width", "height", "isEdited"),
}
READY_EXIF = {
    *("assetId", "description", "exifImageWidth", "exifImageHeight", "fileSizeInByte", "orientation"),
    *("dateTimeOriginal", "modifyDate", "timeZone", "latitude", "longitude", "projectionType", "city", "state"),
    *("country", "make", "model", "lensModel", "fNumber", "focalLength", "iso", "exposureTime", "profileDescription"),
    *("rating", "fps"),
}


def test_the_trash_is_told_and_a_session_hears_of_its_end(stack: ApiStack) -> None:
    ann = stack.add_person("ann")
    session_id, token = sign_in(stack, ann)

    async def story(url: str) -> None:
        by_session = await Ear().connect(url, headers={"authorization": f"Bearer {token}"})
        by_key = await Ear().connect(f"{url}/?apiKey={ann.key}")
        await by_session.wait_for("on_server_version")
        await by_key.wait_for("on_server_version")
        asset_id = await asyncio.to_thread(upload, url, ann)
        body = {"ids": [asset_id]}
        trash = await asyncio.to_thread(httpx.request, "DELETE", f"{url}/api/assets", headers=ann.headers, json=body)
        assert trash.status_code == 204
        for ear in (by_session, by_key):
            assert await ear.wait_for("on_asset_trash") == ([asset_id],)
        await asyncio.to_thread(
            emit, stack, NewEvent("session_delete", ann.user_id, {"session_id": session_id}), NewEvent("config_update")
        )
        assert await by_session.wait_for("on_session_delete") == (session_id,)
        await by_key.wait_for("on_config_update")
        assert "on_session_delete" not in by_key.names()
        for ear in (by_session, by_key):
            await ear.client.disconnect()

    with served(stack) as url:
        asyncio.run(story(url))


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"cookie": "immich_access_token=wrong"}])
def test_a_stranger_is_told_so_and_shut_out(stack: ApiStack, headers: dict[str, str]) -> None:
    async def story(url: str) -> None:
        ear = await Ear().connect(url, headers=headers)
        assert await ear.wait_for("error") == ("unauthorized",)
        async with asyncio.timeout(WAIT_S):
            await ear.gone.wait()
        assert ear.names() == ["error"]

    with served(stack) as url:
        asyncio.run(story(url))


def test_polling_is_refused(stack: ApiStack) -> None:
    with served(stack) as url:
        answer = httpx.get(f"{url}/api/socket.io/?EIO=4&transport=polling")
    assert answer.status_code == 400


def test_a_replica_logs_as_the_admin_says_from_the_start_and_after_a_change(stack: ApiStack) -> None:
    services, said = stack.services, logging.getLogger("serve_app")
    before = [(name, logging.getLogger(name).level) for name in (None, *OURS)]

    def save(level: str) -> None:
        config = to_wire(get_config(services))
        config["logging"] = {"enabled": True, "level": level}
        save_config(services, config)

    try:
        save("error")
        with served(stack):
            wait_for_level(said, logging.ERROR)
            save("debug")
            wait_for_level(said, logging.DEBUG)
    finally:
        for name, level in before:
            logging.getLogger(name).setLevel(level)


def wait_for_level(logger: logging.Logger, level: int) -> None:
    until_s = time.monotonic() + WAIT_S
    while logger.level != level:
        assert time.monotonic() < until_s
        time.sleep(0.01)
