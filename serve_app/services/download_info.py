"""Says beforehand how much a download takes, and which assets go into which archive. Source: spec/api.md §9."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from cluster.db.queries import downloads
from cluster.db.queries.downloads import Part
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from cluster.storage.layout import Folder
from serve_app.deps import Caller, Services
from serve_app.services.albums import require_album
from serve_app.services.get_asset import no_access, require_readable
from serve_app.services.users import preference

ARCHIVE_SIZE_BYTES = 4 * 1024**3


@dataclass(slots=True)
class Archive:
    """One that is being filled."""

    size_bytes: int = 0
    asset_ids: list[str] = field(default_factory=list)


def plan_download(
    services: Services,
    caller: Caller,
    *,
    asset_ids: Sequence[str] | None,
    album_id: str | None,
    owner_id: str | None,
    archive_size_bytes: int = ARCHIVE_SIZE_BYTES,
) -> list[Archive]:
    """The first of the three that is given. Each archive is the first to pass `archive_size_bytes`, or the last.
    Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        parts = _parts(session, caller, asset_ids, album_id, owner_id)
        with_embedded = preference(session.get_one(User, caller.user_id), "download", "includeEmbeddedVideos", False)
        embedded_in = None if with_embedded else services.layout.folder(Folder.ENCODED_VIDEO)
        return fill_archives(_files(parts, embedded_in), archive_size_bytes)


def _parts(
    session: Session, caller: Caller, asset_ids: Sequence[str] | None, album_id: str | None, owner_id: str | None
) -> Iterator[Part]:
    if asset_ids is not None:
        require_readable(session, caller, asset_ids, "asset.download")
        return downloads.parts_of_assets(session, asset_ids)
    if album_id is not None:
        require_album(session, caller, album_id, "album.download")
        return downloads.parts_of_album(session, album_id)
    if owner_id is None:
        raise BadRequest("assetIds, albumId, or userId is required")
    if owner_id != caller.user_id or caller.link is not None:
        raise no_access("timeline.download")
    return downloads.parts_of_user(session, owner_id)


def _files(parts: Iterable[Part], embedded_in: Path | None) -> Iterator[tuple[str, int]]:
    """(asset id, bytes) of every asset and its moving part; not of one that we took out of the photo itself and put
    below `embedded_in`: the photo still has it."""
    for part in parts:
        yield part.asset_id, part.size_bytes
        if part.moving is not None and (embedded_in is None or not Path(part.moving.path).is_relative_to(embedded_in)):
            yield part.moving.asset_id, part.moving.size_bytes


def fill_archives(files: Iterable[tuple[str, int]], archive_size_bytes: int) -> list[Archive]:
    """(asset id, bytes) in turn; an archive that has passed `archive_size_bytes` is full."""
    archives: list[Archive] = []
    for asset_id, size_bytes in files:
        if not archives or archives[-1].size_bytes > archive_size_bytes:
            archives.append(Archive())
        archives[-1].asset_ids.append(asset_id)
        archives[-1].size_bytes += size_bytes
    return archives
