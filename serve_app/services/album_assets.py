"""Puts assets into albums and takes them out. The owner and editors may; each asset has an answer of its own.

Source: spec/api.md §9.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from cluster.db.queries import access, albums, assets
from cluster.db.queries.access import EDITOR, OWNER, Viewer
from cluster.db.tables.album import Album
from cluster.notices import tell
from cluster.queue.job import Notice
from serve_app.deps import Caller, Services
from serve_app.services.albums import require_album, tell_members
from serve_app.services.outcomes import Outcome, Refusal, done, one_by_one


def add_assets(services: Services, caller: Caller, album_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Only one's own assets may be added, and partners'. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        album = require_album(session, caller, album_id, "albumAsset.create", roles=(OWNER, EDITOR))
        mine = access.givable_ids(session, caller.user_id, ids)
        return _add(services, session, caller.user_id, album, ids, mine)


def add_assets_to_albums(
    services: Services, caller: Caller, album_ids: Sequence[str], ids: Sequence[str]
) -> Refusal | None:
    """What one may not do is left out; why, when nothing remains to do. Blocks."""
    with services.database.session(durable=True) as session:
        found = [access.album_for(session, caller, album_id) for album_id in dict.fromkeys(album_ids)]
        writable = [one[0] for one in found if one is not None and one[1] in (OWNER, EDITOR)]
        mine = access.givable_ids(session, caller.user_id, ids)
        if not writable or not mine:
            return Refusal.NO_PERMISSION
        outcomes = [
            one for album in writable for one in _add(services, session, caller.user_id, album, sorted(mine), mine)
        ]
        return None if any(one.refusal is None for one in outcomes) else Refusal.DUPLICATE


def join_albums(services: Services, session: Session, viewer: Viewer, asset_id: str, beside: Sequence[str]) -> None:
    """The asset is in every album that one of the others is in, as far as the viewer may add to it."""
    now = services.clock.now()
    for album_id, inside in sorted(albums.albums_with(session, [asset_id, *beside]).items()):
        found = access.album_for(session, viewer, album_id)
        if asset_id in inside or found is None or found[1] not in (OWNER, EDITOR):
            continue
        albums.add_to_album(session, album_id, [asset_id], now)
        _changed(services, session, found[0])


def remove_assets(services: Services, caller: Caller, album_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Editors take out only what is theirs. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        album = require_album(session, caller, album_id, "albumAsset.delete", roles=(OWNER, EDITOR))
        inside = albums.ids_in_album(session, album_id, ids)
        allowed = inside if album.owner_id == caller.user_id else assets.owned_ids(session, caller.user_id, inside)

        def refusal(asset_id: str) -> Refusal | None:
            if asset_id not in inside:
                return Refusal.NOT_FOUND
            return None if asset_id in allowed else Refusal.NO_PERMISSION

        outcomes = one_by_one(ids, refusal, again=Refusal.NOT_FOUND)
        removed = done(outcomes)
        if removed:
            albums.remove_from_album(session, album_id, removed)
            if album.thumbnail_asset_id in removed:
                album.thumbnail_asset_id = None
            _changed(services, session, album)
        return outcomes


def _add(
    services: Services, session: Session, user_id: str, album: Album, ids: Sequence[str], mine: set[str]
) -> list[Outcome]:
    inside = albums.ids_in_album(session, album.id, ids)

    def refusal(asset_id: str) -> Refusal | None:
        if asset_id in inside:
            return Refusal.DUPLICATE
        return None if asset_id in mine else Refusal.NO_PERMISSION

    outcomes = one_by_one(ids, refusal, again=Refusal.DUPLICATE)
    added = done(outcomes)
    if added:
        albums.add_to_album(session, album.id, added, services.clock.now())
        album.thumbnail_asset_id = album.thumbnail_asset_id or added[0]
        _changed(services, session, album)
        _tell_others(services, session, user_id, album)
    return outcomes


def _tell_others(services: Services, session: Session, user_id: str, album: Album) -> None:
    """`user_id` put something in."""
    others = [user.id for user, _ in albums.members_of(session, [album.id])[album.id] if user.id != user_id]
    described = f"There are new pictures in {album.name}"
    notice = Notice("AlbumUpdate", "info", "New in an album", described, {"albumId": album.id}, f"album/{album.id}")
    tell(services.store, session, others, notice, services.clock.now())


def _changed(services: Services, session: Session, album: Album) -> None:
    album.updated_at = services.clock.now()
    session.flush()
    tell_members(services, session, album)
