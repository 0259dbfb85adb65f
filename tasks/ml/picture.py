"""The picture that models look at: an asset's preview, upright already, as pixels."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cluster.errors import SourceMissing, TooLarge, UnreadableImage

Pixels = NDArray[np.uint8]
"""(height, width, 3), red first."""

FORMATS = ("JPEG", "WEBP")
"""What previews are written as."""

MOST_PIXELS = 170_000_000
"""A preview has some two million; this is a panorama's. Pillow itself refuses a little more."""


def read_picture(path: str | Path) -> Pixels:
    """Raises what `opened_picture` raises."""
    with opened_picture(path) as image:
        return np.asarray(image.convert("RGB"))


@contextmanager
def opened_picture(path: str | Path) -> Iterator[Image.Image]:
    """The picture, to be decoded within the block.

    Raises SourceMissing, UnreadableImage, and TooLarge for more than MOST_PIXELS: no retry will help. What the disk
    refuses is raised as it is.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise TooLarge(path, f"{image.width} x {image.height} are more than {MOST_PIXELS} pixels")
            yield image
    except FileNotFoundError as error:
        raise SourceMissing(path, "the preview is not on disk, generate it again") from error
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise UnreadableImage(path, str(error)) from error
    except OSError as error:
        if error.errno is not None:  # the disk, not the picture
            raise
        raise UnreadableImage(path, str(error)) from error
