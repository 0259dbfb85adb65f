"""The folders that an external library reads: whether one may be used, whether its disk is there, what lies inside.

A disk that is away is not an empty one: while a root is absent, nothing is taken for deleted.
Source: spec/pipeline.md §6.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What says that a file is not there. Anything else (a stale handle, no permission) says nothing about it."""


def normalised(path: str) -> str:
    """An absolute path without `.`, `..`, doubled and trailing slashes."""
    return os.path.normpath(path).replace("//", "/", 1)


def roots(import_paths: Sequence[str]) -> list[str]:
    """The folders to walk, in the order of the paths below them; one that lies inside another is walked with it."""
    found: list[str] = []
    for root in sorted({normalised(path) for path in import_paths if path.startswith("/")}, key=below):
        if not any(is_inside(root, other) or root == other for other in found):
            found.append(root)
    return found


def is_inside(path: str, root: str) -> bool:
    """Whether `path` lies below `root`; both are normalised, links are not followed."""
    return path.startswith(below(root))


def below(root: str) -> str:
    """What every path below `root` begins with."""
    return root if root == "/" else f"{root}/"


def past(root: str) -> str:
    """The first text, by code point, that is greater than every path below `root`."""
    return below(root)[:-1] + "0"  # the sign after the slash


def problem(import_path: str, media_root: Path) -> str | None:
    """Why this folder cannot be an import path, in Immich's words; None when it can."""
    if _is_media(import_path, media_root):
        return "Cannot use media upload folder for external libraries"
    if not import_path.startswith("/"):
        return f"Import path must be absolute, try {Path(import_path).absolute()}"
    try:
        if not stat.S_ISDIR(Path(import_path).stat().st_mode):
            return "Not a directory"
    except ValueError:  # a NUL: no file has such a name
        return "Path does not exist (ENOENT)"
    except OSError as error:
        known = {errno.ENOENT: "Path does not exist (ENOENT)", errno.ENOTDIR: "Not a directory"}
        return known.get(error.errno or 0) or str(error)
    return None if os.access(import_path, os.R_OK) else "Lacking read permission for folder"


def _is_media(import_path: str, media_root: Path) -> bool:
    try:
        places = {Path(normalised(import_path)), Path(import_path).resolve()}
    except (ValueError, OSError, RuntimeError):
        return False
    media = {media_root, media_root.resolve()}
    return any(place == one or place.is_relative_to(one) for place in places for one in media)


def absence(root: str, expects_files: bool) -> str | None:
    """Why nothing can be said about the files below `root` now; None when it is there. With `expects_files` an empty
    folder counts as absent, since that is what is left where a disk is not mounted."""
    try:
        with os.scandir(root) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        return f"{root} cannot be read ({error.strerror}): is its disk mounted?"
    if empty and expects_files:
        return f"{root} is empty, though the library has files in it: is its disk mounted?"
    return None


class Insides:
    """Which files below one root really lie there, links followed. Remembers the folder that it was asked of last."""

    def __init__(self, root: str) -> None:
        self._real_root = os.path.realpath(root)
        self._folder, self._folder_is_inside = "", False

    def stat(self, path: str) -> os.stat_result | None:
        """The file's status; None when it is gone, is no file, or a link leads out. Raises OSError for what says
        nothing about it."""
        folder = path.rpartition("/")[0]
        if folder != self._folder:
            self._folder, self._folder_is_inside = folder, self._contains(os.path.realpath(folder))
        if not self._folder_is_inside:
            return None
        try:
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                if not self._contains(os.path.realpath(path)):
                    return None
                found = Path(path).stat()
        except OSError as error:
            if error.errno in GONE:
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) else None

    def _contains(self, real_path: str) -> bool:
        return real_path == self._real_root or is_inside(real_path, self._real_root)
