"""Trains the tiny face pack on drawn faces: `python -m tests.train_faces detection FILE.onnx`, then
`… recognition FILE.onnx`. One thread; about ten minutes each. The result is for tests only.
"""

import argparse
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from insightface.utils.face_align import norm_crop
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tests.drawn_faces import DrawnFace, Look, Picture, backdrop, draw_face, in_light, random_look, random_pose
from tests.export_network import export
from tests.face_networks import STRIDES, TinyDetector, TinyEmbedder

SIDE_PX = 320
REACH = (0, 56, 130, 10_000)
"""Faces whose longer side lies between two of these, in pixels, are found by the stride of that place."""


def scene(rng: np.random.Generator) -> tuple[Picture, list[DrawnFace]]:
    """People of all sizes that do not cover one another's faces, RGB; in every eighth picture nobody."""
    picture = backdrop(rng, SIDE_PX, SIDE_PX)
    faces: list[DrawnFace] = []
    taken: list[tuple[float, float, float]] = []
    for _ in range(0 if rng.random() < 0.12 else int(rng.integers(1, 7))):
        height = float(np.exp(rng.uniform(np.log(20), np.log(270))))
        x, y = rng.uniform(height * 0.3, SIDE_PX - height * 0.3 + 1, 2)
        if any(
            abs(x - x2) < 0.85 * (height + h2) / 2 and abs(y - y2) < 1.9 * (height + h2) / 2 for x2, y2, h2 in taken
        ):
            continue
        taken.append((x, y, height))
        faces.append(draw_face(picture, random_look(rng), random_pose(rng, (x, y), height)))
    return degraded(in_light(picture, rng), rng), faces


