"""The hashes below come from the npm package `thumbhash` 0.1.1, run over the same pixels; the reference in this file
is the published algorithm in plain loops, for pictures of any shape."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.media.thumbhash import thumbhash


def pattern(height: int, width: int, transparent: bool) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    alpha = (x + y) * 4 % 256 if transparent else np.full((height, width), 255)
    channels = [(x * 7 + y * 3) % 256, (x * x // 5 + y * 2) % 256, (255 - x * 2 + y * 5) % 256, alpha]
    return np.stack(channels, axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "transparent", "expected"),
    [
        (75, 100, False, "e0070615844466454636074981954fa5ba55d0fe5a"),
        (100, 75, False, "1f08061504664435736274b360bf537b67b078e98f"),
        (100, 100, False, "df07060f0476667437545756669725984f9587066788df08"),
        (100, 75, True, "e007820c02177a57667885399f048d8fe996537877580b2509"),
        (1, 1, False, "15002aff0108f708888788708f7088f80888707ff8000000"),
        (33, 100, False, "9f17061a86406460986276aa8c00c77f79"),
        (50, 60, True, "e01786248618875235659f9578550cff84a96486207ae38707"),
    ],
)
def test_the_hash_is_what_the_published_package_gives(
    height: int, width: int, transparent: bool, expected: str
) -> None:
    assert thumbhash(pattern(height, width, transparent)).hex() == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_picture_hashes_as_the_plain_algorithm_does(height: int, width: int, transparent: bool, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)
    if not transparent:
        pixels[..., 3] = 255
    ours, theirs = thumbhash(pixels), reference(pixels)
    assert len(ours) == len(theirs)
    # a term that lies on the edge between two steps may fall on either side, by the order in which floats are added
    differences = [abs(a - b) for a, b in zip(nibbles(ours), nibbles(theirs), strict=True)]
    assert max(differences) <= 1
    assert sum(differences) <= 4


def test_an_even_picture_has_no_terms() -> None:
    even = np.full((40, 60, 4), (200, 100, 50, 255), np.uint8)
    assert set(thumbhash(even)[5:]) == {0}


def test_a_picture_without_a_visible_pixel_has_a_hash() -> None:
    assert len(thumbhash(np.zeros((50, 50, 4), np.uint8))) > 5


@pytest.mark.parametrize("shape", [(101, 50, 4), (50, 50, 3), (0, 50, 4), (50, 50)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="RGBA"):
        thumbhash(np.zeros(shape, np.uint8))


def nibbles(data: bytes) -> list[int]:
    return [half for byte in data for half in (byte & 15, byte >> 4)]


def reference(pixels: NDArray[np.uint8]) -> bytes:
    height, width = pixels.shape[:2]
    flat = [[value / 255 for value in pixel] for pixel in pixels.reshape(-1, 4).tolist()]
    opacity = sum(p[3] for p in flat)
    mean = [sum(p[c] * p[3] for p in flat) / opacity if opacity else 0.0 for c in range(3)]
    laid = [[mean[c] * (1 - p[3]) + p[c] * p[3] for c in range(3)] for p in flat]
    has_alpha = opacity < width * height
    limit = 5 if has_alpha else 7
    nx = max(1, math.floor(limit * width / max(width, height) + 0.5))
    ny = max(1, math.floor(limit * height / max(width, height) + 0.5))

    def encode(channel: list[float], nx: int, ny: int) -> tuple[float, list[float], float]:
        terms = [
            sum(
                channel[x + y * width]
                * math.cos(math.pi / width * cx * (x + 0.5))
                * math.cos(math.pi / height * cy * (y + 0.5))
                for y in range(height)
                for x in range(width)
            )
            / (width * height)
            for cy in range(ny)
            for cx in range(nx)
            if cx * ny < nx * (ny - cy)
        ]
        scale = max(abs(term) for term in terms[1:])
        return terms[0], [0.5 + 0.5 / scale * term if scale else 0.0 for term in terms[1:]], scale

    def step(value: float) -> int:
        return math.floor(value + 0.5)

    l_dc, l_ac, l_scale = encode([sum(p) / 3 for p in laid], max(3, nx), max(3, ny))
    p_dc, p_ac, p_scale = encode([(p[0] + p[1]) / 2 - p[2] for p in laid], 3, 3)
    q_dc, q_ac, q_scale = encode([p[0] - p[1] for p in laid], 3, 3)
    landscape = width > height
    head24 = step(63 * l_dc) | step(31.5 + 31.5 * p_dc) << 6 | step(31.5 + 31.5 * q_dc) << 12
    head24 |= step(31 * l_scale) << 18 | has_alpha << 23
    head16 = (ny if landscape else nx) | step(63 * p_scale) << 3 | step(63 * q_scale) << 9 | landscape << 15
    result = [head24 & 255, head24 >> 8 & 255, head24 >> 16, head16 & 255, head16 >> 8]
    terms = [*l_ac, *p_ac, *q_ac]
    if has_alpha:
        a_dc, a_ac, a_scale = encode([p[3] for p in flat], 5, 5)
        result.append(step(15 * a_dc) | step(15 * a_scale) << 4)
        terms += a_ac
    for place, term in enumerate(terms):
        if place % 2 == 0:
            result.append(step(15 * term))
        else:
            result[-1] |= step(15 * term) << 4
    return bytes(result)
