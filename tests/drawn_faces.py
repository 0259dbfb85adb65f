"""Drawn people for tests: a face with a look of its own, in any pose, light and size, and where its parts are.

Nobody real is in them. The tiny face pack in `data/models` was trained on these and knows nothing else.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]
Points = NDArray[np.float64]

SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Look:
    """What makes a person. Lengths in halves of a face's height, colours as RGB."""

    skin: Color
    hair: Color
    iris: Color
    lips: Color
    half_width: float
    squareness: float
    hair_top: float
    fringe: float
    hair_side: float
    parting: float
    eye_distance: float
    eye_size: float
    eye_height: float
    brow_thickness: float
    brow_angle: float
    brow_gap: float
    nose_y: float
    nose_width: float
    mouth_y: float
    mouth_width: float
    lip_thickness: float
    beard: float
    moustache: float
    glasses: int
    glasses_color: Color
    mole: tuple[float, float] | None


def random_look(rng: np.random.Generator) -> Look:
    """Somebody."""
    return Look(
        skin=_skin(rng),
        hair=_hair(rng),
        iris=_color(rng, ((60, 40, 25), (70, 110, 160), (60, 120, 70), (110, 110, 110), (120, 80, 30)), 15),
        lips=_color(rng, ((190, 80, 90), (150, 70, 60), (215, 120, 120), (120, 40, 60)), 18),
        half_width=rng.uniform(0.62, 0.86),
        squareness=rng.uniform(1.8, 3.2),
        hair_top=rng.uniform(-0.02, 0.32),
        fringe=rng.uniform(-0.95, -0.42),
        hair_side=rng.choice((0.0, rng.uniform(0.1, 1.2))),
        parting=rng.uniform(-0.6, 0.6),
        eye_distance=rng.uniform(0.25, 0.38),
        eye_size=rng.uniform(0.085, 0.145),
        eye_height=rng.uniform(0.45, 0.9),
        brow_thickness=rng.uniform(0.02, 0.075),
        brow_angle=rng.uniform(-0.45, 0.45),
        brow_gap=rng.uniform(0.16, 0.27),
        nose_y=rng.uniform(0.16, 0.36),
        nose_width=rng.uniform(0.07, 0.19),
        mouth_y=rng.uniform(0.5, 0.66),
        mouth_width=rng.uniform(0.2, 0.38),
        lip_thickness=rng.uniform(0.03, 0.085),
        beard=rng.choice((0.0, 0.0, rng.uniform(0.25, 0.6))),
        moustache=rng.choice((0.0, 0.0, rng.uniform(0.05, 0.12))),
        glasses=int(rng.choice((0, 0, 1, 2))),
        glasses_color=_color(rng, ((20, 20, 20), (120, 30, 30), (30, 50, 120), (150, 120, 60)), 15),
        mole=(rng.uniform(-0.4, 0.4), rng.uniform(0.1, 0.7)) if rng.random() < 0.3 else None,
    )


def _skin(rng: np.random.Generator) -> Color:
    light = rng.uniform(0.3, 1.0)
    base = np.array([250, 214, 188]) * light + np.array([-5, -18, -28]) * (1 - light)
    return _rgb(base + rng.uniform(-9, 9, 3))


def _hair(rng: np.random.Generator) -> Color:
    tones = ((25, 20, 20), (75, 48, 28), (135, 90, 45), (215, 180, 105), (165, 70, 35), (175, 175, 175), (150, 40, 90))
    return _color(rng, tones, 14)


def _color(rng: np.random.Generator, tones: tuple[Color, ...], spread: int) -> Color:
    return _rgb(np.array(tones[rng.integers(len(tones))]) + rng.uniform(-spread, spread, 3))


def _rgb(values: NDArray[Any]) -> Color:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


@dataclass(frozen=True)
class Pose:
    """Where and how a face is. `height_px`: of the face; `roll`, `yaw` in radians; `smile` -1 to 1; `open` 0 to 1."""

    center: tuple[float, float]
    height_px: float
    roll: float = 0.0
    yaw: float = 0.0
    smile: float = 0.3
    open: float = 0.0
    blink: float = 0.0


def random_pose(rng: np.random.Generator, center: tuple[float, float], height_px: float) -> Pose:
    """As people are photographed: mostly upright, mostly to the front."""
    return Pose(
        center,
        height_px,
        roll=rng.normal(0, 0.16),
        yaw=float(np.clip(rng.normal(0, 0.25), -0.6, 0.6)),
        smile=rng.uniform(-0.5, 1),
        open=rng.choice((0.0, rng.uniform(0, 1))),
        blink=rng.choice((0.0, 0.0, rng.uniform(0, 0.6))),
    )


@dataclass(frozen=True)
class DrawnFace:
    """Where a face was drawn. `box`: left, top, right, bottom; `landmarks`: (5, 2), eyes, nose, corners of the mouth,
    from left to right as seen."""

    box: tuple[float, float, float, float]
    landmarks: Points


