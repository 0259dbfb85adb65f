"""Finds the file that a client wants to see. What is served lies in the media root, or in the roots of the asset's own
external library; a row that points elsewhere is not followed. Source: spec/api.md §4.2.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

from cluster.db.queries import access, assets
from cluster.db.queries.assets import MediaSource
from cluster.db.tables.asset import Asset
from cluster.errors import NotFound, PathEscapes
from cluster.storage.import_paths import is_inside, normalised
from cluster.storage.layout import inside
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import no_access
from tasks.media.formats import is_web_displayable, mime_type


class ThumbnailSize(StrEnum):
    """What a client may ask for; the values are the wire's."""

    ORIGINAL = "original"
    FULLSIZE = "fullsize"
    PREVIEW = "preview"
    THUMBNAIL = "thumbnail"


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file to send, and what the client should call it."""

    path: Path
    content_type: str
    file_name: str


def thumbnail(
    services: Services, caller: Caller, asset_id: str, size: ThumbnailSize, edited: bool
) -> ServedFile | ThumbnailSize:
    """The picture in this size, or the size to ask for instead. Raises BadRequest, NotFound. Blocks: one query."""
    whole = size in (ThumbnailSize.ORIGINAL, ThumbnailSize.FULLSIZE)
    if whole and caller.link is not None and not caller.link.download:
        return ThumbnailSize.PREVIEW
    if size is ThumbnailSize.ORIGINAL:
        return size
    source = _source(services, caller, asset_id, "asset.view")
    path = _derived(source, size.value, edited)
    if size is ThumbnailSize.FULLSIZE:
        if is_web_displayable(source.original_path) and not (edited and source.edited_files):
            return ThumbnailSize.ORIGINAL
        if path is None:
            return ThumbnailSize.PREVIEW
    if path is None:
        raise NotFound("Asset media not found")
    name = _stem(source, caller) + f"_{size.value}" + PurePath(path).suffix
    return _served(services, source, path, name)


def original(services: Services, caller: Caller, asset_id: str, edited: bool) -> ServedFile:
    """The file as it came, or as edited where there is an edit. Raises BadRequest, NotFound. Blocks."""
    source = _source(services, caller, asset_id, "asset.download")
    path = source.edited_files.get("fullsize") if edited else None
    return _served(services, source, path or source.original_path, source.original_file_name)


def playback(services: Services, caller: Caller, asset_id: str) -> ServedFile:
    """The encoded video, or the original where there is none. Raises BadRequest, NotFound. Blocks."""
    source = _source(services, caller, asset_id, "asset.view")
    if source.type != assets.VIDEO:
        raise NotFound("Asset is not a video")
    path = source.files.get("encoded_video") or (None if _is_bare(caller) else source.original_path)
    if path is None:  # the original would tell
        raise NotFound("Asset media not found")
    return _served(services, source, path, _stem(source, caller) + PurePath(path).suffix)


def _source(services: Services, caller: Caller, asset_id: str, permission: str) -> MediaSource:
    with services.database.reader() as session:
        source = None
        if caller.link is None:
            source = assets.media_source(session, caller.user_id, asset_id, with_locked=caller.elevated)
        if source is None and access.shared_ids(session, caller, [asset_id]):
            source = assets.media_source(session, session.get_one(Asset, asset_id).owner_id, asset_id)
    if source is None:
        raise no_access(permission)
    return source


def _is_bare(caller: Caller) -> bool:
    return caller.link is not None and not caller.link.metadata


def _stem(source: MediaSource, caller: Caller) -> str:
    return source.asset_id if _is_bare(caller) else PurePath(source.original_file_name).stem


def _derived(source: MediaSource, kind: str, edited: bool) -> str | None:
    return (source.edited_files.get(kind) if edited else None) or source.files.get(kind)


def _served(services: Services, source: MediaSource, path: str, file_name: str) -> ServedFile:
    if not within(Path(path), services.layout.media_root, source.import_paths):
        raise NotFound("Asset media not found")
    return ServedFile(Path(path), mime_type(path), file_name)


def within(path: Path, media_root: Path, import_paths: Sequence[str]) -> bool:
    """Whether the file lies in the media folder, or in an import path of its library: there other people may put links,
    and none is followed out of it."""
    try:
        inside(media_root, path)
    except PathEscapes:
        plain = normalised(str(path))
        found = [root for root in map(normalised, import_paths) if is_inside(plain, root)]
        return any(is_inside(os.path.realpath(plain), os.path.realpath(root)) for root in found)
    return True
