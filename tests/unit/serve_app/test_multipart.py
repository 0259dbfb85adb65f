"""The multipart reader: whatever the cuts between chunks, what comes out is what went in."""

import asyncio
from collections.abc import Mapping, MutableMapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serve_app import multipart
from serve_app.multipart import (
    MultipartMalformed,
    MultipartParser,
    PartData,
    PartEnded,
    PartStarted,
    UploadCutOff,
    boundary_of,
    parse_part_headers,
    read_form,
)

BOUNDARY = b"----geckoformboundary7f"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"


def encoded(parts: list[tuple[str, str | None, bytes]], boundary: bytes = BOUNDARY) -> bytes:
    """(name, file name or None, content) → a body as browsers write it."""
    lines = []
    for name, file_name, content in parts:
        names = f'name="{name}"' + ("" if file_name is None else f'; filename="{file_name}"')
        kind = b"" if file_name is None else b"Content-Type: image/jpeg\r\n"
        head = f"Content-Disposition: form-data; {names}\r\n".encode() + kind
        lines.append(b"--" + boundary + b"\r\n" + head + b"\r\n" + content + b"\r\n")
    return b"".join(lines) + b"--" + boundary + b"--\r\n"


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in cuts), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def parts_of(chunks: list[bytes], boundary: bytes = BOUNDARY) -> list[tuple[str, str | None, bytes]]:
    parser = MultipartParser(boundary)
    found: list[tuple[str, str | None, bytes]] = []
    ended = 0
    for chunk in chunks:
        for event in parser.feed(chunk):
            match event:
                case PartStarted(name, file_name):
                    found.append((name, file_name, b""))
                case PartData(data):
                    assert data, "an empty piece is no event"
                    found[-1] = (*found[-1][:2], found[-1][2] + data)
                case PartEnded():
                    ended += 1
    assert parser.complete
    assert ended == len(found)
    return found


class Sink:
    def __init__(self) -> None:
        self.blocks: list[int] = []
        self.content = b""
        self.finished = False

    def write(self, data: bytearray) -> None:
        self.blocks.append(len(data))
        self.content += data

    def finish(self) -> None:
        self.finished = True


class Sender:
    """An ASGI `receive` that gives these chunks, then the end, or goes away when `cut_off`."""

    def __init__(self, chunks: list[bytes], cut_off: bool = False) -> None:
        self.chunks, self.cut_off = list(chunks), cut_off

    async def __call__(self) -> MutableMapping[str, Any]:
        if not self.chunks:
            return {"type": "http.disconnect"}
        body = self.chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self.chunks) or self.cut_off}


def receive_form(sender: Sender, content_type: str = CONTENT_TYPE) -> tuple[dict[str, str], dict[str, Sink]]:
    files: dict[str, Sink] = {}

    def open_file(part: PartStarted, texts: Mapping[str, str]) -> Sink | None:
        files[part.name] = Sink()
        return files[part.name]

    return asyncio.run(read_form(sender, content_type, open_file)), files


# Pieces of delimiters are what could be mistaken for one.
tricky = st.lists(
    st.sampled_from(
        [b"\r\n--" + BOUNDARY[:-1], b"\r\n--", b"\r", b"\n", b"\r\n", b"--" + BOUNDARY, b"-", b"\x00", b"x" * 70]
    ),
    max_size=12,
).map(b"".join)
contents = st.one_of(st.binary(max_size=300), tricky).filter(
    lambda content: b"\r\n--" + BOUNDARY not in b"\r\n" + content
)
parts = st.lists(
    st.tuples(
        st.sampled_from(["assetData", "fileCreatedAt", "metadata"]),
        st.sampled_from([None, "a.jpg", "naïve 写真.heic"]),
        contents,
    ),
    max_size=5,
)


@given(parts=parts, cuts=st.lists(st.integers(min_value=0), max_size=40))
@settings(max_examples=300, deadline=None)
@example(parts=[("assetData", "a.jpg", b"\r")], cuts=[])
@example(parts=[("assetData", "a.jpg", b"")], cuts=[])
def test_parts_come_out_as_they_went_in_wherever_the_chunks_are_cut(
    parts: list[tuple[str, str | None, bytes]], cuts: list[int]
) -> None:
    assert parts_of(cut(encoded(parts), cuts)) == parts


def test_one_byte_at_a_time_is_enough() -> None:
    sent = [("a", None, b"text"), ("assetData", "a.jpg", b"\r\n--" + BOUNDARY[:5] + b"\r\r\n"), ("b", None, b"")]
    assert parts_of([bytes([byte]) for byte in encoded(sent)]) == sent


def test_preamble_and_epilogue_mean_nothing() -> None:
    body = b"see RFC 2046\r\n" + encoded([("a", None, b"1")]) + b"\r\nthe end"
    assert parts_of([body]) == [("a", None, b"1")]


def test_blanks_after_the_boundary_are_allowed() -> None:
    body = encoded([("a", None, b"1")]).replace(BOUNDARY + b"\r\n", BOUNDARY + b" \t\r\n")
    assert parts_of([body]) == [("a", None, b"1")]


@given(garbage=st.binary(max_size=400), cuts=st.lists(st.integers(min_value=0), max_size=10))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_or_incomplete_and_never_crashes(garbage: bytes, cuts: list[int]) -> None:
    parser = MultipartParser(BOUNDARY)
    try:
        for chunk in cut(b"--" + BOUNDARY + garbage, cuts):
            parser.feed(chunk)
    except MultipartMalformed:
        pass