@dataclass(frozen=True)
class Brush:
    """Draws in a face's own units: its middle is 0, its chin 1 below, its features shift as it turns."""

    picture: Picture
    pose: Pose
    matrix: Points = field(init=False)

    def __post_init__(self) -> None:
        scale, roll = self.pose.height_px / 2, self.pose.roll
        turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        squeeze = np.diag([np.cos(self.pose.yaw * 0.8), 1.0])
        object.__setattr__(self, "matrix", scale * turn @ squeeze)

    def place(self, points: Any, depth: float = 0.0) -> Points:
        """Pixels of points; what is nearer to the viewer (`depth`) moves farther when the head turns."""
        shifted = np.asarray(points, float) + np.array([np.sin(self.pose.yaw) * depth, 0])
        return np.asarray(shifted @ self.matrix.T + self.pose.center)

    def fill(self, points: Any, color: Color, depth: float = 0.0) -> None:
        """A filled shape."""
        placed = np.round(self.place(points, depth) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(self.picture, [placed], color, cv2.LINE_AA, SUBPIXEL_BITS)

    def line(self, points: Any, color: Color, width: float, depth: float = 0.0, closed: bool = False) -> None:
        """A line through points, `width` in the face's units."""
        placed = np.round(self.place(points, depth) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        thickness = max(1, round(width * self.pose.height_px / 2))
        cv2.polylines(self.picture, [placed], closed, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def oval(x: float, y: float, half_width: float, half_height: float, squareness: float = 2.0) -> Points:
    """An ellipse, or with more `squareness` something nearer to a rectangle."""
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack(
        [
            x + half_width * np.sign(cos) * np.abs(cos) ** (2 / squareness),
            y + half_height * np.sign(sin) * np.abs(sin) ** (2 / squareness),
        ],
        axis=1,
    )


def draw_face(picture: Picture, look: Look, pose: Pose) -> DrawnFace:
    """Draw somebody into an RGB picture, with neck and shoulders."""
    brush = Brush(picture, pose)
    _body(brush, look)
    _head(brush, look)
    landmarks = np.concatenate([_eyes(brush, look), _nose(brush, look), _mouth(brush, look)])
    outline = brush.place(oval(0, 0.05, look.half_width, 0.95, look.squareness))
    (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
    return DrawnFace((left, top, right, bottom), landmarks)


def _darker(color: Color, share: float) -> Color:
    return _rgb(np.array(color) * share)


def _body(brush: Brush, look: Look) -> None:
    shirt = _rgb(255 - np.array(look.hair) * 0.6 - np.array(look.iris) * 0.4)
    brush.fill(oval(0, 2.3, 1.5, 1.05, 2.6), shirt, -0.3)
    brush.fill(oval(0, 1.05, look.half_width * 0.5, 0.5, 3), _darker(look.skin, 0.85), -0.15)


def _head(brush: Brush, look: Look) -> None:
    width = look.half_width
    if look.hair_side > 0.1:
        brush.fill(oval(0, look.hair_side / 2 - 0.4, width * 1.2, look.hair_side / 2 + 0.65, 2.8), look.hair, -0.25)
    for side in (-1, 1):
        brush.fill(oval(side * width, 0.02, 0.1, 0.19), _darker(look.skin, 0.9), -0.15)
    brush.fill(oval(0, -0.25, width * (1.03 + look.hair_top / 3), 0.78 + look.hair_top), look.hair, -0.1)
    face = oval(0, 0, width, 1, look.squareness)
    brush.fill(face, look.skin)
    _beard(brush, look)
    top = oval(0, 0, width * 1.02, 1.02, look.squareness)
    hairline = [
        (width * 1.02, look.fringe + 0.1),
        (look.parting, look.fringe - 0.12),
        (-width * 1.02, look.fringe + 0.1),
    ]
    above = top[top[:, 1] < look.fringe]
    if len(above):
        brush.fill(np.concatenate([above, hairline]), look.hair)


def _beard(brush: Brush, look: Look) -> None:
    if look.beard:
        jaw = oval(0, 0, look.half_width, 1.02, look.squareness)
        jaw = jaw[jaw[:, 1] > 1 - look.beard - 0.15]
        order = np.argsort(jaw[:, 0])
        upper = [(look.half_width * 0.5, 1 - look.beard * 0.75), (-look.half_width * 0.5, 1 - look.beard * 0.75)]
        brush.fill(np.concatenate([jaw[order], upper]), _darker(look.hair, 0.9))


def _eyes(brush: Brush, look: Look) -> Points:
    placed = []
    for side in (-1, 1):
        x, y, size = side * look.eye_distance, -0.12, look.eye_size
        height = size * look.eye_height * (1 - brush.pose.blink)
        brush.fill(oval(x, y, size, height), (244, 242, 238), 0.12)
        iris = size * 0.55
        brush.fill(oval(x, y, iris, min(iris, height)), look.iris, 0.14)
        brush.fill(oval(x, y, iris / 2, min(iris / 2, height)), (10, 10, 10), 0.14)
        brush.line([(x - size, y), (x, y - height), (x + size, y)], (40, 25, 25), 0.02, 0.12)
        slope = side * look.brow_angle * 0.13
        brow = [(x - size * 1.25, y - look.brow_gap + slope), (x + size * 1.25, y - look.brow_gap - slope)]
        brush.line(brow, _darker(look.hair, 0.75), look.brow_thickness, 0.12)
        if look.glasses:
            rim = oval(x, y, size * 1.75, size * 1.5, 2 if look.glasses == 1 else 6)
            brush.line(rim, look.glasses_color, 0.035, 0.16, closed=True)
        placed.append(brush.place([(x, y)], 0.13)[0])
    if look.glasses:
        inner = look.eye_distance - look.eye_size * 1.75
        brush.line([(-inner, -0.14), (inner, -0.14)], look.glasses_color, 0.035, 0.16)
    return np.array(placed)


def _nose(brush: Brush, look: Look) -> Points:
    shade, width = _darker(look.skin, 0.72), look.nose_width
    brush.line([(-width * 0.3, -0.08), (-width, look.nose_y), (width * 0.8, look.nose_y + 0.02)], shade, 0.035, 0.24)
    if look.mole is not None:
        brush.fill(oval(*look.mole, 0.035, 0.035), _darker(look.skin, 0.4), 0.1)
    return brush.place([(0, look.nose_y)], 0.28)


def _mouth(brush: Brush, look: Look) -> Points:
    y, width, bend = look.mouth_y, look.mouth_width * (1 + brush.pose.smile * 0.12), brush.pose.smile * 0.07
    if look.moustache:
        brush.fill(oval(0, y - look.lip_thickness - look.moustache, width * 0.95, look.moustache, 3), look.hair, 0.12)
    xs = np.linspace(-width, width, 9)
    curve = bend * (1 - (xs / width) ** 2) * 1.6 - bend
    bulge = look.lip_thickness * (1 - (xs / width) ** 2)
    opened = brush.pose.open * 0.13 * (1 - (xs / width) ** 2)
    upper = np.stack([xs, y + curve - bulge], axis=1)
    lower = np.stack([xs, y + curve + bulge + opened], axis=1)
    brush.fill(np.concatenate([upper, lower[::-1]]), look.lips, 0.12)
    middle = np.stack([xs, y + curve], axis=1)
    if brush.pose.open > 0.15:
        inner = np.stack([xs * 0.85, y + curve + opened * 0.95], axis=1)
        brush.fill(np.concatenate([middle * [0.85, 1], inner[::-1]]), (70, 15, 20), 0.12)
    else:
        brush.line(middle, _darker(look.lips, 0.55), 0.018, 0.12)
    return brush.place([(-width, y - bend), (width, y - bend)], 0.12)


def backdrop(rng: np.random.Generator, width_px: int, height_px: int, shapes: int = 12) -> Picture:
    """Something to stand in front of: a gradient with discs, boxes and stripes, none of which is a face."""
    corners = rng.uniform(20, 240, (2, 2, 3)).astype(np.float32)
    picture = cv2.resize(corners, (width_px, height_px), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    size = min(width_px, height_px)
    for _ in range(int(rng.integers(0, shapes + 1))):
        color = _skin(rng) if rng.random() < 0.3 else _rgb(rng.uniform(0, 255, 3))
        x, y = rng.uniform(0, width_px), rng.uniform(0, height_px)
        reach = size * rng.uniform(0.02, 0.3)
        shape = oval(0, 0, reach, reach * rng.uniform(0.3, 1.2), rng.choice((1.0, 2.0, 2.6, 9.0)))
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        placed = np.round((shape @ turn.T + [x, y]) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        if rng.random() < 0.75:
            cv2.fillPoly(picture, [placed], color, cv2.LINE_AA, SUBPIXEL_BITS)
        else:
            cv2.polylines(picture, [placed], True, color, int(rng.integers(1, 8)), cv2.LINE_AA, SUBPIXEL_BITS)
    return picture


def in_light(picture: Picture, rng: np.random.Generator, strength: float = 1.0) -> Picture:
    """The same in another light: gain, a tint, a shadow to one side, noise."""
    height, width = picture.shape[:2]
    gain = 1 + strength * (rng.uniform(-0.22, 0.18) + rng.uniform(-0.05, 0.05, 3))
    shade = np.linspace(*(1 + strength * rng.uniform(-0.18, 0.18, 2)), width)[None, :, None]
    lit = picture * gain * shade + rng.normal(0, rng.uniform(0, 6) * strength, (height, width, 1))
    return np.clip(lit, 0, 255).astype(np.uint8)


def group_photo(
    looks: list[Look], rng: np.random.Generator, width_px: int = 640, height_px: int = 480
) -> tuple[Picture, list[DrawnFace]]:
    """A picture of these people side by side, as RGB, and where each is."""
    picture = backdrop(rng, width_px, height_px)
    column = width_px / max(1, len(looks))
    faces = []
    for index, look in enumerate(looks):
        face_px = min(column, height_px * 0.9) * rng.uniform(0.5, 0.68)
        center = (column * (index + 0.5) + rng.uniform(-0.04, 0.04) * column, height_px * rng.uniform(0.38, 0.46))
        faces.append(draw_face(picture, look, random_pose(rng, center, face_px)))
    return in_light(picture, rng, 0.6), faces
