"""Embeddings as a face model makes them of many people: gathered around each person, blurred ones drawn together."""

import numpy as np
from numpy.typing import NDArray


def people_points(
    faces: int, people: int, seed: int, *, blurred: float = 0.03, dimensions: int = 512
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors (faces, dimensions), and whose face each is. Some people have many pictures, most have few. Two
    faces of one person are about 0.4 apart, of two people 1; blurred ones of anybody about 0.5, and as far from the
    sharp ones of their person."""
    chance = np.random.default_rng(seed)
    shares = 1 / np.arange(1, people + 1) ** 0.6
    truth = chance.choice(people, size=faces, p=shares / shares.sum())
    centres = _unit(chance.normal(size=(people, dimensions)).astype(np.float32))
    blur = _unit(chance.normal(size=(1, dimensions)).astype(np.float32))
    points = np.empty((faces, dimensions), np.float32)
    is_blurred = chance.random(faces) < blurred
    for rows in np.array_split(np.arange(faces), max(1, faces // 10_000)):
        spread = chance.normal(size=(len(rows), dimensions)).astype(np.float32) / np.sqrt(dimensions)
        sharp, of_blurred = centres[truth[rows]] + 0.7 * spread, centres[truth[rows]] + 1.13 * blur + 0.5 * spread
        points[rows] = _unit(np.where(is_blurred[rows, None], of_blurred, sharp))
    return points, truth


def adjusted_rand_index(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """1: the same groups, 0: no better than chance. Source: Hubert and Arabie, "Comparing partitions", 1985."""
    _, both = np.unique(np.stack([found, truth]), axis=1, return_counts=True)
    _, ours = np.unique(found, return_counts=True)
    _, theirs = np.unique(truth, return_counts=True)
    pairs = [float((counts * (counts - 1) // 2).sum()) for counts in (both, ours, theirs)]
    expected = pairs[1] * pairs[2] / (len(truth) * (len(truth) - 1) / 2)
    return (pairs[0] - expected) / ((pairs[1] + pairs[2]) / 2 - expected)


def _unit(points: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(points, axis=1, keepdims=True)
    return points / lengths
