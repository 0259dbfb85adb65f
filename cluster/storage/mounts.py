"""Is the media disk there? Each folder holds a marker file; without it the mount is missing, and nothing is gone.

Source: spec/workers.md §5.
"""

import errno
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from cluster.errors import SettingsInvalid
from cluster.storage.layout import Folder

log = logging.getLogger(__name__)

MARKER = ".immich"
HINT = "See https://docs.immich.app/administration/system-integrity#folder-checks"


def check_folders(media_root: Path, known: Mapping[str, bool], ignore_errors: bool, now: datetime) -> dict[str, bool]:
    """Check every folder's marker at start-up. `known`: folders that had one before, from `system-flags`.

    Creates folder and marker where none is known, and returns those, to be remembered. Raises SettingsInvalid naming
    every folder that fails; with `ignore_errors` they are logged and left as they were.
    """
    created: dict[str, bool] = {}
    issues: list[tuple[str, str]] = []
    for folder in Folder:
        marker = media_root / folder.value / MARKER
        try:
            if not known.get(folder.value):
                _create(marker, now)
            _read(marker)
            _write(marker, now)
        except _MarkerFailed as failure:
            issues.append(("IMMICH_MEDIA_LOCATION", _message(failure.step, folder, marker)))
        else:
            if not known.get(folder.value):
                created[folder.value] = True
    for _, message in issues if ignore_errors else ():
        log.warning("%s", message)
    if issues and not ignore_errors:
        raise SettingsInvalid(issues)
    return created


def refuse_unusable(media_root: Path, needs_root: bool, ignore_errors: bool = False) -> None:
    """Raises SettingsInvalid where a start cannot go well: a file in place of a folder, or one that cannot be written
    to. Makes nothing: what is merely missing may be a mount that comes, which `check_folders` judges. `needs_root`: the
    database lies in the media root itself; else its folders may each be a mount of their own. With `ignore_errors`
    those may be as they are.
    """
    wanted = [media_root] if needs_root or ignore_errors else []
    wanted += [] if ignore_errors else [media_root / folder.value for folder in Folder]
    for path in wanted:
        place = _nearest(path)
        if (why := _unusable(place)) is None or (ignore_errors and not needs_root and place.is_dir()):
            continue
        subject = f"the media folder {place}" if path == place else f"{place}, which the media folder {path} needs,"
        advice = "name a folder that this user can write to, or make this one so"
        raise SettingsInvalid([("IMMICH_MEDIA_LOCATION", f"{subject} {why}: {advice}")])


def _nearest(path: Path) -> Path:
    """The path itself where there is something, else the folder that it would be made in."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _unusable(place: Path) -> str | None:
    """Why nothing can be written there, in words."""
    try:
        if not place.is_dir():
            return "is a file, not a folder" if place.exists() else "is a link to nothing"
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        # on a full disk people can still look, and delete
        return None if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"cannot be written to ({error.strerror})"


def marker_present(media_root: Path, ignore_errors: bool = False) -> bool:
    """Whether every folder of the media root is mounted now; asked before each batch. With `ignore_errors` (there may
    be no markers) the media root itself must do.
    """
    # os.path, since pathlib raises for what a broken network mount answers (stale handle, i/o error)
    if ignore_errors:
        return os.path.isdir(media_root)  # noqa: PTH112
    return all(os.path.isfile(media_root / folder.value / MARKER) for folder in Folder)  # noqa: PTH113


def marker_contents(media_root: Path) -> dict[str, str]:
    """What each folder's marker says, by folder; those that can be read, and their folders written to."""
    contents = {}
    for folder in Folder:
        with suppress(OSError, UnicodeDecodeError):
            if os.access(media_root / folder.value, os.W_OK):
                contents[folder.value] = (media_root / folder.value / MARKER).read_text()
    return contents


class _MarkerFailed(Exception):
    """`step`: create, read or write."""

    def __init__(self, step: str) -> None:
        self.step = step


def _create(marker: Path, now: datetime) -> None:
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), marker.open("x") as file:
            file.write(_milliseconds(now))
    except OSError as error:
        raise _MarkerFailed("create") from error


def _read(marker: Path) -> None:
    try:
        marker.read_bytes()
    except OSError as error:
        raise _MarkerFailed("read") from error


def _write(marker: Path, now: datetime) -> None:
    try:
        with marker.open("r+") as file:
            file.write(_milliseconds(now))
    except OSError as error:
        raise _MarkerFailed("write") from error


def _milliseconds(now: datetime) -> str:
    return str(int(now.timestamp() * 1000))


def _message(step: str, folder: Folder, marker: Path) -> str:
    return f'Failed to {step}: "<UPLOAD_LOCATION>/{folder.value}/{MARKER} ({marker}) - {HINT}"'
