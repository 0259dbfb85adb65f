"""Albums: made, shown, changed, deleted. Members see an album; only its owner changes or deletes it.

Source: spec/api.md §9.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from cluster.db.queries import access, albums, shared_links, users
from cluster.db.queries.access import EDITOR, OWNER, Viewer
from cluster.db.queries.albums import Contents
from cluster.db.tables.album import Album, AlbumUser
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from cluster.notices import tell
from cluster.queue.job import NewEvent, Notice
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import no_access
from serve_app.services.users import preference


@dataclass(frozen=True, slots=True)
class SeenAlbum:
    """An album with what a list says of it. `members`: (user, role), the owner first. `contents` None: it is empty.
    `contributors`: (user id, number of assets); None where nobody asked."""

    album: Album
    members: Sequence[tuple[User, str]]
    contents: Contents | None
    thumbnail_asset_id: str | None
    has_link: bool
    contributors: Sequence[tuple[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class AlbumStatistics:
    """How many albums somebody has."""

    owned: int
    shared: int
    not_shared: int


def list_albums(services: Services, user_id: str, **wanted: Any) -> list[SeenAlbum]:
    """Those that the user may see; `wanted` as in `queries.albums.list_albums`. Blocks."""
    with services.database.reader() as session:
        return _seen(session, albums.list_albums(session, user_id, **wanted))


def get_album(services: Services, caller: Caller, album_id: str) -> SeenAlbum:
    """Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_album(session, caller, album_id, "album.read")
        return see_album(session, album_id, alone=caller.link is not None)


def see_album(session: Session, album_id: str, *, alone: bool) -> SeenAlbum:
    """`alone`: without the others who see it, which is nobody's affair without an account."""
    seen = _seen_alone(session, session.get_one(Album, album_id))
    return replace(seen, members=seen.members[:1], contributors=None) if alone else seen


def album_statistics(services: Services, user_id: str) -> AlbumStatistics:
    with services.database.reader() as session:
        return AlbumStatistics(*albums.count_albums(session, user_id))


def create_album(
    services: Services,
    user_id: str,
    name: str,
    description: str,
    members: Sequence[tuple[str, str]],
    asset_ids: Sequence[str],
) -> SeenAlbum:
    """`members`: (user id, role). Assets that the user may not give away are left out. Raises BadRequest.
    Blocks."""
    now = services.clock.now()
    with services.database.session(durable=True) as session:
        owner = users.by_id(session, user_id)
        assert owner is not None
        mine = access.givable_ids(session, user_id, asset_ids)
        ids = [one for one in dict.fromkeys(asset_ids) if one in mine]
        album = Album(
            id=str(uuid.uuid4()),
            owner_id=user_id,
            name=name,
            description=description,
            thumbnail_asset_id=ids[0] if ids else None,
            order=preference(owner, "albums", "defaultAssetOrder", "desc"),
            created_at=now,
            updated_at=now,
        )
        session.add(album)
        session.flush()
        add_members(services, session, album, members)
        albums.add_to_album(session, album.id, ids, now)
        if members:
            tell_members(services, session, album)
        return _seen_alone(session, album)


def update_album(services: Services, caller: Caller, album_id: str, changes: Mapping[str, Any]) -> SeenAlbum:
    """`changes`: column → value. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        album = require_album(session, caller, album_id, "album.update", roles=(OWNER,))
        thumbnail = changes.get("thumbnail_asset_id")
        if thumbnail is not None and not albums.ids_in_album(session, album_id, [thumbnail]):
            raise BadRequest("Invalid album thumbnail")
        for column, value in changes.items():
            setattr(album, column, value)
        album.updated_at = services.clock.now()
        session.flush()
        tell_members(services, session, album)
        return _seen_alone(session, album)


def delete_album(services: Services, caller: Caller, album_id: str) -> None:
    """The assets stay. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        session.delete(require_album(session, caller, album_id, "album.delete", roles=(OWNER,)))


def require_album(
    session: Session, viewer: Viewer, album_id: str, permission: str, roles: Iterable[str] | None = None
) -> Album:
    """The album, when the viewer sees it and is one of `roles` to it (None: any). Raises BadRequest."""
    found = access.album_for(session, viewer, album_id)
    if found is None or (roles is not None and found[1] not in roles):
        raise no_access(permission)
    return found[0]


def add_members(services: Services, session: Session, album: Album, members: Sequence[tuple[str, str]]) -> None:
    """`members`: (user id, role); nobody may see it already. Raises BadRequest."""
    now = services.clock.now()
    for user_id, role in members:
        if user_id == album.owner_id or role == OWNER:
            raise BadRequest("Cannot share album with owner")
        user = users.by_id(session, user_id)
        if user is None or user.deleted_at is not None:
            raise BadRequest("User not found")
        if session.get(AlbumUser, (album.id, user_id)) is not None:
            raise BadRequest("User already added")
        session.add(AlbumUser(album_id=album.id, user_id=user_id, role=role or EDITOR, created_at=now))
        session.flush()
        tell(services.store, session, [user_id], _invitation(session, album), now)


def _invitation(session: Session, album: Album) -> Notice:
    owner = session.get_one(User, album.owner_id)
    described = f"{owner.name} shares {album.name} with you"
    return Notice("AlbumInvite", "success", "An album for you", described, {"albumId": album.id})


def tell_members(services: Services, session: Session, album: Album) -> None:
    """Everybody who sees the album hears that it changed."""
    members = albums.members_of(session, [album.id])[album.id]
    services.store.emit(session, [NewEvent("album_update", user.id, {"album_id": album.id}) for user, _ in members])


def _seen_alone(session: Session, album: Album) -> SeenAlbum:
    (seen,) = _seen(session, [album], with_contributors=True)
    return seen


def _seen(session: Session, found: Sequence[Album], *, with_contributors: bool = False) -> list[SeenAlbum]:
    ids = [album.id for album in found]
    members, contents = albums.members_of(session, ids), albums.contents_of(session, ids)
    linked = shared_links.albums_with_link(session, ids)
    return [
        SeenAlbum(
            album,
            members[album.id],
            contents.get(album.id),
            _thumbnail(session, album, contents.get(album.id)),
            album.id in linked,
            albums.contributors_of(session, album.id) if with_contributors else None,
        )
        for album in found
    ]


def _thumbnail(session: Session, album: Album, contents: Contents | None) -> str | None:
    """The picture that somebody chose, or the newest: an asset may leave the library, and its albums with it."""
    if album.thumbnail_asset_id is not None or contents is None:
        return album.thumbnail_asset_id
    return albums.newest_asset(session, album.id)
