"""Moves a file in two steps, each of which may die anywhere and be done again: a second name, later the first goes.

`add_name` gives a whole file its new name and leaves it the old one: a hard link, or a verified copy where there can be
none. Who calls it commits the new path; only then comes `drop_old_name`. Nothing is ever overwritten: names are made by
`link`, which fails where something lies. Source: spec/jobs-media.md §6, "Move protocol".
"""

import errno
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cluster.storage.files import fsync_file, fsync_folder, sha1_of, unlink_quietly
from cluster.storage.sweep import STRAY
from cluster.storage.template import number_in

logger = logging.getLogger(__name__)

_NO_HARD_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_STAYS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL),
    *(errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
}
"""What trying again does not change: the file stays where it is."""
COARSEST_TIME_NS = 2_000_000_000
"""FAT keeps even seconds."""


NO_TOKEN = "0" * 16
"""Names the unfinished copy where no lease does."""


class Problem(Exception):
    """Why a file stays where it is, for a person."""


@dataclass(frozen=True, slots=True)
class FileMove:
    """One file on its way from `source` to `target`, as it is written down under `move_id`. `entity_id`: its asset;
    `path_type`: original or sidecar.

    `sha1`, `size_bytes`: what it must have when it was copied; None: unknown, or not to be verified. `resumed`: an
    earlier attempt may have left something.
    """

    move_id: str
    entity_id: str
    path_type: str
    source: str
    target: str
    sha1: bytes | None = None
    size_bytes: int | None = None
    resumed: bool = False


class Named(Enum):
    """How `add_name` ended."""

    DONE = "done"
    OCCUPIED = "occupied"


