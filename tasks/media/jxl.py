"""JPEG XL, read by libjxl through imagecodecs. The decoder gives no colour profile: samples count as sRGB.

libjxl wants to allocate before it tells the size, so the size is read from the header's bits first.
Source: ISO/IEC 18181-1, SizeHeader; 18181-2, boxes.
"""

from pathlib import Path

import imagecodecs
from PIL import Image

from tasks.media.picture import Picture, in_eight_bits, samples_in_eight_bits
from tasks.media.request import Request

_CODESTREAM = b"\xff\x0a"
_HEADER_BYTES = 16
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS = (9, 13, 18, 30)


def read_jxl(source: Path, request: Request) -> Picture:
    """Decode `source`, already upright. Raises ValueError for a broken header, and whatever imagecodecs does."""
    data = request.read_bytes(source)
    width, height = size_in_header(data)
    request.check_pixels(width, height)
    request.check_decoded_pixels(width, height)
    samples = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    image = in_eight_bits(Image.fromarray(samples_in_eight_bits(samples).squeeze()))
    return Picture(image, image.width, image.height)


def size_in_header(data: bytes) -> tuple[int, int]:
    """Width and height in pixels, before turning. Raises ValueError when there is no header."""
    header = _codestream_head(data)
    if len(header) < 4 or not header.startswith(_CODESTREAM):
        raise ValueError("no JPEG XL header")
    bits = _Bits(int.from_bytes(header[2:], "little"))
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio - 1]
        return height * numerator // denominator, height
    return _side(bits, small), height


def _side(bits: "_Bits", small: int) -> int:
    return 8 * (bits.take(5) + 1) if small else bits.take(_SIZE_BITS[bits.take(2)]) + 1


def _codestream_head(data: bytes) -> bytes:
    if data.startswith(_CODESTREAM):
        return data[:_HEADER_BYTES]
    offset = 0
    while offset + 8 <= len(data):
        length, start = int.from_bytes(data[offset : offset + 4], "big"), 8
        if length == 1:
            length, start = int.from_bytes(data[offset + 8 : offset + 16], "big"), 16
        kind = data[offset + 4 : offset + 8]
        if kind == b"jxlp":
            start += 4  # the part's number
        if kind in {b"jxlc", b"jxlp"}:
            return data[offset + start : offset + start + _HEADER_BYTES]
        if length < start:
            break
        offset += length
    return b""


class _Bits:
    """Takes bits from the low end."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken
