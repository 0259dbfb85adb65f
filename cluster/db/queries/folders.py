"""The folders that assets lie in, as their paths say."""

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cluster.db.dialects import folder_of
from cluster.db.queries.assets import TIMELINE
from cluster.db.tables.asset import Asset, AssetExif


def folders_of(session: Session, user_id: str) -> list[str]:
    """Every folder with something on the user's timeline, with its slash, in order."""
    folder = folder_of(Asset.original_path)
    return list(session.scalars(select(folder).distinct().where(*_on_timeline(user_id)).order_by(folder)))


def assets_in_folder(session: Session, user_id: str, folder: str) -> list[tuple[Asset, AssetExif | None]]:
    """Those right in the folder (with its slash), by path."""
    # `0` follows the slash: paths are ordered by code point, so what is below a folder is one range of the index
    query = (
        select(Asset, AssetExif)
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .where(
            Asset.original_path > folder,
            Asset.original_path < folder[:-1] + "0",
            folder_of(Asset.original_path) == folder,
            *_on_timeline(user_id),
        )
        .order_by(Asset.original_path, Asset.id)
    )
    return [(row[0], row[1]) for row in session.execute(query)]


def _on_timeline(user_id: str) -> tuple[ColumnElement[bool], ...]:
    return Asset.owner_id == user_id, Asset.visibility == TIMELINE, Asset.deleted_at.is_(None)
