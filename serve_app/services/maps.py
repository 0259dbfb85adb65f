"""The map: where photos were taken, and what a place is called."""

from cluster.db.queries import places
from cluster.db.queries.places import Marker, MarkerFilter
from serve_app.deps import Caller, Services
from serve_app.services.albums import require_album
from tasks.media.places import Place, nearest_place


def markers(services: Services, user_id: str, wanted: MarkerFilter) -> list[Marker]:
    """The newest first. Blocks."""
    with services.database.reader() as session:
        return places.markers(session, user_id, wanted)


def album_markers(services: Services, caller: Caller, album_id: str) -> list[Marker]:
    """The same of an album. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_album(session, caller, album_id, "album.read")
        if caller.link is not None and not caller.link.metadata:
            return []
        return places.album_markers(session, album_id)


def name_place(latitude: float, longitude: float) -> list[Place]:
    """One place, or none at sea. Degrees."""
    place = nearest_place(latitude, longitude)
    return [] if place is None else [place]
