"""Tails the event table and says what happened to whom it concerns: each replica to the clients it holds.

`BELLS` is the whole mapping from an event to what a client hears. Source: spec/workers.md §8.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.db.changes import Changes
from cluster.db.engine import Database
from cluster.db.queries import assets, events, notifications
from cluster.db.queries.asset_details import AssetDetails, details_of
from cluster.db.queries.events import StoredEvent
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.notification import Notification
from cluster.notices import EVENT as NOTIFICATION
from serve_app.wire.asset import NOT_ASKED, asset_response, upload_ready
from serve_app.wire.common import Wire
from serve_app.wire.notification import notification_seen

log = logging.getLogger(__name__)

CONFIG_UPDATE = "config_update"
EVENTS_AT_ONCE = 500
LOOK_AGAIN_S = 5.0
PAUSE_AFTER_ERROR_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Message:
    """What a client hears: `name` and `arguments` of a Socket.IO event. `room` None: everyone."""

    name: str
    room: str | None
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, with the asset that it is about, where it is about one that is still there."""

    event: StoredEvent
    asset: Asset | None
    exif: AssetExif | None
    details: AssetDetails = NOT_ASKED
    notification: Notification | None = None
    """Where the event is about one that is still there."""


Bell = Callable[[Happened], Sequence[Message]]


def upload_finished(happened: Happened) -> Sequence[Message]:
    """The whole asset for older clients; its row and exif for the newer ones."""
    if happened.asset is None:
        return ()
    owner = happened.asset.owner_id
    whole = Message(
        "on_upload_success", owner, (wire_json(asset_response(happened.asset, happened.exif, happened.details)),)
    )
    if happened.exif is None:
        return (whole,)
    return whole, Message("AssetUploadReadyV2", owner, (wire_json(upload_ready(happened.asset, happened.exif)),))


def whole_asset(name: str) -> Bell:
    """Its owner gets the asset as `GET /assets/{id}` shows it."""

    def ring(happened: Happened) -> Sequence[Message]:
        if happened.asset is None:
            return ()
        whole = wire_json(asset_response(happened.asset, happened.exif, happened.details))
        return (Message(name, happened.asset.owner_id, (whole,)),)

    return ring


def to_user(name: str, key: str) -> Bell:
    """The event's user gets one value of it."""
    return lambda happened: [Message(name, happened.event.user_id, (happened.event.data[key],))]


def named_only(name: str) -> Bell:
    """The event's user hears that it happened."""
    return lambda happened: [Message(name, happened.event.user_id)]


def to_session(name: str) -> Bell:
    """One signed-in device gets its own id."""
    return lambda happened: [
        Message(name, str(happened.event.data["session_id"]), (happened.event.data["session_id"],))
    ]


def to_everyone(name: str, key: str | None = None) -> Bell:
    """All get one value of the event, or nothing but its name."""
    return lambda happened: [Message(name, None, () if key is None else (happened.event.data[key],))]


def notified(happened: Happened) -> Sequence[Message]:
    """The one whom it is for hears what they find in their list."""
    if happened.notification is None:
        return ()
    seen = notification_seen(happened.notification)
    return (Message("on_notification", happened.notification.user_id, (wire_json(seen),)),)


BELLS: Mapping[str, Bell] = {
    "upload_success": upload_finished,
    "asset_update": whole_asset("on_asset_update"),
    "asset_hidden": to_user("on_asset_hidden", "asset_id"),
    "asset_trash": to_user("on_asset_trash", "asset_ids"),
    "asset_restore": to_user("on_asset_restore", "asset_ids"),
    "stack_update": named_only("on_asset_stack_update"),
    "asset_delete": to_user("on_asset_delete", "asset_id"),
    "album_update": to_user("on_album_update", "album_id"),
    "person_thumbnail": to_user("on_person_thumbnail", "person_id"),
    CONFIG_UPDATE: to_everyone("on_config_update"),
    "new_release": to_everyone("on_new_release", "release"),
    "user_delete": to_everyone("on_user_delete", "user_id"),
    "session_delete": to_session("on_session_delete"),
    NOTIFICATION: notified,
}
"""Event type → what clients hear. Other events are for us alone."""

ABOUT_ASSETS = frozenset({"upload_success", "asset_update"})
"""Events whose asset is read from its row, as it is by now."""


