"""Any picture file → pixels. The one place that turns what a dozen decoders raise into our errors."""

import traceback
from pathlib import Path
from typing import assert_never

from cluster.errors import HeliostatError, OutOfMemory, SourceMissing, UnreadableImage
from tasks.media.formats import extension
from tasks.media.heif import read_avif, read_heic
from tasks.media.jxl import read_jxl
from tasks.media.picture import Picture
from tasks.media.pillow_reader import read_with_pillow
from tasks.media.raw import read_raw
from tasks.media.request import Request
from tasks.media.signatures import HEAD_BYTES, Decoder, decoder_for
from tasks.media.svg import read_svg


def decode(source: Path, name: str, request: Request) -> Picture:
    """Decode `source`, whose original name is `name`.

    Raises UnreadableImage, UnsupportedMedia, TooLarge and SourceMissing, where a retry cannot help; OutOfMemory, and
    OSError when the disk itself fails, where it may.
    """
    try:
        return _decode(source, name, request)
    except HeliostatError:
        raise
    except FileNotFoundError as error:
        raise SourceMissing(request.label, "no such file") from error
    except MemoryError as error:
        raise OutOfMemory(f"no memory left for {request.label}") from error
    except OSError as error:
        if error.errno is not None:  # Pillow's own complaints have none
            raise
        raise UnreadableImage(request.label, _reason(error)) from error
    except Exception as error:  # decoders raise whatever they like over bytes that they did not expect
        raise UnreadableImage(request.label, _reason(error)) from error


def _decode(source: Path, name: str, request: Request) -> Picture:
    with source.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise UnreadableImage(request.label, "the file is empty")
    decoder = decoder_for(head, name)
    match decoder:
        case None:
            raise UnreadableImage(request.label, f"the content is no picture, whatever the name {extension(name)} says")
        case Decoder.HEIF:
            return read_heic(source, request)
        case Decoder.AVIF:
            return read_avif(source, request)
        case Decoder.JPEG_XL:
            return read_jxl(source, request)
        case Decoder.RAW:
            return read_raw(source, request)
        case Decoder.SVG:
            return read_svg(source, request)
        case (
            Decoder.JPEG
            | Decoder.PNG
            | Decoder.GIF
            | Decoder.WEBP
            | Decoder.BMP
            | Decoder.TIFF
            | Decoder.PSD
            | Decoder.JPEG_2000
        ):
            return read_with_pillow(source, decoder.value, request)
        case _:
            assert_never(decoder)


def _reason(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return said[:300] or traceback.format_exception_only(error)[-1].strip()
