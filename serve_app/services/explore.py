"""What a library offers to look for: cities, and words of the kinds that filters take. Source: spec/api.md §5."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from cluster.db.queries import assets, places
from cluster.db.queries.asset_details import AssetDetails
from serve_app.deps import Services
from serve_app.services.get_asset import SeenAsset

LEAST_IN_CITY = 5
MOST_CITIES = 12


def explore_cities(services: Services, user_id: str) -> list[tuple[str, SeenAsset]]:
    """(city, a picture there) for the cities with the most assets. Blocks."""
    with services.database.reader() as session:
        return _with_assets(session, places.great_cities(session, user_id, least=LEAST_IN_CITY, limit=MOST_CITIES))


def one_per_city(services: Services, user_id: str) -> list[SeenAsset]:
    """A picture of every city, by the cities' names. Blocks."""
    with services.database.reader() as session:
        return [seen for _, seen in _with_assets(session, places.city_pictures(session, user_id))]


def suggest(services: Services, user_id: str, kind: str, narrow: Mapping[str, str]) -> list[str]:
    """Words of one kind that the user's timeline has. `kind`, `narrow`: as in `queries.places.suggestions`. Blocks."""
    with services.database.reader() as session:
        return places.suggestions(session, user_id, kind, narrow)


def _with_assets(session: Session, pictures: list[tuple[str, str]]) -> list[tuple[str, SeenAsset]]:
    found = assets.assets_with_exif(session, [asset_id for _, asset_id in pictures])
    return [(city, SeenAsset(*found[asset_id], AssetDetails(), own=True)) for city, asset_id in pictures]
