"""Uploads on their way to disk, so that whatever dies at whatever moment, no row lacks its file and no file its row.

A file grows as `upload/<user>/.incoming/<uuid><extension>`. When it is complete, it is linked to its place, synced, its
row commits, and the incoming name goes. What a death leaves behind therefore has a name in `.incoming`, which also
tells where its second name lies: `cleanup_incoming` looks both up. It never touches a file that a row names.
"""

import errno
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cluster.errors import NoSpace
from cluster.storage.files import fsync_folder, make_folders, unlink_quietly
from cluster.storage.layout import Folder, StorageLayout

INCOMING = ".incoming"

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class IncomingFile:
    """One file of one upload. Methods block: call them in a thread, one at a time.

    `final_path`: where it will lie. `size_bytes` and `sha1` (20 bytes) grow with what is written.
    """

    def __init__(self, layout: StorageLayout, user_id: str, file_uuid: UUID, extension: str) -> None:
        self.final_path = layout.upload_path(user_id, file_uuid, extension)
        self.size_bytes = 0
        self._path = incoming_folder(layout, user_id) / self.final_path.name
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._file: BinaryIO | None = None

    @property
    def sha1(self) -> bytes:
        return self._digest.digest()

    def write(self, data: bytes | bytearray) -> None:
        """Append. Raises NoSpace."""
        self._digest.update(data)
        self.size_bytes += len(data)
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("xb", buffering=0)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            if error.errno in _FULL:
                raise NoSpace(f"no space left for uploads: {error.strerror}") from error
            raise

    def finish(self) -> None:
        """No more is written."""

    def change_extension(self, extension: str) -> None:
        """What was taken for one kind of file turns out to be another. Not once it is published."""
        renamed = self._path.with_suffix(extension)
        if self._file is not None:
            self._path.rename(renamed)
        self._path, self.final_path = renamed, self.final_path.with_suffix(extension)

    def publish(self, modified_at: datetime) -> None:
        """The file is at its final path, with its modification time, and survives a power cut. Not for empty files."""
        assert self._file is not None
        seconds = modified_at.timestamp()
        os.utime(self._path, (datetime.now(UTC).timestamp(), seconds))
        make_folders(self.final_path.parent, durable=True)
        try:
            os.link(self._path, self.final_path)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            self._path.rename(self.final_path)
        # The link comes first: one turn of the file system's journal then covers the bytes and the name.
        os.fsync(self._file.fileno())
        fsync_folder(self.final_path.parent)

    def settle(self) -> None:
        """The row is committed: only the final name stays."""
        self._close()
        unlink_quietly(self._path)

    def discard(self) -> None:
        """Nothing stays. Only when no row names the file, nor may yet."""
        self._close()
        unlink_quietly(self.final_path)
        unlink_quietly(self._path)

    def leave(self) -> None:
        """Nobody knows whether the row was committed: both names stay until `cleanup_incoming` asks the database."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def incoming_folder(layout: StorageLayout, user_id: str) -> Path:
    """Where a user's uploads grow, on the file system where they will stay."""
    return layout.folder(Folder.UPLOAD) / user_id / INCOMING


def cleanup_incoming(layout: StorageLayout, older_than: datetime, in_use: Callable[[Path], bool]) -> int:
    """Delete what uploads that died before `older_than` left behind; returns how many files.

    `in_use`: whether a row names this path. `older_than` must lie further back than any upload may pause.
    """
    deleted = 0
    for incoming in layout.folder(Folder.UPLOAD).glob(f"*/{INCOMING}/*"):
        try:
            status = incoming.stat()
        except FileNotFoundError:
            continue
        # The modification time may be the photo's own; the change time is always the file system's.
        if status.st_ctime >= older_than.timestamp():
            continue
        final = layout.upload_path(incoming.parent.parent.name, incoming.stem, incoming.suffix)
        if status.st_nlink > 1 and not in_use(final):
            unlink_quietly(final)
        unlink_quietly(incoming)
        deleted += 1
    return deleted
