"""Reads multipart/form-data as it arrives: texts are kept, files go to disk in large blocks, off the event loop. More
is asked for only when the last block is written, so memory stays flat for any size.

Sources: RFC 7578, RFC 2046 §5.1.1, and for quoted names WHATWG HTML "multipart/form-data encoding algorithm".
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol, assert_never
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool

from cluster.errors import BadRequest, HeliostatError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

BOUNDED_ELSEWHERE = sys.maxsize
"""What the app allows a body whose files are bounded where they are written."""
BLOCK_BYTES = 512 * 1024
HEADER_LIMIT_BYTES = 8 * 1024
PREAMBLE_LIMIT_BYTES = 64 * 1024
TEXT_LIMIT_BYTES = 1024 * 1024
PART_LIMIT = 100
IDLE_TIMEOUT_S = 120.0
"""A sender that says nothing for so long is gone, though its connection may look alive."""

_PARAMETER = re.compile(r';\s*([\w!#$&*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"\s]*))', re.DOTALL)


class MultipartMalformed(BadRequest):
    """The body is not what its content type claims."""


class UploadCutOff(HeliostatError):
    """The sender went away before the end. Nobody is left to be told."""


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A part begins. `file_name` None: it is text."""

    name: str
    file_name: str | None


@dataclass(frozen=True, slots=True)
class PartData:
    """A piece of the part that began last; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part that began last is complete."""


Event = PartStarted | PartData | PartEnded


class FileSink(Protocol):
    """Takes a file's bytes. Both methods run in a thread, one call at a time."""

    def write(self, data: bytearray) -> None: ...

    def finish(self) -> None:
        """The file is complete."""
        ...


OpenFile = Callable[[PartStarted, Mapping[str, str]], FileSink | None]
"""Says where a file part goes, given the texts before it; None: nowhere. What it raises ends the reading."""


