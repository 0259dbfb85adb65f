"""Where each file lies below the media root, as in Immich (pure). Source: spec/jobs-media.md §7.

The folders `<aa>/<bb>` are characters 1–2 and 3–4 of the file's name. No path leaves its folder, whatever names go in.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import Literal
from uuid import UUID

from cluster.errors import PathEscapes

ThumbnailKind = Literal["thumbnail", "preview", "fullsize"]
ThumbnailFormat = Literal["webp", "jpeg"]


class Folder(StrEnum):
    """The folders below the media root, each with a marker file. Source: spec/workers.md §5."""

    ENCODED_VIDEO = "encoded-video"
    LIBRARY = "library"
    UPLOAD = "upload"
    PROFILE = "profile"
    THUMBS = "thumbs"
    BACKUPS = "backups"


class StorageLayout:
    """Paths below one media root. Ids are UUIDs or their texts; a name that leads out raises PathEscapes."""

    def __init__(self, media_root: Path) -> None:
        self.media_root = media_root

    def folder(self, folder: Folder) -> Path:
        """The folder itself."""
        return self.media_root / folder.value

    def vectors_folder(self) -> Path:
        """Where indexes of embeddings lie. They can be made anew, so the folder has no marker and is in no backup."""
        return self.media_root / "vectors"

    def upload_path(self, user_id: UUID | str, file_uuid: UUID | str, extension: str) -> Path:
        """An original or sidecar as received. `file_uuid` is not the asset's id; `extension` begins with a dot, or is
        empty.
        """
        return self.nested(self.folder(Folder.UPLOAD), user_id, f"{file_uuid}{extension}")

    def thumbnail_path(
        self,
        owner_id: UUID | str,
        asset_id: UUID | str,
        kind: ThumbnailKind,
        image_format: ThumbnailFormat,
        edited: bool = False,
    ) -> Path:
        """A picture made from an asset, of the asset as shot or as edited."""
        suffix = "_edited" if edited else ""
        return self.nested(self.folder(Folder.THUMBS), owner_id, f"{asset_id}_{kind}{suffix}.{image_format}")

    def person_thumbnail_path(self, owner_id: UUID | str, person_id: UUID | str) -> Path:
        """A person's face."""
        return self.nested(self.folder(Folder.THUMBS), owner_id, f"{person_id}.jpeg")

    def encoded_video_path(self, owner_id: UUID | str, asset_id: UUID | str) -> Path:
        """A video made playable everywhere."""
        return self.nested(self.folder(Folder.ENCODED_VIDEO), owner_id, f"{asset_id}.mp4")

    def video_part_path(self, owner_id: UUID | str, asset_id: UUID | str, fingerprint: str, part: str) -> Path:
        """One part of a video that is being encoded in parts. `part`: its kind and number, such as `video-3`."""
        name = f"{asset_id}-{fingerprint[:8]}-{part}.mp4"
        return self.nested(self.folder(Folder.ENCODED_VIDEO), owner_id, name)

    def motion_video_path(self, owner_id: UUID | str, asset_id: UUID | str) -> Path:
        """The video that was embedded in a motion photo. `asset_id` is the video's."""
        return self.nested(self.folder(Folder.ENCODED_VIDEO), owner_id, f"{asset_id}-MP.mp4")

    def profile_path(self, user_id: UUID | str, file_uuid: UUID | str, extension: str) -> Path:
        """A user's own picture; flat. `extension` begins with a dot, or is empty."""
        root = self.folder(Folder.PROFILE)
        return inside(root, root / _name(root, user_id) / _name(root, f"{file_uuid}{extension}"))

    def user_folders(self, user_id: UUID | str, storage_label: str | None) -> tuple[Path, ...]:
        """Every folder that holds one user's files and nobody else's."""
        names = {Folder.LIBRARY: storage_label or user_id}
        kinds = (Folder.LIBRARY, Folder.UPLOAD, Folder.PROFILE, Folder.THUMBS, Folder.ENCODED_VIDEO)
        roots = [(self.folder(kind), names.get(kind, user_id)) for kind in kinds]
        return tuple(inside(root, root / _name(root, name)) for root, name in roots)

    def nested(self, root: Path, owner: UUID | str, name: str) -> Path:
        """`<root>/<owner>/<aa>/<bb>/<name>`."""
        parts = (_name(root, owner), _name(root, name[:2]), _name(root, name[2:4] or name), _name(root, name))
        return inside(root, root.joinpath(*parts))


def inside(root: Path, path: Path) -> Path:
    """`path` without `.` and `..`, if it lies below `root` as written; links are not followed.

    Raises PathEscapes, also for `root` itself.
    """
    plain, plain_root = Path(os.path.normpath(path)), Path(os.path.normpath(root))
    if plain == plain_root or not plain.is_relative_to(plain_root) or "\0" in str(path):
        raise PathEscapes(path, root)
    return plain


def _name(root: Path, name: UUID | str) -> str:
    """`name`, if it is the name of one file or folder. Raises PathEscapes."""
    text = str(name)
    if text in ("", ".", "..") or "/" in text:
        raise PathEscapes(text, root)
    return text
