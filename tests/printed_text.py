"""Pictures with text in them, drawn: what they say is known to the letter."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def picture_of(*lines: tuple[str, tuple[int, int]], size: tuple[int, int] = (900, 600)) -> Picture:
    """`lines`: a text and where its lower left corner lies, in pixels; `size`: width and height."""
    import cv2

    canvas = np.full((size[1], size[0], 3), 245, np.uint8)
    for text, corner in lines:
        cv2.putText(canvas, text, corner, cv2.FONT_HERSHEY_DUPLEX, 1.6, (20, 20, 60), 3, cv2.LINE_AA)
    return canvas


def as_jpeg(picture: Picture) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
