"""Counts a user's photos and videos."""

from dataclasses import dataclass

from cluster.db.queries import assets
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import require_elevation


@dataclass(frozen=True, slots=True)
class AssetCounts:
    """`total` also counts what is neither picture nor video."""

    images: int
    videos: int
    total: int


def count_assets(
    services: Services,
    caller: Caller,
    user_id: str,
    *,
    favorite: bool | None,
    trashed: bool | None,
    visibility: str | None,
) -> AssetCounts:
    """`visibility` None: timeline and archive. Raises NotAuthenticated for what is locked. Blocks."""
    if visibility == assets.LOCKED:
        require_elevation(caller)
    with services.database.reader() as session:
        counts = assets.count_by_type(session, user_id, favorite=favorite, trashed=trashed, visibility=visibility)
    return AssetCounts(counts.get(assets.IMAGE, 0), counts.get(assets.VIDEO, 0), sum(counts.values()))
