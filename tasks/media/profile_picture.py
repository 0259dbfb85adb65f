"""A picture that somebody chose for themselves → a small JPEG on standard output, without what the file says of place
and time: `python -m tasks.media.profile_picture SOURCE NAME`.

A program of its own, because decoders meet whatever people send: one that crashes or swallows all memory takes nobody
else with it. It ends with 0, or with what was wrong on standard error.
"""

import io
import resource
import sys
from pathlib import Path
from typing import Final

from PIL import Image

from cluster.errors import HeliostatError
from tasks.media.image import decoded
from tasks.media.renditions import Limits

EDGE_PX: Final = 500
"""Of the shorter edge: clients show it in circles of at most 250 points."""
QUALITY: Final = 85
LIMITS: Final = Limits(max_pixels=200_000_000, max_decoded_pixels=64_000_000, max_file_bytes=64 << 20)
"""As large as the largest cameras' pictures; what is decoded takes a quarter of a gigabyte."""
MEMORY_BYTES: Final = 4 << 30
"""Of addresses, most of which are the libraries' own; a decoder that wants more fails."""


def profile_picture(source: Path, name: str) -> bytes:
    """A JPEG of sRGB. Raises as `decode` does."""
    image = decoded(source, name=name, short_edge_px=EDGE_PX, space="srgb", limits=LIMITS)
    scale = EDGE_PX / min(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)))
    if image.mode != "RGB":
        drawn = image.convert("RGBA")
        image = Image.new("RGB", drawn.size, "white")
        image.paste(drawn, mask=drawn.getchannel("A"))
    written = io.BytesIO()
    image.save(written, "jpeg", quality=QUALITY)
    return written.getvalue()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        sys.stdout.buffer.write(profile_picture(Path(sys.argv[1]), sys.argv[2]))
    except HeliostatError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