@pytest.mark.parametrize(
    "body",
    [
        b"--" + BOUNDARY + b"and more\r\n",
        b"--" + BOUNDARY + b"\r\n\r\nno headers",
        b"--" + BOUNDARY + b"\r\nContent-Type: text/plain\r\n\r\nno name",
        b"--" + BOUNDARY + b"\r\n" + b"x" * 9000,
        b"no boundary here " * 5000,
        encoded([("a", None, b"1")] * 101),
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(MultipartMalformed):
        MultipartParser(BOUNDARY).feed(body)


@pytest.mark.parametrize(
    ("header", "file_name"),
    [
        (b'form-data; name="f"; filename="a b.jpg"', "a b.jpg"),
        ('form-data; name="f"; filename="写真.jpg"'.encode(), "写真.jpg"),
        (b'form-data; name="f"; filename="say %22cheese%22.jpg"', 'say "cheese".jpg'),
        (rb'form-data; name="f"; filename="say \"cheese\".jpg"', 'say "cheese".jpg'),
        (rb'form-data; name="f"; filename="C:\photos\a.jpg"', r"C:\photos\a.jpg"),
        (b'form-data; name="f"; filename="semi;colon.jpg"', "semi;colon.jpg"),
        (b"form-data; name=f; filename=bare.jpg", "bare.jpg"),
        (b'form-data; name="f"; filename="x.jpg"; filename*=UTF-8\'\'na%C3%AFve.jpg', "naïve.jpg"),
        (b"form-data; name=\"f\"; filename*=iso-8859-1'en'na%EFve.jpg", "naïve.jpg"),
        (b'form-data; name="f"; filename="\xff.jpg"', "\ufffd.jpg"),
        (b'form-data; name="f"; filename=""', ""),
        (b'form-data; name="f"', None),
    ],
)
def test_file_names_are_read_as_every_client_writes_them(header: bytes, file_name: str | None) -> None:
    part = parse_part_headers(b"content-type: x/y\r\nCONTENT-disposition: " + header)
    assert part == PartStarted("f", file_name)


def test_the_boundary_is_read_from_the_content_type() -> None:
    assert boundary_of('multipart/form-data; charset=utf-8; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Form-Data; BOUNDARY=x") == b"x"
    for wrong in ("multipart/form-data", "application/json", "", "multipart/form-data; boundary="):
        with pytest.raises(MultipartMalformed):
            boundary_of(wrong)


def test_files_arrive_in_large_blocks_and_texts_whole() -> None:
    content = bytes(range(256)) * 8000  # 2 MB
    body = encoded([("assetData", "a.jpg", content), ("fileCreatedAt", None, b"2024")])
    texts, files = receive_form(Sender([body[at : at + 1000] for at in range(0, len(body), 1000)]))
    assert texts == {"fileCreatedAt": "2024"}
    assert files["assetData"].content == content
    assert files["assetData"].finished
    assert min(files["assetData"].blocks[:-1]) >= multipart.BLOCK_BYTES


def test_nothing_is_asked_of_the_sender_while_a_block_is_written() -> None:
    content = b"x" * (3 * multipart.BLOCK_BYTES)
    body = encoded([("assetData", "a.jpg", content)])
    sender = Sender([body[at : at + 65536] for at in range(0, len(body), 65536)])
    left_when_written: list[int] = []

    class Slow(Sink):
        def write(self, data: bytearray) -> None:
            before = len(sender.chunks)
            asyncio.run(asyncio.sleep(0.02))
            assert len(sender.chunks) == before
            left_when_written.append(before)

    asyncio.run(read_form(sender, CONTENT_TYPE, lambda part, texts: Slow()))
    assert left_when_written == sorted(left_when_written, reverse=True)
    assert len(set(left_when_written)) >= 3


def test_a_sender_that_goes_away_is_noticed() -> None:
    body = encoded([("assetData", "a.jpg", b"x" * 1000)])
    with pytest.raises(UploadCutOff):
        receive_form(Sender([body[:500]], cut_off=True))


def test_a_sender_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "IDLE_TIMEOUT_S", 0.05)

    async def silence() -> MutableMapping[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    with pytest.raises(UploadCutOff, match="silent"):
        asyncio.run(read_form(silence, CONTENT_TYPE, lambda part, texts: None))


def test_a_body_that_ends_early_is_malformed() -> None:
    with pytest.raises(MultipartMalformed, match="Unexpected end of form"):
        receive_form(Sender([encoded([("a", None, b"1")])[:-10]]))


def test_texts_have_a_limit_together_and_files_have_none() -> None:
    half = b"x" * (multipart.TEXT_LIMIT_BYTES // 2 + 1)
    with pytest.raises(MultipartMalformed, match="too long"):
        receive_form(Sender([encoded([("a", None, half), ("b", None, half)])]))
    texts, files = receive_form(Sender([encoded([("a", None, half), ("f", "b.jpg", half * 4)])]))
    assert len(texts["a"]) == len(half)
    assert len(files["f"].content) == 4 * len(half)


def test_files_that_nobody_wants_are_skipped() -> None:
    body = encoded([("other", "a.jpg", b"x" * 5000), ("a", None, b"1")])
    assert asyncio.run(read_form(Sender([body]), CONTENT_TYPE, lambda part, texts: None)) == {"a": "1"}


def test_the_reading_stops_at_the_closing_delimiter() -> None:
    sender = Sender([encoded([("a", None, b"1")]), b"never read"])
    assert receive_form(sender)[0] == {"a": "1"}
    assert sender.chunks == [b"never read"]
