"""Finds the files of a download, and gives each a name in the archive that no other has. Source: spec/api.md §9."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from cluster.db.queries import downloads
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import require_readable
from serve_app.services.serve_media import within
from serve_app.zip_stream import ZipMember

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
"""Leads out of a folder, or cannot be written to one on some system."""


def archive_members(services: Services, caller: Caller, ids: Sequence[str], edited: bool) -> list[ZipMember]:
    """In the order of the ids. `edited`: as edited, where there is an edit. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_readable(session, caller, ids, "asset.download")
        found = downloads.originals(session, ids)
    members = []
    for original, name in zip(found, archive_names(one.file_name for one in found), strict=True):
        path = Path((original.edited_path if edited else None) or original.path)
        # a row that points elsewhere is not followed: it counts as missing
        here = within(path, services.layout.media_root, original.import_paths)
        members.append(ZipMember(name, path if here else None, original.local_date_time))
    return members


def archive_names(names: Iterable[str]) -> Iterator[str]:
    """Safe names, all different also where case does not count: `a.jpg`, `a+1.jpg`, `a+2.jpg`."""
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for name in names:
        safe = PurePosixPath(safe_name(name))
        candidate, number = safe.name, counts.get(_folded(safe.name), 0)
        while _folded(candidate) in taken:
            number += 1
            candidate = f"{safe.stem}+{number}{safe.suffix}"
        counts[_folded(safe.name)] = number
        taken.add(_folded(candidate))
        yield candidate


def safe_name(name: str) -> str:
    """A file's name on any system, and nothing but a name."""
    plain = _NOT_IN_NAMES.sub("_", name).rstrip(". ")
    return plain or "file"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
