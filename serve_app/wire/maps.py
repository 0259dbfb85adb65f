"""The map in Immich's spelling. Source: spec/openapi.json."""

from cluster.db.queries import places
from serve_app.wire.common import Wire
from tasks.media.places import Place


class Marker(Wire):
    """A pin: an asset's id and where it was taken, in degrees."""

    id: str
    lat: float
    lon: float
    city: str | None
    state: str | None
    country: str | None


class PlaceName(Wire):
    """What a place is called."""

    city: str | None
    state: str | None
    country: str | None


def marker(found: places.Marker) -> Marker:
    asset_id, latitude, longitude, city, state, country = found
    return Marker(id=asset_id, lat=latitude, lon=longitude, city=city, state=state, country=country)


def place_name(place: Place) -> PlaceName:
    return PlaceName(city=place.city, state=place.state, country=place.country)
