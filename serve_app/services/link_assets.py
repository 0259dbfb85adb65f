"""What a shared link shows by itself: put in by its owner, or by who uploads through it, and taken out again.

Source: spec/openapi.json.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from cluster.db.queries import access, albums, assets, shared_links
from cluster.db.queries.shared_links import INDIVIDUAL, KnownLink
from cluster.db.tables.album import Album
from cluster.db.tables.shared_link import SharedLink
from cluster.errors import BadRequest
from serve_app.deps import Services
from serve_app.services.albums import tell_members
from serve_app.services.outcomes import Outcome, Refusal, done


def own_link(session: Session, user_id: str, link_id: str) -> SharedLink:
    """Raises BadRequest."""
    link = session.get(SharedLink, link_id)
    if link is None or link.user_id != user_id:
        raise BadRequest("Shared link not found")
    return link


def add_link_assets(services: Services, user_id: str, link_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        _individual(session, user_id, link_id)
        inside, mine = set(shared_links.assets_of(session, link_id)), access.givable_ids(session, user_id, ids)
        outcomes = []
        for asset_id in ids:
            refusal = None if asset_id in mine else Refusal.NO_PERMISSION
            outcomes.append(Outcome(asset_id, Refusal.DUPLICATE if asset_id in inside else refusal))
            inside.update(done(outcomes[-1:]))
        shared_links.add_to_link(session, link_id, done(outcomes))
        return outcomes


def remove_link_assets(services: Services, user_id: str, link_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        _individual(session, user_id, link_id)
        inside = set(shared_links.assets_of(session, link_id))
        outcomes = []
        for asset_id in ids:
            outcomes.append(Outcome(asset_id, None if asset_id in inside else Refusal.NOT_FOUND))
            inside.discard(asset_id)
        shared_links.remove_from_link(session, link_id, done(outcomes))
        return outcomes


def join_link(services: Services, session: Session, link: KnownLink, asset_id: str) -> None:
    """What came by a link is shown by it. One that its owner had already, and put away, stays where it is."""
    if not assets.ids_where(session, [asset_id], albums.shown()):
        return
    if link.album_id is None:
        shared_links.add_to_link(session, link.id, [asset_id])
        return
    album = session.get(Album, link.album_id)
    if album is not None and album.deleted_at is None and not albums.ids_in_album(session, album.id, [asset_id]):
        now = services.clock.now()
        albums.add_to_album(session, album.id, [asset_id], now)
        album.thumbnail_asset_id, album.updated_at = album.thumbnail_asset_id or asset_id, now
        session.flush()
        tell_members(services, session, album)


def _individual(session: Session, user_id: str, link_id: str) -> None:
    if own_link(session, user_id, link_id).type != INDIVIDUAL:
        raise BadRequest("Invalid shared link type")
