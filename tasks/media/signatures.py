"""Which decoder a picture needs, told by its first bytes: cameras and phones give files wrong names, and a name that
lies must not choose the code that reads a stranger's bytes."""

from enum import Enum

from tasks.media.formats import extension, is_raw

HEAD_BYTES = 4_096

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"},
)


class Decoder(Enum):
    """Who reads it. The values of Pillow's formats are Pillow's names for them."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    BMP = "BMP"
    TIFF = "TIFF"
    PSD = "PSD"
    JPEG_2000 = "JPEG2000"
    HEIF = "heif"
    AVIF = "avif"
    JPEG_XL = "jxl"
    RAW = "raw"
    SVG = "svg"


_PREFIXES = (
    (b"\xff\xd8\xff", Decoder.JPEG),
    (b"\x89PNG\r\n\x1a\n", Decoder.PNG),
    (b"GIF87a", Decoder.GIF),
    (b"GIF89a", Decoder.GIF),
    (b"BM", Decoder.BMP),
    (b"8BPS", Decoder.PSD),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Decoder.JPEG_2000),
    (b"\xff\x4f\xff\x51", Decoder.JPEG_2000),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Decoder.JPEG_XL),
    (b"\xff\x0a", Decoder.JPEG_XL),
    (b"II*\x00", Decoder.TIFF),
    (b"MM\x00*", Decoder.TIFF),
    (b"II+\x00", Decoder.TIFF),
    (b"MM\x00+", Decoder.TIFF),
)


def decoder_for(head: bytes, name: str) -> Decoder | None:
    """The decoder for a file that begins with `head` (4 KiB are enough) and is called `name`; None when it is no
    picture. The name counts only for camera formats, many of which look like TIFF, and for SVG, which is plain text."""
    found = _by_signature(head)
    if is_raw(name) and found in {None, Decoder.TIFF, Decoder.HEIF}:
        return Decoder.RAW
    if found is None and extension(name) == ".svg" and b"<" in head:
        return Decoder.SVG
    return found


def _by_signature(head: bytes) -> Decoder | None:
    for prefix, decoder in _PREFIXES:
        if head.startswith(prefix):
            return decoder
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Decoder.WEBP
    if head[4:8] == b"ftyp":
        length = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))}
        if brands & _AVIF_BRANDS:
            return Decoder.AVIF
        if brands & _HEIF_BRANDS:
            return Decoder.HEIF
    return None
