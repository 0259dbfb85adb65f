"""Sends a file over HTTP: validators, ranges, and bytes read in threads. A small file costs its request one thread hop.

Sources: RFC 9110 §8.8 (validators), §13 (conditions), §14 (ranges).
"""

import os
import re
import stat
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from cluster.errors import NotFound

MEDIA_CACHE = "private, max-age=86400, no-transform, stale-while-revalidate=2592000, stale-if-error=2592000"
AT_ONCE_BYTES = 1024 * 1024
"""A file up to here is read in one go; a larger one in pieces of this size."""

_ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int


class Unsatisfiable(Exception):
    """The range lies behind the end."""


def respond_with_file(path: Path, content_type: str, file_name: str, request_headers: Mapping[str, str]) -> Response:
    """The answer to a GET or HEAD of this file; blocks, so call it in a thread. Raises NotFound.

    One range is honoured, several at once are answered with the whole file. `request_headers` with lower-case names.
    """
    try:
        file = path.open("rb", buffering=0)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise NotFound("Not Found") from error
    try:
        response, sends_file = _respond(file, content_type, file_name, request_headers)
    except BaseException:
        file.close()
        raise
    if not sends_file:
        file.close()
    return response


def _respond(
    file: BinaryIO, content_type: str, file_name: str, request_headers: Mapping[str, str]
) -> tuple[Response, bool]:
    """The response, and whether it still needs the file."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise NotFound("Not Found")
    headers = {
        "etag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
        "last-modified": formatdate(status.st_mtime, usegmt=True),
        "cache-control": MEDIA_CACHE,
        "accept-ranges": "bytes",
    }
    if not_modified(request_headers, headers["etag"], headers["last-modified"]):
        return Response(status_code=304, headers=headers), False
    headers["content-disposition"] = f"inline; filename*=UTF-8''{quote(file_name, safe='')}"
    try:
        span = wanted_span(request_headers, headers["etag"], headers["last-modified"], status.st_size)
    except Unsatisfiable:
        headers["content-range"] = f"bytes */{status.st_size}"
        return Response(status_code=416, headers=headers), False
    code = 200
    if span is None:
        span = Span(0, status.st_size)
    else:
        code = 206
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{status.st_size}"
    length = span.end - span.start
    if length <= AT_ONCE_BYTES:
        content = os.pread(file.fileno(), length, span.start)
        return Response(content, code, headers, media_type=content_type), False
    headers["content-length"] = str(length)
    return StreamingResponse(_pieces(file, span), code, headers, media_type=content_type), True


async def _pieces(file: BinaryIO, span: Span) -> AsyncIterator[bytes]:
    position = span.start
    with file:
        while position < span.end:
            piece = await run_in_threadpool(os.pread, file.fileno(), min(AT_ONCE_BYTES, span.end - position), position)
            if not piece:
                raise OSError(f"{file.name!r} became shorter while it was sent")
            position += len(piece)
            yield piece


def not_modified(request_headers: Mapping[str, str], etag: str, last_modified: str) -> bool:
    """Whether the client's copy is good. An entity tag outweighs a date."""
    known = request_headers.get("if-none-match")
    if known is not None:
        tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
        return etag in tags or "*" in tags
    since = request_headers.get("if-modified-since")
    if since is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return parsedate_to_datetime(last_modified) <= aware


def wanted_span(request_headers: Mapping[str, str], etag: str, last_modified: str, size_bytes: int) -> Span | None:
    """The one range that is asked for; None for the whole file. Raises Unsatisfiable."""
    asked = request_headers.get("range")
    condition = request_headers.get("if-range")
    if asked is None or (condition is not None and condition not in (etag, last_modified)):
        return None
    match = _ONE_RANGE.fullmatch(asked.strip())
    if match is None or not any(match.groups()):
        return None  # several, or nonsense: RFC 9110 §14.2 lets us ignore it
    first, last = match.groups()
    if not first:
        span = Span(max(0, size_bytes - int(last)), size_bytes)
    else:
        span = Span(int(first), min(size_bytes, int(last) + 1) if last else size_bytes)
        if last and int(last) < int(first):
            return None
    if span.start >= span.end:
        raise Unsatisfiable
    return span
