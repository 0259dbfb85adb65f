"""The library as folders, as its files lie on disk."""

from cluster.db.queries import folders
from cluster.db.queries.asset_details import AssetDetails
from serve_app.deps import Services
from serve_app.services.get_asset import SeenAsset


def list_folders(services: Services, user_id: str) -> list[str]:
    """Paths without a slash at the end. Blocks."""
    with services.database.reader() as session:
        return [folder.rstrip("/") or "/" for folder in folders.folders_of(session, user_id)]


def list_folder(services: Services, user_id: str, folder: str) -> list[SeenAsset]:
    """What lies right in it, by path. Blocks."""
    with services.database.reader() as session:
        found = folders.assets_in_folder(session, user_id, folder.rstrip("/") + "/")
    return [SeenAsset(asset, exif, AssetDetails(), own=True) for asset, exif in found]
