"""Whether a file of weights is as long as it says itself: one that was cut short is found without reading it all.

What was changed in the middle is not; for that there is the manifest.
"""

import json
import os
from pathlib import Path
from typing import BinaryIO

ONNX_GRAPH, ONNX_OPERATOR_SET = 7, 8
ONNX_FIELDS_MOST = 10_000
"""A network has a dozen at its top; whoever finds so many reads noise."""
HEADER_BYTES_MAX = 100 * 2**20
"""What the format allows a safetensors header."""
VARINT_BYTES_MAX = 10
FIXED_BYTES = {1: 8, 5: 4}
"""Bytes of a value by its wire type. Source: the description of protocol buffers' encoding."""


def is_whole(path: Path) -> bool:
    """Of kinds that say nothing about themselves, any that is not empty. Raises OSError."""
    match path.suffix:
        case ".safetensors":
            return is_whole_safetensors(path)
        case ".onnx":
            return is_whole_onnx(path)
        case _:
            return path.stat().st_size > 0


def is_whole_safetensors(path: Path) -> bool:
    """Its header parses and says as many bytes as there are. Source: the format's description."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if not 2 <= header_bytes <= min(size - 8, HEADER_BYTES_MAX):
            return False
        try:
            header = json.loads(file.read(header_bytes))
            last = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
    return bool(8 + header_bytes + last == size)


def is_whole_onnx(path: Path) -> bool:
    """Its fields end where the file does, and a graph and the operators that it is written in are among them."""
    size, found = path.stat().st_size, set[int]()
    with path.open("rb") as file:
        for _ in range(ONNX_FIELDS_MOST):
            if file.tell() >= size:
                return file.tell() == size and {ONNX_GRAPH, ONNX_OPERATOR_SET} <= found
            number = _skipped_field(file)
            if number is None:
                return False
            found.add(number)
    return False


def _skipped_field(file: BinaryIO) -> int | None:
    """The number of the field that begins here, and go to the next; None: none begins here."""
    key = _varint(file)
    if key is None:
        return None
    length = _varint(file) if key & 7 in (0, 2) else FIXED_BYTES.get(key & 7)
    if length is None:
        return None
    if key & 7 != 0:
        file.seek(length, os.SEEK_CUR)
    return key >> 3


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for place in range(VARINT_BYTES_MAX):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << (7 * place)
        if byte[0] < 128:
            return value
    return None
