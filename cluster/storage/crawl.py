"""Walks a folder tree in the order of paths, page by page: where one page ends, the next can begin, in another process.

The order is that of code points over whole paths, as the database sorts them, so that a page of the walk lies beside a
page of rows. Memory is that of one page, however large a folder is. Source: spec/pipeline.md §6.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from cluster.storage.globs import Exclusions
from cluster.storage.import_paths import below, is_inside

log = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 20_000
"""How many entries of one folder are held; a larger one is read again for the rest."""

LONGEST_PATH_BYTES = 2_500
"""A path is a key of indexes, and PostgreSQL's take no more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a library's files counts: known extensions (with the dot, lower case), no hidden names, none excluded.

    `skipped_folder`: a real path that is not entered, whatever the patterns say.
    """

    exclusions: Exclusions
    extensions: frozenset[str]
    skipped_folder: str = ""

    def file(self, path: str, root: str) -> bool:
        """Whether a walk of `root` finds `path`, should there be such a file."""
        return self.has_known_extension(path.rpartition("/")[2]) and self.reaches(path, root)

    def reaches(self, path: str, root: str) -> bool:
        """Whether a walk of `root` comes by `path`: neither it nor a folder above it is hidden or excluded."""
        hidden = any(name.startswith(".") for name in path[len(below(root)) :].split("/"))
        return not hidden and not self.exclusions.excludes(path)

    def has_known_extension(self, name: str) -> bool:
        stem, dot, extension = name.rpartition(".")
        return bool(stem) and dot + extension.lower() in self.extensions


@dataclass(slots=True)
class Walk:
    """The files below `root` that are wanted, in order, beginning after the path `after`.

    A link to a file counts where it leads to a file below `root` that the walk does not find by itself; links to
    folders are not followed: what they lead to is found where it lies, or is off limits. `unreadable` counts folders
    and names that had to be left out; each is logged.
    """

    root: str
    wanted: Wanted
    after: str = ""
    unreadable: int = 0
    _real_root: str = field(init=False)

    def __post_init__(self) -> None:
        self._real_root = os.path.realpath(self.root)

    def __iter__(self) -> Iterator[str]:
        if self.wanted.exclusions.excludes(self.root):
            return
        top = below(self.root)
        open_folders = [(top, self._keys(top))]
        while open_folders:
            folder, keys = open_folders[-1]
            for key in keys:
                if key.endswith("/"):
                    open_folders.append((folder + key, self._keys(folder + key)))
                    break
                yield folder + key
            else:
                open_folders.pop()

    def finds(self, path: str) -> bool:
        """Whether the walk comes by `path`, a normalised one below `root`, should it be a file."""
        real = below(self._real_root) + path[len(below(self.root)) :]
        by_link = os.path.realpath(os.path.dirname(path)) != os.path.dirname(real)  # noqa: PTH120 (as realpath has it)
        if by_link or self._is_skipped(real) or not self.wanted.file(path, self.root) or not self._storable(path):
            return False
        return not os.path.islink(path) or self._link_is_taken(path)  # noqa: PTH114 (never raises)

    def _keys(self, folder: str) -> Iterator[str]:
        """What the folder holds, in order. `folder` ends with a slash, and so do the keys of folders: as their files
        sort, so do they."""
        least, enters_least = self.after[len(folder) :] if self.after.startswith(folder) else "", True
        while True:
            keys = self._next_keys(folder, least, enters_least)
            yield from keys
            if len(keys) < ENTRIES_AT_ONCE:
                return
            least, enters_least = keys[-1], False

    def _next_keys(self, folder: str, least: str, enters_least: bool) -> list[str]:
        """The first that lie after `least`, or lead to it where it is to be entered."""
        found: list[str] = []
        for key in self._matching(folder, least, enters_least):
            found.append(key)
            if len(found) >= 2 * ENTRIES_AT_ONCE:
                found.sort()
                del found[ENTRIES_AT_ONCE:]
        found.sort()
        return found[:ENTRIES_AT_ONCE]

    def _matching(self, folder: str, least: str, enters_least: bool) -> Iterator[str]:
        excludes, has_known_extension = self.wanted.exclusions.excludes_name, self.wanted.has_known_extension
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith("."):
                        continue
                    is_folder = entry.is_dir(follow_symlinks=False)
                    key = name + "/" if is_folder else name
                    if key <= least and not (enters_least and is_folder and least.startswith(key)):
                        continue
                    if not (is_folder or has_known_extension(name)) or excludes(name, folder + name):
                        continue
                    if not (name.isascii() and len(folder) < 400) and not self._storable(folder + key):
                        continue
                    if self._is_entered(entry) if is_folder else self._is_taken(entry):
                        yield key
        except OSError as error:
            self._leave_out(folder, error.strerror or str(error))

    def _is_entered(self, entry: "os.DirEntry[str]") -> bool:
        skipped = self.wanted.skipped_folder
        return not (skipped and skipped.endswith(entry.name) and os.path.realpath(entry.path) == skipped)

    def _is_taken(self, entry: "os.DirEntry[str]") -> bool:
        return self._link_is_taken(entry.path) if entry.is_symlink() else entry.is_file()

    def _link_is_taken(self, path: str) -> bool:
        target = os.path.realpath(path)
        if not is_inside(target, self._real_root) or self._is_skipped(target) or not os.path.isfile(target):  # noqa: PTH113 (a round of links)
            return False
        return not self.wanted.file(below(self.root) + target[len(below(self._real_root)) :], self.root)

    def _is_skipped(self, real: str) -> bool:
        return bool(self.wanted.skipped_folder) and is_inside(real, self.wanted.skipped_folder)

    def _storable(self, path: str) -> bool:
        try:
            fits = len(path.encode()) <= LONGEST_PATH_BYTES
        except UnicodeEncodeError:
            self._leave_out(os.fsencode(path).decode(errors="replace"), "its name is not UTF-8")
            return False
        if not fits:
            self._leave_out(path, f"its path has more than {LONGEST_PATH_BYTES} bytes")
        return fits

    def _leave_out(self, path: str, reason: str) -> None:
        self.unreadable += 1
        log.warning("%s is left out: %s", path, reason)
