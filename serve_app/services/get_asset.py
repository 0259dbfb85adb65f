"""Shows one asset to its owner. Whatever is missing or somebody else's reads the same to a client."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from cluster.db.queries import assets
from cluster.db.tables.asset import Asset, AssetExif, AssetMetadata
from cluster.errors import BadRequest
from serve_app.deps import Services


def get_asset(services: Services, user_id: str, asset_id: str) -> tuple[Asset, AssetExif | None]:
    """The asset and what its file says. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        found = assets.asset_with_exif(session, asset_id)
    if found is None or found[0].owner_id != user_id:
        raise no_access("asset.read")
    return found


def get_metadata(services: Services, user_id: str, asset_id: str) -> list[AssetMetadata]:
    """What clients had remembered of the asset. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_owned(session, user_id, [asset_id], "asset.read")
        return assets.metadata_of(session, asset_id)


def check_access(services: Services, user_id: str, asset_id: str, permission: str) -> None:
    """Raises BadRequest unless the asset is the user's. Blocks."""
    with services.database.reader() as session:
        require_owned(session, user_id, [asset_id], permission)


def require_owned(session: Session, user_id: str, ids: Collection[str], permission: str) -> None:
    """Raises BadRequest unless all of these assets are the user's."""
    if len(assets.owned_ids(session, user_id, ids)) < len(set(ids)):
        raise no_access(permission)


def no_access(permission: str) -> BadRequest:
    return BadRequest(f"Not found or no {permission} access")
