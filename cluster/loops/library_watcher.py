"""Watches the folders of external libraries and says what changed in them, once it has been quiet for a while.

One process of the cluster watches: that of the controller which owns the library queue. What happens while nobody
watches is found by the next scan. Source: spec/pipeline.md §6.
"""

import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cluster.storage.crawl import Wanted
from cluster.storage.globs import Exclusions, PatternTooLarge
from cluster.storage.import_paths import is_inside, roots

log = logging.getLogger(__name__)

STABLE_S = 5.0
"""How long a path must have been left alone before it is reported. Source: spec/pipeline.md §6."""
LOOK_EVERY_S = 5.0
"""How soon a library, a setting or a disk that came or went is noticed."""
AFTER_FAILURE_S = 60.0
BATCH_MS, WAIT_MS = 400, 500
MOST_PENDING = 50_000
"""Changes that are remembered one by one; of a library with more, it is enough to know that."""

Change = tuple[Literal["added", "modified", "deleted"], str]
"""What happened, and the absolute path that it happened to."""
Changes = Generator[set[Change], None, None]


@dataclass(frozen=True, slots=True)
class WatchedLibrary:
    """A library whose files are to be watched, and what of them counts."""

    library_id: str
    import_paths: tuple[str, ...]
    exclusion_patterns: tuple[str, ...]


@dataclass(slots=True)
class LibraryChanges:
    """What changed in a library: files that are new or were written to, paths that are gone. `scan`: more than that, so
    that the whole library is to be looked at."""

    library_id: str
    present: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    scan: bool = False


@dataclass(frozen=True, slots=True)
class _Folder:
    library_id: str
    root: str
    wanted: Wanted


def watch_folders(folders: Sequence[str]) -> Changes:
    """What happens below these folders; an empty set when nothing did for half a second. Raises OSError when the system
    watches no more."""
    from watchfiles import watch  # a library of its own, for the one process that watches

    for changes in watch(
        *folders,
        watch_filter=None,
        debounce=BATCH_MS,
        rust_timeout=WAIT_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
        ignore_permission_denied=True,
    ):
        yield {(change.raw_str(), path) for change, path in changes}  # type: ignore[misc]


class LibraryWatcher:
    """`libraries()`: those to be watched now, none while watching is switched off. `report(changes)` may raise: then
    the changes come again. `extensions`, `media_root`: as a scan has them."""

    def __init__(
        self,
        libraries: Callable[[], Sequence[WatchedLibrary]],
        report: Callable[[Sequence[LibraryChanges]], None],
        extensions: frozenset[str],
        media_root: Path,
        *,
        stable_s: float = STABLE_S,
        look_every_s: float = LOOK_EVERY_S,
        open_watch: Callable[[Sequence[str]], Changes] = watch_folders,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._libraries, self._report, self._extensions = libraries, report, extensions
        self._media_root = os.path.realpath(media_root)
        self._stable_s, self._look_every_s = stable_s, look_every_s
        self._open_watch, self._now_s = open_watch, now_s
        self._folders: list[_Folder] = []
        self._watched: tuple[object, ...] = ()
        self._changes: Changes | None = None
        self._look_at_s = float("-inf")
        self._pending: dict[str, float] = {}
        self._overflown: set[str] = set()

    def tick(self, ours: bool) -> float:
        """Look for half a second. `ours`: whether this process is the one to watch."""
        if not ours:
            self.close()
            return self._look_every_s
        if self._now_s() >= self._look_at_s:
            self._look_at_s = self._now_s() + self._look_every_s
            self._look_at_libraries()
        if self._changes is None:
            return max(0.0, self._look_at_s - self._now_s())
        try:
            self._note(next(self._changes))
        except (OSError, StopIteration) as error:
            log.warning("libraries cannot be watched, next try in %.0f s: %s", AFTER_FAILURE_S, error)
            self.close()
            self._look_at_s = self._now_s() + AFTER_FAILURE_S
            return AFTER_FAILURE_S
        self._report_quiet()
        return 0.0

    def close(self) -> None:
        """Watch no more; what was not reported is left to the next scan."""
        if self._changes is not None:
            self._changes.close()
            self._changes = None
        self._watched, self._folders = (), []
        self._pending.clear()
        self._overflown.clear()
        self._look_at_s = float("-inf")

    def _look_at_libraries(self) -> None:
        """Begin anew when another set of folders is to be watched; what is pending stays."""
        libraries = self._libraries()
        folders = [folder for library in libraries for folder in self._folders_of(library)]
        present = sorted({folder.root for folder in folders if os.path.isdir(folder.root)})  # noqa: PTH112 (never raises)
        watched = (*libraries, *present)
        if watched == self._watched:
            return
        if self._changes is not None:
            self._changes.close()
            self._changes = None
        self._watched, self._folders = watched, folders
        if present:
            log.info("watching %s", ", ".join(present))
            self._changes = self._open_watch(present)

    def _folders_of(self, library: WatchedLibrary) -> list[_Folder]:
        try:
            wanted = Wanted(Exclusions(library.exclusion_patterns), self._extensions, self._media_root)
        except PatternTooLarge as error:
            log.warning("a library is not watched: %s", error)
            return []
        return [_Folder(library.library_id, root, wanted) for root in roots(library.import_paths)]

    def _note(self, changes: set[Change]) -> None:
        now_s = self._now_s()
        for what, path in changes:
            for folder in self._folders_with(path):
                if not self._counts(what, path, folder):
                    continue
                if len(self._pending) < MOST_PENDING or path in self._pending:
                    self._pending[path] = now_s
                else:
                    self._overflown.add(folder.library_id)

    def _folders_with(self, path: str) -> list[_Folder]:
        return [folder for folder in self._folders if is_inside(path, folder.root)]

    def _counts(self, what: str, path: str, folder: _Folder) -> bool:
        """A file that a scan would find; or a name without a known extension that came or went, for it may be a
        folder's."""
        if folder.wanted.has_known_extension(path.rpartition("/")[2]):
            return folder.wanted.reaches(path, folder.root)
        if what == "modified" or not folder.wanted.reaches(path, folder.root):
            return False
        return what == "deleted" or os.path.isdir(path)  # noqa: PTH112 (never raises)

    def _report_quiet(self) -> None:
        """Report what has been left alone for long enough."""
        quiet_since_s = self._now_s() - self._stable_s
        quiet = [path for path, changed_s in self._pending.items() if changed_s <= quiet_since_s]
        if not quiet and (not self._overflown or self._pending):
            return
        found: dict[str, LibraryChanges] = {}
        for path in quiet:
            self._sort_in(path, found)
        for library_id in self._overflown:
            found.setdefault(library_id, LibraryChanges(library_id)).scan = True
        self._report(list(found.values()))
        self._overflown.clear()
        for path in quiet:
            del self._pending[path]

    def _sort_in(self, path: str, found: dict[str, LibraryChanges]) -> None:
        there, is_folder = os.path.lexists(path), os.path.isdir(path)  # noqa: PTH112 (never raises)
        for folder in self._folders_with(path):
            changes = found.setdefault(folder.library_id, LibraryChanges(folder.library_id))
            if is_folder:
                changes.scan = True
            else:
                (changes.present if there else changes.gone).append(path)
