"""Shows one asset to who may see it. Whatever is missing or somebody else's reads the same to a client."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.db.queries import access, assets, printed_text
from cluster.db.queries.asset_details import AssetDetails, details_of
from cluster.db.queries.shared_links import KnownLink
from cluster.db.tables.asset import Asset, AssetExif, AssetMetadata
from cluster.db.tables.learned import AssetOcr
from cluster.errors import BadRequest, NotAuthenticated
from serve_app.deps import Caller, Services


@dataclass(frozen=True, slots=True)
class SeenAsset:
    """An asset as somebody sees it. `own`: whether it is theirs. `bare`: they are told nothing that its file says."""

    asset: Asset
    exif: AssetExif | None
    details: AssetDetails
    own: bool
    bare: bool = False


def get_asset(services: Services, caller: Caller, asset_id: str) -> SeenAsset:
    """The asset, what its file says, and what hangs on it. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        found = assets.asset_with_exif(session, asset_id)
        if found is None:
            raise no_access("asset.read")
        asset, exif = found
        require_readable(session, caller, [asset_id], "asset.read")
        if caller.link is not None:
            return seen_by_link(asset, exif, caller.link)
        own = asset.owner_id == caller.user_id
        return SeenAsset(asset, exif, details_of(session, [asset])[asset_id], own)


def seen_by_link(asset: Asset, exif: AssetExif | None, link: KnownLink) -> SeenAsset:
    """As whoever comes by the link sees it: nobody is told who is in it."""
    return SeenAsset(asset, exif, AssetDetails(people=()), own=False, bare=not link.metadata)


def get_metadata(services: Services, caller: Caller, asset_id: str) -> list[AssetMetadata]:
    """What clients had remembered of the asset. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_owned(session, caller, [asset_id], "asset.read")
        return assets.metadata_of(session, asset_id)


def get_text(services: Services, caller: Caller, asset_id: str) -> list[AssetOcr]:
    """The text in the asset's picture, in reading order. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_readable(session, caller, [asset_id], "asset.read")
        return printed_text.text_of(session, asset_id)


def check_access(services: Services, caller: Caller, asset_id: str, permission: str) -> None:
    """Raises BadRequest unless the asset is the caller's. Blocks."""
    with services.database.reader() as session:
        require_owned(session, caller, [asset_id], permission)


def require_owned(session: Session, caller: Caller, ids: Collection[str], permission: str) -> None:
    """Raises BadRequest unless all of these assets are the caller's; who is not elevated has none that is locked."""
    if len(assets.owned_ids(session, caller.user_id, ids, with_locked=caller.elevated)) < len(set(ids)):
        raise no_access(permission)


def require_unlocked(session: Session, user_id: str, ids: Collection[str], permission: str) -> None:
    """Raises BadRequest unless all of these assets are the user's and none is locked: for where they are shown to who
    is not elevated, too."""
    if len(assets.owned_ids(session, user_id, ids)) < len(set(ids)):
        raise no_access(permission)


def require_readable(session: Session, caller: Caller, ids: Collection[str], permission: str) -> None:
    """Raises BadRequest unless the caller may see all of these assets."""
    if len(access.readable_ids(session, caller, ids)) < len(set(ids)):
        raise no_access(permission)


def require_elevation(caller: Caller) -> None:
    """Raises NotAuthenticated for who has not shown their PIN code lately."""
    if not caller.elevated:
        raise NotAuthenticated("Elevated permission is required")


def no_access(permission: str) -> BadRequest:
    return BadRequest(f"Not found or no {permission} access")
