"""The folders that assets lie in, as their paths say."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.db.dialects import folder_of, lies_in, unindexed
from cluster.db.queries.assets import TIMELINE
from cluster.db.tables.asset import Asset, AssetExif


def folders_of(session: Session, user_id: str) -> list[str]:
    """Every folder with something on the user's timeline, with its slash, in order."""
    folder = folder_of(Asset.original_path)
    mine = (Asset.owner_id == user_id, Asset.visibility == TIMELINE, Asset.deleted_at.is_(None))
    return list(session.scalars(select(folder).distinct().where(*mine).order_by(folder)))


def assets_in_folder(session: Session, user_id: str, folder: str) -> list[tuple[Asset, AssetExif | None]]:
    """Those right in the folder (with its slash), by path."""
    query = (
        select(Asset, AssetExif)
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .where(
            lies_in(Asset.original_path, folder),
            unindexed(Asset.owner_id) == user_id,
            Asset.visibility == TIMELINE,
            Asset.deleted_at.is_(None),
        )
        .order_by(Asset.original_path, Asset.id)
    )
    return [(row[0], row[1]) for row in session.execute(query)]
