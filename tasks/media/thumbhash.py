"""ThumbHash: a picture's colours and rough shapes in about 25 bytes, shown while the thumbnail loads.

The cosine transform of the published algorithm (Evan Wallace, https://evanw.github.io/thumbhash/) as two small matrix
products per channel, so that a hash costs a fraction of a millisecond. Bytes agree with the reference.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

LONGEST_SIDE_PX = 100

# An even channel's terms are nothing but rounding, and differ from machine to machine.
_NOISE = 1e-9

Matrix = NDArray[np.float64]


def thumbhash(rgba: NDArray[np.uint8]) -> bytes:
    """Hash `rgba`: uint8 (height, width, 4), each side 1–100, alpha not premultiplied. Returns 5–25 bytes.

    Raises ValueError for another shape.
    """
    if rgba.ndim != 3 or rgba.shape[2] != 4 or not 1 <= min(rgba.shape[:2]) <= max(rgba.shape[:2]) <= LONGEST_SIDE_PX:
        raise ValueError(f"a picture of 1-100 x 1-100 RGBA pixels is needed, got {rgba.shape}")
    height, width = rgba.shape[:2]
    lightness, yellow_blue, red_green, alpha = _channels(rgba)
    has_alpha = bool((rgba[..., 3] < 255).any())
    longest, limit = max(width, height), 5 if has_alpha else 7
    # rounding is half up, as in the reference, not to even
    terms_x, terms_y = max(1, int(limit * width / longest + 0.5)), max(1, int(limit * height / longest + 0.5))
    l_dc, l_ac, l_scale = _encode(lightness, max(3, terms_x), max(3, terms_y))
    p_dc, p_ac, p_scale = _encode(yellow_blue, 3, 3)
    q_dc, q_ac, q_scale = _encode(red_green, 3, 3)

    landscape = width > height
    header24 = (
        _steps(63 * l_dc)
        | _steps(31.5 + 31.5 * p_dc) << 6
        | _steps(31.5 + 31.5 * q_dc) << 12
        | _steps(31 * l_scale) << 18
        | has_alpha << 23
    )
    header16 = (
        (terms_y if landscape else terms_x) | _steps(63 * p_scale) << 3 | _steps(63 * q_scale) << 9 | landscape << 15
    )
    head: bytes = header24.to_bytes(3, "little") + header16.to_bytes(2, "little")
    nibbles = np.concatenate([l_ac, p_ac, q_ac])
    if has_alpha:
        a_dc, a_ac, a_scale = _encode(alpha, 5, 5)
        head += bytes([_steps(15 * a_dc) | _steps(15 * a_scale) << 4])
        nibbles = np.concatenate([nibbles, a_ac])
    packed = _pack(nibbles)
    return head + packed


def _channels(rgba: NDArray[np.uint8]) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Lightness, yellow–blue, red–green and alpha in 0–1, each (height, width), laid over the average colour."""
    r, g, b, alpha = np.ascontiguousarray(np.moveaxis(rgba, 2, 0)) * (1 / 255)
    if alpha.min() < 1:
        total = alpha.sum()
        r, g, b = (_over_average(channel, alpha, total) for channel in (r, g, b))
    return (r + g + b) / 3, (r + g) / 2 - b, r - g, alpha


def _over_average(channel: Matrix, alpha: Matrix, total: float) -> Matrix:
    weighted = channel * alpha
    average = weighted.sum() / total if total else 0.0
    return average * (1 - alpha) + weighted


def _encode(channel: Matrix, terms_x: int, terms_y: int) -> tuple[float, Matrix, float]:
    """The constant term, the others in the hash's order scaled to 0–1, and their largest magnitude."""
    height, width = channel.shape
    terms = _cosines(terms_y, height) @ channel @ _cosines(terms_x, width).T / (width * height)
    others = terms[_triangle(terms_x, terms_y)]
    scale = float(np.abs(others).max(initial=0))
    if scale < _NOISE:
        return float(terms[0, 0]), np.zeros_like(others), 0.0
    return float(terms[0, 0]), 0.5 + 0.5 / scale * others, scale


@lru_cache(maxsize=512)
def _cosines(terms: int, length: int) -> Matrix:
    """(terms, length): term t at pixel i is cos(π/length · t · (i + ½))."""
    cosines: Matrix = np.cos(np.pi / length * np.outer(np.arange(terms), np.arange(length) + 0.5))
    return cosines


@lru_cache(maxsize=64)
def _triangle(terms_x: int, terms_y: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(rows, columns) of the terms that are kept: a triangle of low frequencies, row by row, without the constant."""
    kept = [
        (y, x) for y in range(terms_y) for x in range(0 if y else 1, terms_x) if x * terms_y < terms_x * (terms_y - y)
    ]
    rows, columns = zip(*kept, strict=True)
    return np.array(rows, np.intp), np.array(columns, np.intp)


def _steps(value: float) -> int:
    return int(value + 0.5)


def _pack(nibbles: Matrix) -> bytes:
    """Two terms a byte, the first in the low half."""
    quantised: NDArray[np.uint8] = (15 * nibbles + 0.5).astype(np.uint8)
    if len(quantised) % 2:
        quantised = np.append(quantised, np.uint8(0))
    return bytes(quantised[0::2] | quantised[1::2] << 4)
