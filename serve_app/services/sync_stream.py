"""What a device has to be told so that its copy of the library is as the library is: one pass over `FEEDS`.

Each page is a short transaction of its own. All of them stop at the place that was the horizon when the pass began, so
what changes meanwhile is told by the next pass, and a client that acknowledges a part of one loses nothing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import Select, select

from cluster.db.queries import sync_checkpoints, sync_rows
from cluster.db.queries.sync_changes import (
    BEGINNING,
    Change,
    Place,
    Scopes,
    Span,
    changes_in,
    horizon,
    shared_albums,
    visible_albums,
    visible_partners,
)
from cluster.db.queries.sync_rows import Load
from cluster.db.tables.base import to_ms
from cluster.db.tables.sync_triggers import Entity
from cluster.db.tables.user import User
from serve_app.deps import Caller, Services
from serve_app.services.sync_acks import COMPLETE, RESET_ACK, Ack, SyncType, place_text, read_place, session_of

PAGE_ROWS = 1000
REMEMBERED = timedelta(days=30)
"""A device that was away for longer begins anew: what was deleted meanwhile is forgotten a day after that."""

T = SyncType


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to tell. `data`: the row, or its key where the type says all else; None for lines that only hold an
    ack. `key`: the row's."""

    type: SyncType
    ack: str
    data: Any = None
    key: str = ""


Page = Sequence[Line]


@dataclass(frozen=True, slots=True)
class Told:
    """One pass for one device. `acks`: what it has, by type; `before`: the horizon."""

    services: Services
    user_id: str
    session_id: str
    acks: Mapping[SyncType, Ack]
    before: Place
    at: datetime

    @property
    def end(self) -> Place:
        """The ack of all that lies below the horizon, and of nothing that will come."""
        return Place(self.before.tx, self.before.seq - 1)

    @property
    def albums(self) -> Select[Any]:
        """The ids of the albums that the user sees."""
        return visible_albums(self.user_id, self.before)

    @property
    def partners(self) -> Select[Any]:
        """The ids of those who show the user their timeline."""
        return visible_partners(self.user_id, self.before)

    def place(self, kind: SyncType) -> Place:
        """Up to where the device has this type."""
        return self.acks[kind].place if kind in self.acks else BEGINNING

    def pages(
        self, entity: Entity, scopes: Scopes, span: Span, load: Load, *, deleted: bool = False
    ) -> Iterator[list[tuple[Change, Any]]]:
        """Changes of the span with their rows, a page at a time; a page may be empty."""
        while True:
            with self.services.database.reader() as session:
                found = changes_in(session, entity, scopes, span, deleted=deleted, limit=PAGE_ROWS)
                rows = load(session, [change.key for change in found]) if found else {}
            if found:
                yield [(change, rows[change.key]) for change in found if change.key in rows]
            if len(found) < PAGE_ROWS:
                return
            span = Span(found[-1].place, span.before)

    def since(self, kind: SyncType, entity: Entity, scopes: Scopes, load: Load) -> Iterator[Page]:
        """Rows that came or changed since the device was told of this type."""
        for page in self.pages(entity, scopes, Span(self.place(kind), self.before), load):
            yield [Line(kind, str(Ack(kind, change.place)), row, change.key) for change, row in page]

    def deleted(self, kind: SyncType, entity: Entity, scopes: Scopes) -> Iterator[Page]:
        """The keys of rows that are gone since then."""
        span = Span(self.place(kind), self.before)
        for page in self.pages(entity, scopes, span, sync_rows.keys_alone, deleted=True):
            yield [Line(kind, str(Ack(kind, change.place)), key) for change, key in page]

    def made_up(self, kind: SyncType, upsert: SyncType, entity: Entity, access: Entity, load: Load) -> Iterator[Page]:
        """What lies below the place of `upsert`, of those whose things the user got to see since: `access` has a row
        for each, whose key begins with the scope of `entity`. In order, each to its end."""
        got = self._gained(kind, access)
        if upsert not in self.acks:
            if got:  # everything is told anyhow
                self._remember(Ack(kind, got[-1].place, COMPLETE))
            return
        upto = self.acks[upsert].place
        for gained in got:
            span = Span(self._made_up_to(kind, gained.place), Place(upto.tx, upto.seq + 1))
            scope = gained.key.partition("/")[0]
            for page in self.pages(entity, [scope], span, load):
                yield [Line(kind, str(Ack(kind, gained.place, place_text(at.place))), row, at.key) for at, row in page]
            yield [Line(T.SYNC_ACK_V1, str(Ack(kind, gained.place, COMPLETE)))]

    def _gained(self, kind: SyncType, access: Entity) -> list[Change]:
        """What the user got to see, and was not made up for yet."""
        ack = self.acks.get(kind)
        after = BEGINNING
        if ack is not None:
            after = ack.place if ack.extra == COMPLETE else Place(ack.place.tx, ack.place.seq - 1)
        span = Span(after, self.before)
        return [change for page in self.pages(access, [self.user_id], span, sync_rows.keys_alone) for change, _ in page]

    def _made_up_to(self, kind: SyncType, gained: Place) -> Place:
        ack = self.acks.get(kind)
        return read_place(ack.extra) if ack is not None and ack.place == gained and ack.extra else BEGINNING

    def _remember(self, ack: Ack) -> None:
        with self.services.database.session() as session:
            sync_checkpoints.set_checkpoints(session, self.session_id, {ack.type: str(ack)}, self.at)


