"""Shares an album with others, changes what they may do, and ends it. Its owner decides; anybody may leave."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from cluster.db.queries.access import OWNER
from cluster.db.tables.album import Album, AlbumUser
from cluster.errors import BadRequest
from serve_app.deps import Caller, Services
from serve_app.services.albums import SeenAlbum, add_members, get_album, require_album, tell_members

MYSELF = "me"
"""Stands for the caller's id in a path."""


def share_album(services: Services, caller: Caller, album_id: str, members: Sequence[tuple[str, str]]) -> SeenAlbum:
    """`members`: (user id, role). Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        album = require_album(session, caller, album_id, "album.share", roles=(OWNER,))
        add_members(services, session, album, members)
        album.updated_at = services.clock.now()
        tell_members(services, session, album)
    return get_album(services, caller, album_id)


def change_role(services: Services, caller: Caller, album_id: str, member_id: str, role: str) -> None:
    """Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        album = require_album(session, caller, album_id, "album.share", roles=(OWNER,))
        member = _member(session, album, caller.user_id if member_id == MYSELF else member_id)
        if role == OWNER:
            raise BadRequest("An album has one owner")
        member.role = role
        tell_members(services, session, album)


def unshare_album(services: Services, caller: Caller, album_id: str, member_id: str) -> None:
    """Raises BadRequest. Blocks."""
    leaves = member_id in (MYSELF, caller.user_id)
    with services.database.session(durable=True) as session:
        album = require_album(session, caller, album_id, "album.share", roles=None if leaves else (OWNER,))
        member = _member(session, album, caller.user_id if leaves else member_id)
        tell_members(services, session, album)
        session.delete(member)


def _member(session: Session, album: Album, user_id: str) -> AlbumUser:
    if user_id == album.owner_id:
        raise BadRequest("Cannot remove album owner")
    member = session.get(AlbumUser, (album.id, user_id))
    if member is None:
        raise BadRequest("Album not shared with user")
    return member