def add_name(move: FileMove, token: str, touched: set[Path]) -> Named:
    """Make the file at `source` also lie at `target`, whole; or find that it does. OCCUPIED: something else lies there.

    `token` names the unfinished copy. `touched` grows by the folders that must be synced before the new name counts.
    Raises Problem where the file must stay, OSError where another attempt may help.
    """
    source, target = Path(move.source), Path(move.target)
    touched.add(target.parent)
    with _told(f"{source} stays, it cannot be moved to {target}"):
        _make_folders(target.parent, touched)
        if move.resumed:
            _remove_unfinished(target)
        return _link_or_copy(source, target, move, token)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn errors that trying again does not change into a Problem."""
    try:
        yield
    except OSError as error:
        if error.errno not in _STAYS:
            raise
        raise Problem(f"{what}: {error.strerror}") from error


def _link_or_copy(source: Path, target: Path, move: FileMove, token: str) -> Named:
    try:
        found = source.lstat()
    except FileNotFoundError:
        return _found_at_target(source, target, move)
    if not stat.S_ISREG(found.st_mode):
        raise Problem(f"{source} is no file")
    try:
        os.link(source, target)
    except FileExistsError:
        return Named.DONE if _is_ours(source, target, move) else Named.OCCUPIED
    except OSError as error:
        if error.errno not in _NO_HARD_LINK:
            raise
        return _copy(source, target, move, token)
    return Named.DONE


def _found_at_target(source: Path, target: Path, move: FileMove) -> Named:
    """The old name is gone. If an earlier attempt brought the file over, it counts, once its content is verified."""
    if move.resumed and target.is_file() and move.size_bytes in (None, target.stat().st_size):
        if move.sha1 is None or sha1_of(target) == move.sha1:
            return Named.DONE
        raise Problem(f"{source} is not on disk, and {target} has another checksum than the upload had")
    raise Problem(f"{source} is not on disk")


def _is_ours(source: Path, target: Path, move: FileMove) -> bool:
    """What lies at the target is this file already, or a whole copy of it."""
    there, here = target.lstat(), source.lstat()
    if not stat.S_ISREG(there.st_mode):
        return False
    if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
        return True
    if there.st_size != here.st_size or sha1_of(target) != (move.sha1 or sha1_of(source)):
        return False
    with suppress(PermissionError):  # its change time tells who was about to delete it that it is needed again
        os.utime(target, ns=(there.st_atime_ns, there.st_mtime_ns))
    return True


def _copy(source: Path, target: Path, move: FileMove, token: str) -> Named:
    """Copy, sync, verify, then take the name. Raises Problem when the copy is not what the file should be."""
    if target.exists():  # before gigabytes are copied for nothing
        if _is_ours(source, target, move):
            return Named.DONE
        if not (move.resumed and target.stat().st_size == 0):  # an empty one of ours: see _take_name
            return Named.OCCUPIED
        target.unlink()
    unfinished = target.with_name(f"{target.name}.{token}")
    try:
        shutil.copyfile(source, unfinished)
        _copy_times(source, unfinished)
        fsync_file(unfinished)
        _verify(source, unfinished, move)
        return _take_name(unfinished, target)
    finally:
        unlink_quietly(unfinished)


def _copy_times(source: Path, copy: Path) -> None:
    found = source.stat()
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
    with suppress(OSError):  # some file systems know no modes
        copy.chmod(stat.S_IMODE(found.st_mode))


def _verify(source: Path, copy: Path, move: FileMove) -> None:
    expected, got = source.stat().st_size, copy.stat().st_size
    if expected != got:
        raise Problem(f"{source} stays: its copy has {got} bytes instead of {expected}")
    if move.sha1 is not None and sha1_of(copy) != move.sha1:
        raise Problem(f"{source} stays: its copy has another checksum than the upload had")


def _take_name(unfinished: Path, target: Path) -> Named:
    try:
        os.link(unfinished, target)
    except FileExistsError:
        return Named.OCCUPIED
    except OSError as error:
        if error.errno not in _NO_HARD_LINK:
            raise
        # no hard links at all: an empty file takes the name, which fails where something lies, and is replaced
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return Named.OCCUPIED
        unfinished.replace(target)
    return Named.DONE


def _remove_unfinished(target: Path) -> None:
    """Copies that an attempt left when it was killed."""
    with suppress(FileNotFoundError):
        for path in target.parent.iterdir():
            if path.name.startswith(f"{target.name}.") and STRAY.fullmatch(path.name.removeprefix(target.name)):
                unlink_quietly(path)


def _make_folders(folder: Path, touched: set[Path]) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent, touched)
    folder.mkdir(exist_ok=True)
    touched.add(folder.parent)


def sync_folders(touched: set[Path]) -> None:
    """Wait until all names that were made in these folders are on disk."""
    for folder in touched:
        with suppress(FileNotFoundError):
            fsync_folder(folder)


def numbers_taken(wanted: Path, suffixes: tuple[str, ...]) -> frozenset[int]:
    """Numbers `n` for which something lies at `<wanted>+n`, or at that name and one of `suffixes`."""
    taken: set[int] = set()
    for path in wanted.parent.iterdir():
        plain = [path.name.removesuffix(suffix) for suffix in ("", *suffixes) if path.name.endswith(suffix)]
        taken |= {number for name in plain if name and (number := number_in(path.with_name(name), wanted)) is not None}
    return frozenset(taken)


def drop_old_name(old: Path, current: Path, *, may_change: bool) -> bool:
    """Take the old name of a file that lies at `current` by now, if it is whole there. Returns whether that is over.

    A file that someone wrote under the old name meanwhile is not deleted: where it `may_change` (a sidecar) it goes to
    the new place, else it stays. If the new place is empty, the file is brought there again, and False returned. Raises
    Problem when the old name cannot be deleted.
    """
    try:
        found = old.lstat()
    except FileNotFoundError:
        return True
    try:
        there = current.lstat()
    except FileNotFoundError:
        logger.warning("%s is missing: bringing it back from %s", current, old)
        touched: set[Path] = set()
        add_name(FileMove("", "", "", str(old), str(current)), NO_TOKEN, touched)
        sync_folders(touched)
        return False
    same_file = (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino)
    if same_file and _is_one_entry(old, current):
        return True
    if not same_file and not _same_content(old, found, current, there):
        if not may_change:
            logger.warning("%s was changed while it moved to %s: both are kept", old, current)
            return True
        _bring_over(old, current)
    with _told(f"{old}, which lies at {current} now, cannot be deleted"):
        unlink_quietly(old)
    return True


def _is_one_entry(old: Path, current: Path) -> bool:
    """Two spellings of one entry of one folder (a link above, a file system without cases): it must not be removed."""
    if not old.parent.samefile(current.parent):
        return False
    return old.name == current.name or not any(path.name == old.name for path in old.parent.iterdir())


def _same_content(old: Path, found: os.stat_result, current: Path, there: os.stat_result) -> bool:
    if found.st_size != there.st_size:
        return False
    return abs(found.st_mtime_ns - there.st_mtime_ns) <= COARSEST_TIME_NS or sha1_of(old) == sha1_of(current)


def _bring_over(old: Path, current: Path) -> None:
    unfinished = current.with_name(f"{current.name}.{NO_TOKEN}")
    shutil.copyfile(old, unfinished)
    _copy_times(old, unfinished)
    fsync_file(unfinished)
    unfinished.replace(current)
    fsync_folder(current.parent)


def remove_empty(folder: Path, root: Path) -> None:
    """Remove `folder`, and those above it up to `root`, if they lie below `root` and hold nothing any more."""
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def remove_empty_folders(root: Path, untouched_since_s: float | None = None) -> int:
    """Remove folders below `root` that hold nothing, or only such; returns how many. With `untouched_since_s` (seconds
    since 1970) only those that were not changed since: one that was just made is about to be filled."""
    removed = 0
    for folder, _, names in os.walk(root, topdown=False):
        if names or Path(folder) == root:
            continue
        try:
            if untouched_since_s is not None and Path(folder).stat().st_mtime > untouched_since_s:
                continue
            Path(folder).rmdir()
            removed += 1
        except OSError:  # it holds folders, or is gone
            continue
    return removed