Feed = Callable[[Told], Iterator[Page]]


def sync(services: Services, caller: Caller, types: Collection[str], *, reset: bool) -> Iterator[Page]:
    """Lines for the device that asks, a page at a time. `types`: keys of `FEEDS`; `reset`: it has nothing. Raises
    Forbidden at once; the pages come from the database one by one."""
    session_id = session_of(caller)
    if reset:
        with services.database.session() as session:
            sync_checkpoints.start_over(session, session_id)
    now = services.clock.now()
    with services.database.reader() as session:
        pending = sync_checkpoints.is_reset_pending(session, session_id)
        rows = sync_checkpoints.checkpoints_of(session, session_id)
        before = horizon(session)
    acks = {SyncType(row.type): Ack.read(row.ack) for row in rows}
    begun_at = min((row.created_at for row in rows), default=now)
    if pending or _last_whole(acks, begun_at) < now - REMEMBERED:
        return iter([[Line(T.SYNC_RESET_V1, RESET_ACK)]])
    return _all_pages(Told(services, caller.user_id, session_id, acks, before, now), types)


def _last_whole(acks: Mapping[SyncType, Ack], begun_at: datetime) -> datetime:
    """When the device last had everything; before that, when it began."""
    whole = acks.get(T.SYNC_COMPLETE_V1)
    return begun_at if whole is None else datetime.fromtimestamp(int(whole.extra) / 1000, begun_at.tzinfo)


def _all_pages(told: Told, types: Collection[str]) -> Iterator[Page]:
    for name, feed in FEEDS.items():
        if name in types:
            yield from feed(told)
    yield [Line(T.SYNC_COMPLETE_V1, str(Ack(T.SYNC_COMPLETE_V1, told.end, str(to_ms(told.at)))))]


def own(entity: Entity, load: Load, upsert: SyncType, delete: SyncType | None = None) -> Feed:
    """What is the user's alone."""

    def feed(told: Told) -> Iterator[Page]:
        if delete is not None:
            yield from told.deleted(delete, entity, [told.user_id])
        yield from told.since(upsert, entity, [told.user_id], load)

    return feed


def users(told: Told) -> Iterator[Page]:
    yield from told.deleted(T.USER_DELETE_V1, Entity.USER, [""])
    yield from told.since(T.USER_V1, Entity.USER, [""], sync_rows.users)


def user_metadata(told: Told) -> Iterator[Page]:
    kinds = ((Entity.PREFERENCES, sync_rows.preferences), (Entity.ONBOARDING, sync_rows.onboarding))
    yield _in_one_order(told.since(T.USER_METADATA_V1, entity, [told.user_id], load) for entity, load in kinds)


def _in_one_order(feeds: Iterable[Iterator[Page]]) -> Page:
    """Of a few rows of several kinds that share a type, and so its acks."""
    lines = [line for pages in feeds for page in pages for line in page]
    return sorted(lines, key=lambda line: Ack.read(line.ack).place)


def partners(told: Told) -> Iterator[Page]:
    """Both ways."""
    kinds = (Entity.PARTNER, Entity.PARTNER_GIVEN)
    yield _in_one_order(told.deleted(T.PARTNER_DELETE_V1, entity, [told.user_id]) for entity in kinds)
    yield _in_one_order(told.since(T.PARTNER_V1, entity, [told.user_id], sync_rows.partners) for entity in kinds)


