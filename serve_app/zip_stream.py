"""A zip archive as a stream: files are read in pieces as the client takes them, and nothing of it is ever stored.

Media is packed already, so it is stored as it is; zip64 begins where sizes ask for it. A file that is not there is
named in a text at the end instead of breaking off what is.
"""

import logging
import os
import stat
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Send

log = logging.getLogger(__name__)

PIECE_BYTES = 1024 * 1024
MISSING_NAME = "missing-files.txt"
_OLDEST, _NEWEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
"""The times that a zip can say."""


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file, its name in the archive, and the wall-clock time that it gets there. `path` None: it cannot be had."""

    name: str
    path: Path | None
    time: datetime


class ZipResponse(StreamingResponse):
    """The answer. Whatever ends it, the client or an error, ends the reading too."""

    def __init__(self, members: Sequence[ZipMember], file_name: str) -> None:
        self._pieces = zip_pieces(members)
        disposition = {"content-disposition": f'attachment; filename="{file_name}"'}
        super().__init__(self._in_threads(), media_type="application/octet-stream", headers=disposition)

    async def _in_threads(self) -> AsyncIterator[bytes]:
        while (piece := await run_in_threadpool(next, self._pieces, None)) is not None:
            yield piece

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        finally:
            # a thread is never left behind while it reads, so nobody is within the iterator by now
            self._pieces.close()


class _Sink:
    """What the archive is written to: holds a piece until it is taken. It cannot seek, so sizes follow each file."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing lies further down."""

    def close(self) -> None:
        """Nor is there anything to give back."""

    def take(self) -> bytes:
        piece = b"".join(self._parts)
        self._parts.clear()
        return piece


def zip_pieces(members: Iterable[ZipMember]) -> Generator[bytes]:
    """The archive in pieces of about PIECE_BYTES. Blocks, file by file. Raises OSError for a file that breaks off."""
    sink, missing = _Sink(), list[str]()
    with ZipFile(sink, "w", ZIP_STORED) as archive:
        for member in members:
            file = _open(member)
            if file is None:
                missing.append(member.name)
                continue
            with file:
                yield from _stored(archive, sink, member, file)
        if missing:
            archive.writestr(MISSING_NAME, "These files could not be read:\n" + "\n".join(missing) + "\n", ZIP_DEFLATED)
    yield sink.take()


def _open(member: ZipMember) -> BinaryIO | None:
    if member.path is None:
        return None
    try:
        file = member.path.open("rb", buffering=0)
    except OSError as error:
        log.warning("%s is missing from a download: %s", member.path, error)
        return None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


def _stored(archive: ZipFile, sink: _Sink, member: ZipMember, file: BinaryIO) -> Iterator[bytes]:
    info = ZipInfo(member.name, min(max(member.time.timetuple()[:6], _OLDEST), _NEWEST))
    info.external_attr = 0o100644 << 16
    info.file_size = os.fstat(file.fileno()).st_size  # tells whether this member needs zip64
    with archive.open(info, "w") as target:
        while piece := file.read(PIECE_BYTES):
            target.write(piece)
            yield sink.take()