class MultipartParser:
    """Bytes in, events out; pure. The bytes may be cut anywhere."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # the first delimiter may stand at the very beginning, without a line break before it
        self._step: Callable[[list[Event]], bool] | None = self._preamble
        self._skipped_bytes = 0
        self._parts = 0

    @property
    def complete(self) -> bool:
        """True once the closing delimiter was seen; what follows it means nothing."""
        return self._step is None

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` brings to light. Raises MultipartMalformed."""
        self._buffer = self._buffer + data if self._buffer else data
        events: list[Event] = []
        while self._step is not None and self._step(events):
            pass
        return events

    # Each step takes what it can from the buffer, and returns False when it needs more bytes.

    def _preamble(self, events: list[Event]) -> bool:
        if self._cut_at_delimiter() is not None:
            self._step = self._after_delimiter
            return True
        kept = self._buffer[-len(self._delimiter) + 1 :]
        self._skipped_bytes += len(self._buffer) - len(kept)
        self._buffer = kept
        if self._skipped_bytes > PREAMBLE_LIMIT_BYTES:
            raise MultipartMalformed("Multipart: Boundary not found")
        return False

    def _after_delimiter(self, events: list[Event]) -> bool:
        if self._buffer.startswith(b"--"):
            self._buffer, self._step = b"", None
            return False
        end = self._buffer.find(b"\r\n")
        if end >= 0 and not self._buffer[:end].strip(b" \t"):
            # The line break stays, so that "no header at all" is no special case.
            self._buffer = self._buffer[end:]
            self._step = self._headers
            return True
        if end >= 0 or len(self._buffer) > HEADER_LIMIT_BYTES:
            raise MultipartMalformed("Malformed part header")
        return False

    def _headers(self, events: list[Event]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if max(end, 0 if end >= 0 else len(self._buffer)) > HEADER_LIMIT_BYTES:
            raise MultipartMalformed("Malformed part header")
        if end < 0:
            return False
        self._parts += 1
        if self._parts > PART_LIMIT:
            raise MultipartMalformed("Too many parts")
        events.append(parse_part_headers(self._buffer[2:end]))
        self._buffer = self._buffer[end + 4 :]
        self._step = self._body
        return True

    def _body(self, events: list[Event]) -> bool:
        data = self._cut_at_delimiter()
        if data is not None:
            events += (PartData(data), PartEnded()) if data else (PartEnded(),)
            self._step = self._after_delimiter
            return True
        # A delimiter may have begun near the end, and only with a carriage return.
        begun = self._buffer.find(b"\r", max(0, len(self._buffer) - len(self._delimiter) + 1))
        data, self._buffer = (self._buffer, b"") if begun < 0 else (self._buffer[:begun], self._buffer[begun:])
        if data:
            events.append(PartData(data))
        return False

    def _cut_at_delimiter(self) -> bytes | None:
        """What stands before the next delimiter; the buffer goes on behind it. None where there is none yet."""
        before, found, after = self._buffer.partition(self._delimiter)
        if not found:
            return None
        self._buffer = after
        return before


def parse_part_headers(lines: bytes) -> PartStarted:
    """Header lines of a part, without the empty line at their end → its names. Raises MultipartMalformed."""
    for line in lines.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"content-disposition":
            parameters = _parameters(value.decode("utf-8", "replace"))
            if "name" in parameters:
                return PartStarted(parameters["name"], parameters.get("filename*", parameters.get("filename")))
    raise MultipartMalformed("Malformed part header")


def _parameters(value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, quoted, bare in _PARAMETER.findall(value):
        found[key.lower()] = _extended(bare or quoted) if key.endswith("*") else _unquoted(quoted) or bare
    return found


def _unquoted(text: str) -> str:
    # Browsers write a quote as %22, older programs as a backslash and a quote; other backslashes are the name's own.
    return re.sub(r'\\(["\\])', r"\1", text).replace("%22", '"')


def _extended(value: str) -> str:
    """RFC 5987: `UTF-8''na%C3%AFve.jpg`."""
    charset, _, rest = value.partition("'")
    _language, _, text = rest.partition("'")
    known = "latin-1" if charset.lower() == "iso-8859-1" else "utf-8"
    return unquote(text, encoding=known, errors="replace")


def boundary_of(content_type: str) -> bytes:
    """The boundary that a request's content type names. Raises MultipartMalformed."""
    kind, _, _ = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise MultipartMalformed("Expected multipart/form-data")
    boundary = _parameters(content_type).get("boundary", "")
    if not boundary or len(boundary) > 200 or not boundary.isascii():
        raise MultipartMalformed("Multipart: Boundary not found")
    return boundary.encode("ascii")


async def read_form(receive: Receive, content_type: str, open_file: OpenFile) -> dict[str, str]:
    """Read a whole form; files go where `open_file` says, the texts are returned (the last of a name wins).

    Raises UploadCutOff when the sender goes away, MultipartMalformed, and what `open_file` and its sinks raise. The
    caller deletes what was half written.
    """
    form = _Form(open_file)
    parser = MultipartParser(boundary_of(content_type))
    async for data in _body(receive):
        for event in parser.feed(data):
            await form.take(event)
        if parser.complete:
            return form.texts
    raise MultipartMalformed("Unexpected end of form")


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                message = await receive()
        except TimeoutError as silence:
            raise UploadCutOff("the sender fell silent") from silence
        if message["type"] == "http.disconnect":
            raise UploadCutOff("the sender went away")
        more = message.get("more_body", False)
        yield message.get("body", b"")


class _Form:
    """The part at hand, and the texts so far."""

    def __init__(self, open_file: OpenFile) -> None:
        self.texts: dict[str, str] = {}
        self._open_file = open_file
        self._part: PartStarted | None = None
        self._sink: FileSink | None = None
        self._held = bytearray()
        self._text_bytes = 0

    async def take(self, event: Event) -> None:
        match event:
            case PartStarted():
                self._part = event
                self._sink = None if event.file_name is None else self._open_file(event, self.texts)
            case PartData(data):
                await self._take_data(data)
            case PartEnded():
                await self._end_part()
            case _:
                assert_never(event)

    async def _take_data(self, data: bytes) -> None:
        assert self._part is not None
        if self._part.file_name is None:
            self._text_bytes += len(data)
            if self._text_bytes > TEXT_LIMIT_BYTES:
                raise MultipartMalformed("Field value too long")
        elif self._sink is None:
            return
        self._held += data
        if self._sink is not None and len(self._held) >= BLOCK_BYTES:
            await run_in_threadpool(self._sink.write, self._handed_over())

    async def _end_part(self) -> None:
        assert self._part is not None
        last = self._handed_over()
        if self._part.file_name is None:
            self.texts[self._part.name] = last.decode("utf-8", "replace")
        elif self._sink is not None:
            await run_in_threadpool(_finish, self._sink, last)
        self._part, self._sink = None, None

    def _handed_over(self) -> bytearray:
        held, self._held = self._held, bytearray()
        return held


def _finish(sink: FileSink, last: bytearray) -> None:
    if last:
        sink.write(last)
    sink.finish()