def assets_of_partners(upsert: SyncType, backfill: SyncType) -> Feed:
    """What partners show; what they show no longer is as good as deleted."""

    def feed(told: Told) -> Iterator[Page]:
        yield from told.deleted(T.PARTNER_ASSET_DELETE_V1, Entity.ASSET, told.partners)
        load = sync_rows.shown_or_not(told.user_id, told.before)
        both = told.made_up(backfill, upsert, Entity.ASSET, Entity.PARTNER_ACCESS, load)
        for page in chain(both, told.since(upsert, Entity.ASSET, told.partners, load)):
            yield [_shown_or_deleted(line) for line in page]

    return feed


def _shown_or_deleted(line: Line) -> Line:
    if line.data is not None or line.type is T.SYNC_ACK_V1:
        return line
    return replace(line, type=T.PARTNER_ASSET_DELETE_V1, data=line.key)


def exifs_of_partners(told: Told) -> Iterator[Page]:
    load = sync_rows.shown_by_partners("exif", told.user_id)
    upsert, backfill = T.PARTNER_ASSET_EXIF_V1, T.PARTNER_ASSET_EXIF_BACKFILL_V1
    yield from told.made_up(backfill, upsert, Entity.EXIF, Entity.PARTNER_ACCESS, load)
    yield from told.since(upsert, Entity.EXIF, told.partners, load)


def stacks_of_partners(told: Told) -> Iterator[Page]:
    upsert, backfill, load = T.PARTNER_STACK_V1, T.PARTNER_STACK_BACKFILL_V1, sync_rows.stacks
    yield from told.deleted(T.PARTNER_STACK_DELETE_V1, Entity.STACK, told.partners)
    yield from told.made_up(backfill, upsert, Entity.STACK, Entity.PARTNER_ACCESS, load)
    yield from told.since(upsert, Entity.STACK, told.partners, load)


def faces_without_marks(told: Told) -> Iterator[Page]:
    """The older form knows no hidden faces: they are gone."""
    yield from told.deleted(T.ASSET_FACE_DELETE_V1, Entity.FACE, [told.user_id])
    for page in told.since(T.ASSET_FACE_V1, Entity.FACE, [told.user_id], sync_rows.faces):
        yield [
            line if _is_shown(line.data) else Line(T.ASSET_FACE_DELETE_V1, line.ack, line.data["id"]) for line in page
        ]


def _is_shown(face: Mapping[str, Any]) -> bool:
    return face["deleted_at"] is None and bool(face["is_visible"])


def albums(kind: SyncType) -> Feed:
    def feed(told: Told) -> Iterator[Page]:
        yield from told.deleted(T.ALBUM_DELETE_V1, Entity.ALBUM_ACCESS, [told.user_id])
        shared = shared_albums(told.user_id, told.before)
        for page in told.since(kind, Entity.ALBUM, shared, sync_rows.albums):
            yield [_gone_with_its_owner(line) for line in page]

    return feed


def _gone_with_its_owner(line: Line) -> Line:
    """An album of an account that is deleted is no album, until the account is restored."""
    put_away = line.data is not None and line.data["deleted_at"] is not None
    return replace(line, type=T.ALBUM_DELETE_V1, data=line.key) if put_away else line


def in_albums(entity: Entity, load: Load, upsert: SyncType, delete: SyncType, backfill: SyncType) -> Feed:
    """What hangs on the albums that the user sees."""

    def feed(told: Told) -> Iterator[Page]:
        yield from told.deleted(delete, entity, told.albums)
        yield from told.made_up(backfill, upsert, entity, Entity.ALBUM_ACCESS, load)
        yield from told.since(upsert, entity, told.albums, load)

    return feed


def assets_of_albums(what: str, entity: Entity, create: SyncType, update: SyncType, backfill: SyncType) -> Feed:
    """Assets in albums, whoever's they are, or what their files say: those that came into one, and those that changed
    since."""

    def feed(told: Told) -> Iterator[Page]:
        load = sync_rows.shown_in_albums(what, told.user_id)
        yield from told.made_up(backfill, create, Entity.ALBUM_ASSET, Entity.ALBUM_ACCESS, load)
        if create in told.acks:
            yield from _changes_in_albums(told, what, entity, update)
            yield from told.since(create, Entity.ALBUM_ASSET, told.albums, load)
            return
        for number, page in enumerate(told.since(create, Entity.ALBUM_ASSET, told.albums, load)):
            if not number:  # all come as they are now, so older changes of theirs need not be told
                yield [Line(T.SYNC_ACK_V1, str(Ack(update, told.end)))]
            yield page

    return feed


