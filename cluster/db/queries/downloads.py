"""What a download of many assets takes: their sizes beforehand, and then their files."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session, aliased

from cluster.db.queries.albums import shown
from cluster.db.queries.assets import ARCHIVE, TIMELINE, in_pages
from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif, AssetFile, Library


@dataclass(frozen=True, slots=True)
class Part:
    """One asset of a download. `moving`: its moving part, with that part's size and path; None for most."""

    asset_id: str
    size_bytes: int
    moving: "MovingPart | None"


@dataclass(frozen=True, slots=True)
class MovingPart:
    """The video of a live photo."""

    asset_id: str
    size_bytes: int
    path: str


@dataclass(frozen=True, slots=True)
class Original:
    """Where an asset's file lies. `edited_path`: as edited, where there is an edit. `import_paths`: the roots of its
    external library, empty for uploads. `local_date_time`: wall-clock time as if UTC."""

    asset_id: str
    path: str
    edited_path: str | None
    file_name: str
    local_date_time: datetime
    import_paths: tuple[str, ...]


def parts_of_assets(session: Session, ids: Collection[str]) -> Iterator[Part]:
    """In the order of the ids. Whether somebody may have them is asked before."""
    for page in in_pages(ids):
        found = {part.asset_id: part for part in _parts(session, _sizes().where(Asset.id.in_(page)))}
        yield from (found[asset_id] for asset_id in page if asset_id in found)


def parts_of_album(session: Session, album_id: str) -> Iterator[Part]:
    """The oldest first."""
    inside = _sizes().join(AlbumAsset, AlbumAsset.asset_id == Asset.id).where(AlbumAsset.album_id == album_id, *shown())
    return _parts(session, inside.order_by(Asset.file_created_at, Asset.id))


def parts_of_user(session: Session, user_id: str) -> Iterator[Part]:
    """Timeline and archive, the oldest first."""
    mine = _sizes().where(
        Asset.owner_id == user_id, Asset.deleted_at.is_(None), Asset.visibility.in_([TIMELINE, ARCHIVE])
    )
    return _parts(session, mine.order_by(Asset.file_created_at, Asset.id))


def originals(session: Session, ids: Collection[str]) -> list[Original]:
    """In the order of the ids; those that are gone are left out."""
    edited = and_(AssetFile.asset_id == Asset.id, AssetFile.type == "fullsize", AssetFile.is_edited)
    query = (
        select(
            Asset.id,
            Asset.original_path,
            AssetFile.path,
            Asset.original_file_name,
            Asset.local_date_time,
            Library.import_paths,
        )
        .outerjoin(AssetFile, edited)
        .outerjoin(Library, Library.id == Asset.library_id)
    )
    found: list[Original] = []
    for page in in_pages(ids):
        rows = session.execute(query.where(Asset.id.in_(page)))
        by_id = {row[0]: Original(*row[:5], import_paths=tuple(row[5] or ())) for row in rows}
        found += [by_id[asset_id] for asset_id in page if asset_id in by_id]
    return found


_moving = aliased(Asset)
_moving_exif = aliased(AssetExif)


def _sizes() -> Select[str, int | None, str | None, str | None, int | None]:
    return (
        select(
            Asset.id,
            AssetExif.file_size_bytes,
            _moving.id,
            _moving.original_path,
            _moving_exif.file_size_bytes,
        )
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .outerjoin(_moving, _moving.id == Asset.live_photo_video_id)
        .outerjoin(_moving_exif, _moving_exif.asset_id == _moving.id)
    )


def _parts(session: Session, query: Select[str, int | None, str | None, str | None, int | None]) -> Iterator[Part]:
    for asset_id, size, video_id, video_path, video_size in session.execute(query):
        moving = None if video_id is None else MovingPart(video_id, video_size or 0, str(video_path))
        yield Part(asset_id, size or 0, moving)