def wire_json(body: Wire) -> dict[str, Any]:
    """As it goes over the wire."""
    return body.model_dump(mode="json", by_alias=True)


class EventTail:
    """Reads events in order, from the newest at its start, each once, for as long as it lives: a database that goes
    away and comes back costs time, not events.

    `deliver` gets the messages of one or more events, blocks until they are on their way, and may raise: then they are
    delivered again. `listening`: whether anyone would hear anything; if not, events pass unread. `configure` is called
    at the start, and when an admin changed the system config.
    """

    def __init__(
        self,
        database: Database,
        deliver: Callable[[Sequence[Message]], None],
        listening: Callable[[], bool],
        configure: Callable[[], None] = lambda: None,
    ) -> None:
        self._database, self._deliver, self._listening = database, deliver, listening
        self._configure = configure
        self._changes = Changes(database)
        self._last_id: int | None = None
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-tail", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait_until_started(self, timeout_s: float) -> bool:
        """True once every event from now on will be delivered."""
        return self._started.wait(timeout_s)

    def stop(self) -> None:
        """Returns when the thread has ended, within about a second."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        errors = 0
        while not self._stopping.is_set():
            try:
                self._begin()
                errors = 0
                while not self._stopping.is_set():
                    if not self._advance():
                        self._wait()
            except Exception:
                pause_s = PAUSE_AFTER_ERROR_S[min(errors, len(PAUSE_AFTER_ERROR_S) - 1)]
                errors += 1
                log.warning("cannot follow the events, trying again in %g s", pause_s, exc_info=errors == 1)
                self._stopping.wait(pause_s)
        self._changes.close()

    def _begin(self) -> None:
        with self._database.reader() as session:
            newest = events.newest_event_id(session)
        # A restored backup counts from an earlier id.
        self._last_id = newest if self._last_id is None else min(self._last_id, newest)
        self._configure()
        self._started.set()

    def _wait(self) -> None:
        """Returns when rows changed; now and then also when not, in case that a notice was lost."""
        look_again_at = time.monotonic() + LOOK_AGAIN_S
        while not self._stopping.is_set() and not self._changes.wait() and time.monotonic() < look_again_at:
            pass

    def _advance(self) -> bool:
        """Deliver what is new; False when that was all."""
        assert self._last_id is not None
        with self._database.reader() as session:
            page = events.events_above(session, self._last_id, EVENTS_AT_ONCE)
            if not page:
                return False
            found, details = {}, {}
            told: Mapping[str, Notification] = {}
            if self._listening():
                told = notifications.by_ids(session, [one for event in page if (one := _notification_id(event))])
                about = [str(event.data.get("asset_id")) for event in page if event.type in ABOUT_ASSETS]
                found = assets.assets_with_exif(session, about)
                # an asset in the locked folder is shown to sessions that are unlocked, when they ask
                found = {one: row for one, row in found.items() if row[0].visibility != assets.LOCKED}
                details = details_of(session, [asset for asset, _ in found.values()])
        messages = (
            [message for event in page for message in messages_of(event, found, details, told)]
            if self._listening()
            else []
        )
        if any(event.type == CONFIG_UPDATE for event in page):
            self._configure()
        if messages:
            self._deliver(messages)
        self._last_id = page[-1].event_id
        return len(page) == EVENTS_AT_ONCE


def messages_of(
    event: StoredEvent,
    found: Mapping[str, tuple[Asset, AssetExif | None]],
    details: Mapping[str, AssetDetails],
    told: Mapping[str, Notification] = {},
) -> Sequence[Message]:
    """What clients hear of an event; nothing for one that we cannot read, since the others must still come."""
    bell = BELLS.get(event.type)
    if bell is None:
        return ()
    asset_id = str(event.data.get("asset_id"))
    asset, exif = found.get(asset_id, (None, None))
    try:
        return bell(Happened(event, asset, exif, details.get(asset_id, NOT_ASKED), told.get(_notification_id(event))))
    except KeyError:
        log.warning("event %d of type %s lacks what it should say: %s", event.event_id, event.type, dict(event.data))
        return ()


def _notification_id(event: StoredEvent) -> str:
    """Empty where it is about something else."""
    return str(event.data.get("notification_id", ""))