def _changes_in_albums(told: Told, what: str, entity: Entity, update: SyncType) -> Iterator[Page]:
    """The end is acknowledged even when nothing was to be told: others may have changed much."""
    load = sync_rows.changed_in_albums(what, told.user_id, told.before)
    looked = False
    for page in told.pages(entity, select(User.id), Span(told.place(update), told.before), load):
        looked = True
        yield [Line(update, str(Ack(update, change.place)), row) for change, row in page]
    if looked:
        yield [Line(T.SYNC_ACK_V1, str(Ack(update, told.end)))]


def nothing(_told: Told) -> Iterator[Page]:
    """Immich has it, and we do not."""
    return iter(())


FEEDS: Mapping[str, Feed] = {
    "AuthUsersV1": own(Entity.ACCOUNT, sync_rows.accounts, T.AUTH_USER_V1),
    "UsersV1": users,
    "PartnersV1": partners,
    "AssetsV1": own(Entity.ASSET, sync_rows.assets, T.ASSET_V1, T.ASSET_DELETE_V1),
    "AssetsV2": own(Entity.ASSET, sync_rows.assets, T.ASSET_V2, T.ASSET_DELETE_V1),
    "StacksV1": own(Entity.STACK, sync_rows.stacks, T.STACK_V1, T.STACK_DELETE_V1),
    "PartnerAssetsV1": assets_of_partners(T.PARTNER_ASSET_V1, T.PARTNER_ASSET_BACKFILL_V1),
    "PartnerAssetsV2": assets_of_partners(T.PARTNER_ASSET_V2, T.PARTNER_ASSET_BACKFILL_V2),
    "PartnerStacksV1": stacks_of_partners,
    "AlbumAssetsV1": assets_of_albums(
        "asset", Entity.ASSET, T.ALBUM_ASSET_CREATE_V1, T.ALBUM_ASSET_UPDATE_V1, T.ALBUM_ASSET_BACKFILL_V1
    ),
    "AlbumAssetsV2": assets_of_albums(
        "asset", Entity.ASSET, T.ALBUM_ASSET_CREATE_V2, T.ALBUM_ASSET_UPDATE_V2, T.ALBUM_ASSET_BACKFILL_V2
    ),
    "AlbumsV1": albums(T.ALBUM_V1),
    "AlbumsV2": albums(T.ALBUM_V2),
    "AlbumUsersV1": in_albums(
        *(Entity.ALBUM_USER, sync_rows.album_members),
        *(T.ALBUM_USER_V1, T.ALBUM_USER_DELETE_V1, T.ALBUM_USER_BACKFILL_V1),
    ),
    "AlbumToAssetsV1": in_albums(
        *(Entity.ALBUM_ASSET, sync_rows.keys_alone),
        *(T.ALBUM_TO_ASSET_V1, T.ALBUM_TO_ASSET_DELETE_V1, T.ALBUM_TO_ASSET_BACKFILL_V1),
    ),
    "AssetExifsV1": own(Entity.EXIF, sync_rows.exifs, T.ASSET_EXIF_V1),
    "AlbumAssetExifsV1": assets_of_albums(
        *("exif", Entity.EXIF),
        *(T.ALBUM_ASSET_EXIF_CREATE_V1, T.ALBUM_ASSET_EXIF_UPDATE_V1, T.ALBUM_ASSET_EXIF_BACKFILL_V1),
    ),
    "AssetOcrV1": nothing,
    "PartnerAssetExifsV1": exifs_of_partners,
    "MemoriesV1": own(Entity.MEMORY, sync_rows.memories, T.MEMORY_V1, T.MEMORY_DELETE_V1),
    "MemoryToAssetsV1": own(
        Entity.MEMORY_ASSET, sync_rows.keys_alone, T.MEMORY_TO_ASSET_V1, T.MEMORY_TO_ASSET_DELETE_V1
    ),
    "PeopleV1": own(Entity.PERSON, sync_rows.people, T.PERSON_V1, T.PERSON_DELETE_V1),
    "AssetFacesV1": faces_without_marks,
    "AssetFacesV2": own(Entity.FACE, sync_rows.faces, T.ASSET_FACE_V2, T.ASSET_FACE_DELETE_V1),
    "UserMetadataV1": user_metadata,
    "AssetMetadataV1": own(Entity.METADATA, sync_rows.metadata, T.ASSET_METADATA_V1, T.ASSET_METADATA_DELETE_V1),
    "AssetEditsV1": nothing,
}
"""What clients ask for, in the order in which it is told: a thing comes before what names it."""
