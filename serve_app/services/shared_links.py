"""Shared links: made, listed, changed and ended by their owner, and opened by whoever has one.

Source: spec/openapi.json.
"""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.db.queries import access, assets, shared_links
from cluster.db.queries.access import OWNER
from cluster.db.queries.shared_links import ALBUM, KnownLink
from cluster.db.tables.shared_link import SharedLink
from cluster.errors import BadRequest, Forbidden, NotAuthenticated
from serve_app.deps import Caller, Services
from serve_app.services.albums import SeenAlbum, require_album, see_album
from serve_app.services.get_asset import SeenAsset, no_access, seen_by_link
from serve_app.services.link_assets import own_link
from serve_app.services.passwords import hash_password, matches
from serve_app.services.tries import is_right, link_tries, network_of
from serve_app.visitors import proof

KEY_BYTES = 50


@dataclass(frozen=True, slots=True)
class NewLink:
    """`asset_ids` of one that shows assets by themselves, `album_id` of the other."""

    type: str
    album_id: str | None
    asset_ids: Sequence[str]
    slug: str | None
    description: str | None
    password: str | None
    expires_at: datetime | None
    allow_upload: bool
    allow_download: bool
    show_metadata: bool
    start_offset_ms: int | None
    start_page_id: str | None


@dataclass(frozen=True, slots=True)
class SeenLink:
    """A link and what it shows by itself."""

    link: SharedLink
    album: SeenAlbum | None
    assets: Sequence[SeenAsset]


def list_links(services: Services, user_id: str, *, link_id: str | None, album_id: str | None) -> list[SeenLink]:
    """The user's own, also those that have expired. Blocks."""
    with services.database.reader() as session:
        found = shared_links.links_of(session, user_id, link_id=link_id, album_id=album_id)
        return [_seen(session, link) for link in found]


def get_link(services: Services, user_id: str, link_id: str) -> SeenLink:
    """Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        return _seen(session, own_link(session, user_id, link_id))


def create_link(services: Services, caller: Caller, new: NewLink) -> SeenLink:
    """Raises BadRequest. Blocks."""
    password = None if new.password is None else hash_password(new.password)
    link = SharedLink(
        id=str(uuid.uuid4()),
        user_id=caller.user_id,
        key=secrets.token_urlsafe(KEY_BYTES),
        created_at=services.clock.now(),
        **{name: getattr(new, name) for name in NewLink.__slots__ if name not in ("asset_ids", "password")},
    )
    link.password = password
    link.allow_download = new.allow_download and new.show_metadata  # originals say what the metadata does
    try:
        with services.database.session(durable=True) as session:
            _check(session, caller, new)
            session.add(link)
            session.flush()
            if new.type != ALBUM:
                shared_links.add_to_link(session, link.id, new.asset_ids)
            return _seen(session, link)
    except IntegrityError as error:
        raise _slug_taken() from error


def update_link(services: Services, user_id: str, link_id: str, changes: Mapping[str, Any]) -> SeenLink:
    """`changes`: column → value; a password is not hashed yet. Raises BadRequest. Blocks."""
    changes = dict(changes)
    if changes.get("password") is not None:
        changes["password"] = hash_password(changes["password"])
    try:
        with services.database.session(durable=True) as session:
            link = own_link(session, user_id, link_id)
            for column, value in changes.items():
                setattr(link, column, value)
            link.allow_download = link.allow_download and link.show_metadata
            session.flush()
            return _seen(session, link)
    except IntegrityError as error:
        raise _slug_taken() from error


def remove_link(services: Services, user_id: str, link_id: str) -> None:
    """Nobody sees anything by it any more. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        session.delete(own_link(session, user_id, link_id))


def open_link(services: Services, caller: Caller) -> SeenLink:
    """The link that the caller has come by. Raises Forbidden. Blocks."""
    known = _link_of(caller)
    with services.database.reader() as session:
        return _seen(session, session.get_one(SharedLink, known.id), known)


def sign_in_by_link(services: Services, caller: Caller, password: str, address: str) -> tuple[SeenLink, str]:
    """The link, and the proof that its password is known. Raises Forbidden, BadRequest, NotAuthenticated, TooManyTries.
    Blocks for as long as bcrypt takes."""
    known = _link_of(caller)
    if known.password is None:
        raise BadRequest("Shared link is not password protected")
    counted = link_tries(known.id, network_of(address))
    if not is_right(services, counted, partial(matches, password, known.password)):
        raise NotAuthenticated("Invalid password")
    return open_link(services, caller), proof(known)


def _link_of(caller: Caller) -> KnownLink:
    if caller.link is None:
        raise Forbidden("Forbidden")
    return caller.link


def _check(session: Session, caller: Caller, new: NewLink) -> None:
    """Whether the caller may give away what it will show."""
    if new.type == ALBUM:
        if new.album_id is None:
            raise BadRequest("Invalid albumId")
        require_album(session, caller, new.album_id, "album.share", roles=(OWNER,))
        return
    if not new.asset_ids:
        raise BadRequest("Invalid assetIds")
    if len(access.givable_ids(session, caller.user_id, new.asset_ids)) < len(set(new.asset_ids)):
        raise no_access("asset.share")


def _seen(session: Session, link: SharedLink, visitor: KnownLink | None = None) -> SeenLink:
    """`visitor`: somebody has come by it; else it is its owner who looks."""
    album = None if link.album_id is None else see_album(session, link.album_id, alone=visitor is not None)
    return SeenLink(link, album, [] if link.type == ALBUM else _assets(session, link, visitor))


def _assets(session: Session, link: SharedLink, visitor: KnownLink | None) -> list[SeenAsset]:
    """What the link shows now, the newest first."""
    known = visitor or KnownLink(link.id, link.user_id, None, None, upload=False, download=False, metadata=True)
    ids = shared_links.assets_of(session, link.id)
    found = assets.assets_with_exif(session, access.ids_in_link(session, known, ids)).values()
    return [
        seen_by_link(asset, exif, known)
        for asset, exif in sorted(found, key=lambda row: (row[0].file_created_at, row[0].id), reverse=True)
    ]


def _slug_taken() -> BadRequest:
    return BadRequest("Shared link with this slug already exists")
