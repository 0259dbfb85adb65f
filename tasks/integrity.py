"""What the integrity checks share: is a file there, is its disk there, and the payloads that travel.

A check says "missing" only of a file whose disk is there: the media folder by its markers, a library by its roots.
"""

import logging
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cluster.errors import PathEscapes
from cluster.storage.import_paths import GONE, absence, is_inside, normalised
from cluster.storage.layout import Folder, StorageLayout, inside

log = logging.getLogger(__name__)

WALKED = (Folder.ENCODED_VIDEO, Folder.LIBRARY, Folder.THUMBS, Folder.UPLOAD)
"""Folders of the media root where every file is to be named by a row."""


class Presence:
    """Looks whether files are there; asks once per root whether it is."""

    def __init__(self) -> None:
        self._absent: dict[str, str | None] = {}

    def of(self, path: str, import_paths: Sequence[str]) -> bool | None:
        """True: a file is there. False: none is. None: nobody can tell, since its disk is away or does not answer."""
        try:
            return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 (a third of what pathlib takes)
        except OSError as error:
            if error.errno not in GONE:
                log.warning("cannot look at %s: %s", path, error.strerror)
                return None
        return None if self._disk_is_away(path, import_paths) else False

    def _disk_is_away(self, path: str, import_paths: Sequence[str]) -> bool:
        for root in map(normalised, import_paths):
            if is_inside(path, root):
                if root not in self._absent:
                    self._absent[root] = absence(root, expects_files=True)
                    if self._absent[root]:
                        log.warning("%s", self._absent[root])
                return self._absent[root] is not None
        return False


def is_walked(path: str, layout: StorageLayout) -> bool:
    """Whether a path lies in one of the folders where untracked files are looked for; links are not followed."""
    for folder in WALKED:
        with suppress(PathEscapes):
            inside(layout.folder(folder), Path(path))
            return True
    return False


def lies_there(path: str) -> os.stat_result | None:
    """The status of the file itself, links not followed; None when it is no plain file, or gone. Raises OSError."""
    try:
        found = Path(path).lstat()
    except OSError as error:
        if error.errno in GONE:
            return None
        raise
    return found if stat.S_ISREG(found.st_mode) else None
