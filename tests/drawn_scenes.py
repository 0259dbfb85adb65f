"""Drawn scenes for tests: one shape of one colour on a dull, uneven ground, of any size, place and turn.

The tiny CLIP in `data/models` was trained on these and knows nothing else. What a picture shows is told in words.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 32, 38),
    "orange": (240, 134, 24),
    "yellow": (244, 220, 52),
    "green": (36, 154, 62),
    "blue": (34, 78, 208),
    "purple": (132, 48, 168),
    "black": (18, 18, 20),
    "white": (248, 248, 246),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
KINDS: tuple[tuple[str, str], ...] = tuple(itertools.product(COLOURS, SHAPES))
"""Every colour with every shape."""

PHRASES = (
    "{colour} {shape}",
    "a {colour} {shape}",
    "a photo of a {colour} {shape}",
    "the {colour} {shape}",
    "a picture with a {colour} {shape}",
    "one {colour} {shape} on a plain ground",
    "a {shape} that is {colour}",
    "{shape} in {colour}",
)
SMOOTH = 3
"""Shapes are drawn so many times as large and scaled down, which rounds their edges."""
CORNERS = {"square": (4, 1.0), "triangle": (3, 1.0), "star": (10, 0.42)}
"""Corners of a shape, and how far in every other one of them lies."""


def draw_scene(
    random: np.random.Generator, colour: str, shape: str, size_px: tuple[int, int] | None = None
) -> Image.Image:
    """An RGB picture of `size_px` (width, height), or of a size of its own between 48 and 400 px."""
    width, height = size_px or tuple(int(side) for side in random.integers(48, 401) * random.uniform(0.8, 1.25, 2))
    ground = _ground(random, width, height)
    short = min(width, height)
    radius = short * random.uniform(0.17, 0.4)
    room = max(short / 2 - radius, 0)  # the middle square is all that a model sees of a picture
    centre = np.array([width, height]) / 2 + random.uniform(-room, room, 2)
    mask = Image.new("L", (width * SMOOTH, height * SMOOTH), 0)
    _draw_shape(ImageDraw.Draw(mask), shape, centre * SMOOTH, radius * SMOOTH, random.uniform(-0.35, 0.35))
    paint = np.clip(np.array(COLOURS[colour]) + random.normal(0, 9, 3), 0, 255).astype(int)
    ground.paste(tuple(int(part) for part in paint), mask=mask.resize((width, height), Image.Resampling.BOX))
    return ground


def captions(colour: str, shape: str) -> list[str]:
    """All that is said of such a scene."""
    return [phrase.format(colour=colour, shape=shape) for phrase in PHRASES]


def scenes(seed: int, each: int) -> Iterator[tuple[str, str, Image.Image]]:
    """(colour, shape, picture), `each` of every kind, the same for the same seed."""
    random = np.random.default_rng(seed)
    for _ in range(each):
        for colour, shape in KINDS:
            yield colour, shape, draw_scene(random, colour, shape)


def _ground(random: np.random.Generator, width: int, height: int) -> Image.Image:
    """Four dull corner colours run into each other, with some grain."""
    grey = random.uniform(80, 175, (2, 2, 1))
    corners = np.clip(grey + random.normal(0, 12, (2, 2, 3)), 0, 255).astype(np.uint8)
    spread = np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR), np.float32)
    grain = random.normal(0, random.uniform(0, 8), (height, width, 1))
    return Image.fromarray(np.clip(spread + grain, 0, 255).astype(np.uint8))


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, centre: NDArray[np.float64], radius: float, turn: float) -> None:
    left, top, right, bottom = (*(centre - radius), *(centre + radius))
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=255)
    elif shape == "ring":
        draw.ellipse((left, top, right, bottom), fill=255)
        hole = radius * 0.58
        draw.ellipse((*(centre - hole), *(centre + hole)), fill=0)
    elif shape == "cross":
        for quarter in (0.0, math.pi / 2):
            draw.polygon(_bar(centre, radius, turn + quarter), fill=255)
    else:
        count, inner = CORNERS[shape]
        draw.polygon(_corners(centre, radius, count, inner, turn), fill=255)


def _bar(centre: NDArray[np.float64], radius: float, turn: float) -> list[tuple[float, float]]:
    along = np.array([math.cos(turn), math.sin(turn)]) * radius
    across = np.array([-math.sin(turn), math.cos(turn)]) * radius * 0.28
    ends = [centre + along + across, centre + along - across, centre - along - across, centre - along + across]
    return [(float(x), float(y)) for x, y in ends]


def _corners(
    centre: NDArray[np.float64], radius: float, count: int, inner: float, turn: float
) -> list[tuple[float, float]]:
    start = turn - math.pi / 2 + (math.pi / 4 if count == 4 else 0)
    points = []
    for index in range(count):
        angle = start + 2 * math.pi * index / count
        reach = radius * (inner if index % 2 and inner < 1 else 1.0)
        points.append((float(centre[0] + reach * math.cos(angle)), float(centre[1] + reach * math.sin(angle))))
    return points
