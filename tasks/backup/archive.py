"""Writes and reads gzip files that are whole or not there: `<file>.tmp`, proved by reading it back, synced, renamed.

Whoever writes a `.tmp` holds a lock on it until it is renamed or its process ends, so leftovers can be told apart.
"""

import fcntl
import hashlib
import logging
import os
import subprocess
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cluster.errors import HeliostatError, Permanent
from cluster.storage.files import fsync_folder, make_folders
from tasks.backup.names import WRITING
from tasks.media.programs import running_program

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 20
GZIP_END_S = 600.0


class ArchiveBroken(Permanent):
    """A gzip file does not hold what it should."""

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"{self.path} is broken: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)


class CompressionFailed(HeliostatError):
    """What was read back is not what went in: a bad disk or bad memory. Another attempt may succeed."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Archive:
    """A finished file. `content_bytes`: before compression."""

    path: Path
    content_bytes: int
    size_bytes: int


def write_archive(final: Path, content: Iterable[bytes]) -> Archive:
    """Compress `content` into `final`, durably. What `content` raises leaves nothing, as does every other error.

    Raises ProgramFailed (gzip: a full disk, for one), CompressionFailed.
    """
    make_folders(final.parent, durable=True)
    writing = final.with_name(final.name + WRITING)
    with writing.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            digest, content_bytes = _compress(content, file)
            if _digest_of(read_archive(writing)) != digest:
                raise CompressionFailed(f"{writing} does not read back as it was written")
            os.fsync(file.fileno())
            writing.rename(final)
        except BaseException:
            writing.unlink(missing_ok=True)
            raise
    fsync_folder(final.parent)
    return Archive(final, content_bytes, final.stat().st_size)


def _compress(content: Iterable[bytes], file: IO[bytes]) -> tuple[bytes, int]:
    """Returns the content's SHA-256 and length. `--rsyncable` keeps what did not change alike from day to day."""
    digest, content_bytes = hashlib.sha256(), 0
    with running_program(["gzip", "--rsyncable", "--stdout"], stdin=subprocess.PIPE, stdout=file) as gzip:
        pipe = gzip.process.stdin
        assert pipe is not None
        try:
            for piece in content:
                digest.update(piece)
                content_bytes += len(piece)
                pipe.write(piece)
            pipe.close()
        except BrokenPipeError:
            with suppress(BrokenPipeError):
                pipe.close()
            gzip.finish(GZIP_END_S)  # says why it ended
            raise
        gzip.finish(GZIP_END_S)
    return digest.digest(), content_bytes


def read_archive(path: Path) -> Iterator[bytes]:
    """The content, piece by piece; a file that is not compressed as it is. Raises ArchiveBroken, also at the end."""
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(0)
        if head != b"\x1f\x8b":
            if path.name.removesuffix(WRITING).endswith(".gz"):
                raise ArchiveBroken(path, "it is no gzip file")
            while piece := file.read(PIECE_BYTES):
                yield piece
            return
        yield from _decompressed(path, file)


def _decompressed(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=31)
    pending = b""
    try:
        while True:
            pending = pending or file.read(PIECE_BYTES)
            if not pending:
                break
            if piece := decoder.decompress(pending, PIECE_BYTES):
                yield piece
            pending = decoder.unconsumed_tail
            if decoder.eof:
                pending = decoder.unused_data or file.read(PIECE_BYTES)
                if not pending:
                    return
                decoder = zlib.decompressobj(wbits=31)
    except zlib.error as error:
        raise ArchiveBroken(path, str(error)) from error
    raise ArchiveBroken(path, "it ends too early")


def _digest_of(content: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for piece in content:
        digest.update(piece)
    return digest.digest()


def delete_leftovers(folder: Path, pattern: str = f"*{WRITING}") -> list[Path]:
    """Delete what writers that died have left in `folder`; returns what went."""
    gone = []
    for path in sorted(folder.glob(pattern)):
        with suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # somebody writes it now
            path.unlink()
            gone.append(path)
    return gone
