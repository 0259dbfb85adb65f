"""Files that are as long as they say themselves, and hold nothing that could be loaded."""

import json
from pathlib import Path


def safetensors(numbers: bytes = b"\0" * 16) -> bytes:
    """One tensor of float16."""
    entry = {"dtype": "F16", "shape": [len(numbers) // 2], "data_offsets": [0, len(numbers)]}
    header = json.dumps({"w": entry}).encode()
    return len(header).to_bytes(8, "little") + header + numbers


def onnx(graph: bytes = b"a network") -> bytes:
    """A version, a graph of fewer than 128 bytes, and a set of operators."""
    return b"\x08\x08" + b"\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x11"


def cut_short(path: Path, share: float = 0.5) -> None:
    """Keep the beginning; a link's target stays as it is."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: int(len(content) * share)])


def garble(path: Path) -> None:
    """As long as before, and readable, but what should be numbers are none; a link's target stays as it is."""
    content = bytearray(path.read_bytes())
    begin, end = len(content) // 2, len(content) // 2 + 4096
    if path.suffix == ".safetensors":
        begin, end = 8 + int.from_bytes(content[:8], "little"), len(content)
    content[begin:end] = b"\xff" * (end - begin)
    path.unlink()
    path.write_bytes(content)