def degraded(picture: Picture, rng: np.random.Generator) -> Picture:
    """As files are: softened, or compressed."""
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.4))  # type: ignore[assignment]
    if rng.random() < 0.5:
        _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        picture = cv2.imdecode(packed, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return picture


def wanted_cells(
    faces: list[DrawnFace], stride: int, smallest: float, largest: float
) -> tuple[NDArray[np.float32], ...]:
    """What a level should say: (rows, columns) weights, 1 for cells of a face, -1 for those beside its middle, which
    may say anything; (14, rows, columns) distances and offsets in strides."""
    count = SIDE_PX // stride
    mark = np.zeros((count, count), np.float32)
    values = np.zeros((14, count, count), np.float32)
    grid_y, grid_x = (axis * stride for axis in np.mgrid[:count, :count].astype(np.float32))
    for face in faces:
        left, top, right, bottom = face.box
        size = max(right - left, bottom - top)
        x, y = (left + right) / 2, (top + bottom) / 2
        away = np.maximum(np.abs(grid_x - x), np.abs(grid_y - y))
        near = away <= max(stride * 0.75, size * 0.12)
        around = away <= max(stride * 1.6, size * 0.3)
        fits = smallest <= size < largest
        mark[around & (mark == 0)] = -1
        if not fits:
            if smallest * 0.7 <= size < largest * 1.4:
                continue
            mark[around & (mark < 0)] = 0
            continue
        mark[near] = 1
        said = [grid_x - left, grid_y - top, right - grid_x, bottom - grid_y]
        for mark_x, mark_y in face.landmarks:
            said += [mark_x - grid_x, mark_y - grid_y]
        values[:, near] = np.stack(said)[:, near] / stride
    return mark, values


def detection_loss(cells: list[Tensor], scenes: list[list[DrawnFace]]) -> Tensor:
    """Focal for scores, overlap for boxes, distance for landmarks."""
    total = torch.zeros(())
    for level, stride, smallest, largest in zip(cells, STRIDES, REACH[:-1], REACH[1:], strict=True):
        wanted = [wanted_cells(faces, stride, smallest, largest) for faces in scenes]
        mark = torch.from_numpy(np.stack([one[0] for one in wanted]))
        values = torch.from_numpy(np.stack([one[1] for one in wanted]))
        logit, said = level[:, 0], level[:, 1:]
        positive = mark == 1
        target = positive.float()
        plain = functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
        unsure = (logit.sigmoid() - target).abs() ** 1.5
        count = positive.sum().clamp(min=1)
        total = total + (plain * unsure * (mark >= 0)).sum() / count
        if positive.any():
            here = positive.nonzero(as_tuple=True)
            found, right = said[here[0], :, here[1], here[2]], values[here[0], :, here[1], here[2]]
            total = total + (1 - overlap(found[:, :4], right[:, :4])).mean() * 2
            total = total + functional.smooth_l1_loss(found, right, beta=0.3) * 1.5
    return total


def overlap(found: Tensor, right: Tensor) -> Tensor:
    """Of two boxes around one point, given by their distances to it: shared area by area of both."""
    low, high = torch.minimum(found, right).clamp(min=0), torch.maximum(found, right).clamp(min=0)
    shared = (low[:, 0] + low[:, 2]) * (low[:, 1] + low[:, 3])
    area = (found[:, 0] + found[:, 2]) * (found[:, 1] + found[:, 3])
    area_right = (right[:, 0] + right[:, 2]) * (right[:, 1] + right[:, 3])
    del high
    return shared / (area.clamp(min=0) + area_right - shared + 1e-6)


def tensor_of(pictures: list[Picture], deviation: float) -> Tensor:
    """RGB pictures of one size as a network's input."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
    return (stacked - 127.5) / deviation


def train_detection(path: Path, seconds: float, seed: int) -> None:
    torch.manual_seed(seed)
    rng, model = np.random.default_rng(seed), TinyDetector()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
    for step, share in schedule(seconds, optimizer, 3e-3):
        made = [scene(rng) for _ in range(16)]
        loss = detection_loss(model.cells(tensor_of([one[0] for one in made], 128.0)), [one[1] for one in made])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 25 == 0:
            print(f"{share:5.1%} step {step} loss {loss.item():.3f}", flush=True)
        if step % 200 == 199:
            export_detection(model, path)
    export_detection(model, path)


def export_detection(model: TinyDetector, path: Path) -> None:
    names = [f"{what}_{stride}" for what in ("score", "box", "landmarks") for stride in STRIDES]
    size = {2: "height", 3: "width"}
    axes = {"input": size, **{name: {0: f"{name}_cells"} for name in names}}
    export(model, torch.zeros(1, 3, 640, 640), path, names, axes)


def crop(look: Look, rng: np.random.Generator) -> Picture:
    """A face as the recogniser gets it: aligned by landmarks that are a little off."""
    size = 150
    height = float(np.exp(rng.uniform(np.log(38), np.log(125))))
    picture = backdrop(rng, size, size, 5)
    face = draw_face(picture, look, random_pose(rng, (size / 2, size * 0.48), height))
    picture = degraded(in_light(picture, rng), rng)
    landmarks = face.landmarks + rng.normal(0, 0.02 * height, (5, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return norm_crop(picture, landmarks)  # type: ignore[no-any-return]


def train_recognition(path: Path, seconds: float, seed: int, people: int = 1500) -> None:
    """Additive margin on the cosine to each person's own direction (CosFace)."""
    torch.manual_seed(seed)
    rng, model = np.random.default_rng(seed), TinyEmbedder()
    looks = [random_look(rng) for _ in range(people)]
    centers = torch.nn.Parameter(functional.normalize(torch.randn(people, 512), dim=1))
    optimizer = torch.optim.AdamW([*model.parameters(), centers], lr=2e-3, weight_decay=5e-4)
    for step, share in schedule(seconds, optimizer, 2e-3):
        chosen = rng.integers(people, size=64)
        pictures = [crop(looks[index], rng) for index in chosen]
        cosines = functional.normalize(model(tensor_of(pictures, 127.5))) @ functional.normalize(centers).T
        label = torch.from_numpy(chosen)
        margin = 0.35 * min(1.0, share * 3)
        loss = functional.cross_entropy(24 * (cosines - margin * functional.one_hot(label, people)), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            right = (cosines.argmax(1) == label).float().mean().item()
            print(f"{share:5.1%} step {step} loss {loss.item():.3f} right {right:.2f}", flush=True)
        if step % 200 == 199:
            export(model, torch.zeros(1, 3, 112, 112), path, ["embedding"], {"input": {0: "n"}, "embedding": {0: "n"}})
    export(model, torch.zeros(1, 3, 112, 112), path, ["embedding"], {"input": {0: "n"}, "embedding": {0: "n"}})


def schedule(seconds: float, optimizer: torch.optim.Optimizer, top: float):  # type: ignore[no-untyped-def]
    """(step, share of the CPU time that is used up); the rate rises for 3 % and falls along a cosine."""
    started, step = time.process_time(), 0
    while (share := (time.process_time() - started) / seconds) < 1:
        rate = top * min(1.0, share / 0.03 + 0.05) * (0.5 + 0.5 * np.cos(np.pi * share)) + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate
        yield step, share
        step += 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=("detection", "recognition"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    train = train_detection if given.task == "detection" else train_recognition
    train(given.path, given.seconds, given.seed)
