"""Reads the box structure of HEIC and AVIF files: is every picture's data there, and what does the container say.

Decoders that get half of a file may give half of a picture without a word, so this looks first. Source: ISO/IEC
14496-12 (boxes, item location) and 23008-12 (item properties).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Bytes of a `meta` box that is believed: real ones hold some kilobytes, with hundreds of tiles some hundred.
_META_LIMIT_BYTES = 64 << 20


class BrokenBoxes(ValueError):
    """The structure contradicts itself or ends before its data does."""


@dataclass(frozen=True, slots=True)
class PrimaryItem:
    """What the container says of its main picture. `turns_left`: quarter turns anticlockwise; `mirror`: None, 0 for
    top and bottom exchanged, 1 for left and right; applied after the turns. Colour numbers are H.273's, 2 is unknown.
    `width_px`, `height_px`: before turning; 0 when the container does not say."""

    width_px: int = 0
    height_px: int = 0
    bits: int = 8
    turns_left: int = 0
    mirror: int | None = None
    profile: bytes | None = None
    primaries: int = 2
    transfer: int = 2


def read_primary_item(path: Path) -> PrimaryItem:
    """Raises BrokenBoxes when the file ends before the data of one of its pictures."""
    file_size = path.stat().st_size
    with path.open("rb") as file:
        meta = _meta_box(file, file_size)
    boxes = dict(_children(meta, 4))
    _check_locations(boxes.get(b"iloc", b""), file_size)
    primary_id = _primary_id(boxes.get(b"pitm", b""))
    properties = dict(_children(boxes.get(b"iprp", b""), 0))
    every = list(_children(properties.get(b"ipco", b""), 0))
    mine = [
        every[index - 1]
        for index in _property_indices(properties.get(b"ipma", b""), primary_id)
        if 0 < index <= len(every)
    ]
    return _primary_item(mine)


def _meta_box(file: BinaryIO, file_size: int) -> bytes:
    offset = 0
    while offset + 8 <= file_size:
        file.seek(offset)
        header = file.read(16)
        length, start = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(header[8:16], "big"), 16
        elif length == 0:
            length = file_size - offset
        if length < start:
            raise BrokenBoxes(f"a box of {length} bytes at {offset}")
        if header[4:8] == b"meta":
            if offset + length > file_size or length > _META_LIMIT_BYTES:
                raise BrokenBoxes("the file is truncated: its index is not complete")
            file.seek(offset + start)
            return file.read(length - start)
        offset += length
    raise BrokenBoxes("the file is truncated: it has no index")


def _children(box: bytes, skipped: int) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of each box within `box`, after `skipped` bytes of its own fields."""
    offset = skipped
    while offset + 8 <= len(box):
        length, start = int.from_bytes(box[offset : offset + 4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(box[offset + 8 : offset + 16], "big"), 16
        elif length == 0:
            length = len(box) - offset
        if length < start or offset + length > len(box):
            raise BrokenBoxes("a box reaches beyond the one that holds it")
        yield box[offset + 4 : offset + 8], box[offset + start : offset + length]
        offset += length


class _Fields:
    """Big-endian numbers, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def number(self, size_bytes: int) -> int:
        if self._at + size_bytes > len(self._data):
            raise BrokenBoxes("a box ends within a field")
        self._at += size_bytes
        return int.from_bytes(self._data[self._at - size_bytes : self._at], "big")


def _check_locations(iloc: bytes, file_size: int) -> None:
    fields = _Fields(iloc)
    version = fields.number(1)
    fields.number(3)
    sizes = fields.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(fields.number(4 if version == 2 else 2)):
        item = fields.number(4 if version == 2 else 2)
        in_file = version == 0 or fields.number(2) & 15 == 0
        fields.number(2)
        base = fields.number(base_size)
        for _ in range(fields.number(2)):
            if version:
                fields.number(index_size)
            offset, length = fields.number(offset_size), fields.number(length_size)
            if in_file and base + offset + length > file_size:
                raise BrokenBoxes(
                    f"the file is truncated: item {item} ends at byte {base + offset + length} of {file_size}"
                )


def _primary_id(pitm: bytes) -> int:
    fields = _Fields(pitm)
    version = fields.number(4) >> 24
    return fields.number(4 if version else 2)


def _property_indices(ipma: bytes, item: int) -> list[int]:
    """One-based places in the list of properties, in the order in which they are applied."""
    if not ipma:
        return []
    fields = _Fields(ipma)
    version_and_flags = fields.number(4)
    id_size, index_size = (4 if version_and_flags >> 24 else 2), (2 if version_and_flags & 1 else 1)
    without_essential = (1 << (8 * index_size - 1)) - 1
    for _ in range(fields.number(4)):
        found = fields.number(id_size)
        indices = [fields.number(index_size) & without_essential for _ in range(fields.number(1))]
        if found == item:
            return indices
    return []


def _primary_item(properties: list[tuple[bytes, bytes]]) -> PrimaryItem:
    said: dict[str, int | bytes | None] = {}
    for kind, data in properties:
        fields = _Fields(data)
        match kind:
            case b"ispe":
                fields.number(4)
                said |= {"width_px": fields.number(4), "height_px": fields.number(4)}
            case b"av1C":
                flags = fields.number(3) & 0xFF
                said["bits"] = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
            case b"irot":
                said["turns_left"] = fields.number(1) & 3
            case b"imir":
                said["mirror"] = fields.number(1) & 1
            case b"colr" if data[:4] in {b"prof", b"rICC"}:
                said["profile"] = data[4:]
            case b"colr" if data[:4] == b"nclx":
                fields.number(4)
                said |= {"primaries": fields.number(2), "transfer": fields.number(2)}
    return PrimaryItem(**said)  # type: ignore[arg-type]  # each key is a field of its type, six lines up
