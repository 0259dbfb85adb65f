"""The picture that models look at: an asset's preview, upright already, as pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cluster.errors import SourceMissing, TooLarge, UnreadableImage

Pixels = NDArray[np.uint8]
"""(height, width, 3), red first."""

FORMATS = ("JPEG", "WEBP")
"""What previews may be written as."""

MOST_PIXELS = 100_000_000
"""A preview of 1440 has two million; one that an admin had made in full size may have many more."""


def read_picture(path: str | Path) -> Pixels:
    """Raises SourceMissing, UnreadableImage, and TooLarge for more than MOST_PIXELS: no retry will help. What the disk
    refuses is raised as it is."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise TooLarge(path, f"{width} x {height} pixels are more than models are shown")
            rgb: Any = image if image.mode == "RGB" else image.convert("RGB")
            return np.asarray(rgb)
    except FileNotFoundError as error:
        raise SourceMissing(path, "the preview is not on disk, generate it again") from error
    except OSError as error:
        if error.errno is not None and not isinstance(error, UnidentifiedImageError):
            raise
        raise UnreadableImage(path, str(error)) from error
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(path, str(error)) from error
