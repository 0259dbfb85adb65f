"""Groups of faces: the rule read literally, whatever order they come in, and people who are not chained together."""

import uuid

import numpy as np
import pytest
from numpy.typing import NDArray

from cluster.vectors import quick_shift
from cluster.vectors.quick_shift import DENSITY_DISTANCE, NOBODY, cluster_faces
from tests.people_points import adjusted_rand_index, people_points


def by_the_book(points: NDArray[np.float32], ids: list[str], max_distance: float, min_faces: int) -> list[int]:
    """Face by face, as the rule says it."""
    everyone = range(len(ids))
    far = 1 - points.astype(np.float64) @ points.T.astype(np.float64)
    far = (far + far.T) / 2  # each of two nearest neighbours is as near to the other, to the last bit
    within = [sum(far[a, b] <= max_distance for b in everyone) for a in everyone]
    density = [sum(far[a, b] <= min(DENSITY_DISTANCE, max_distance) for b in everyone) for a in everyone]
    neighbour = [min((far[a, b] for b in everyone if b != a), default=2) for a in everyone]
    place = [(-density[a], neighbour[a] if neighbour[a] <= max_distance else 2, ids[a]) for a in everyone]
    core = [count >= min_faces for count in within]

    def pointer(face: int) -> int | None:
        seen = [b for b in everyone if core[b] and b != face and far[face, b] <= max_distance]
        if core[face]:
            seen = [b for b in seen if place[b] < place[face]]
        return min(seen, key=lambda b: far[face, b], default=None)

    def root(face: int) -> int:
        further = pointer(face)
        if further is None:
            return face if core[face] else NOBODY
        return root(further)

    return [root(face) for face in everyone]


def new_ids(count: int, seed: int = 1) -> list[str]:
    chance = np.random.default_rng(seed)
    return [str(uuid.UUID(bytes=chance.bytes(16))) for _ in range(count)]


@pytest.mark.parametrize("tile", [2048, 64])
@pytest.mark.parametrize(("max_distance", "min_faces"), [(0.5, 3), (0.5, 1), (0.3, 2), (0.6, 8), (1.2, 3)])
def test_the_rule(monkeypatch: pytest.MonkeyPatch, tile: int, max_distance: float, min_faces: int) -> None:
    monkeypatch.setattr(quick_shift, "TILE", tile)
    points, _ = people_points(300, 40, seed=1, dimensions=64)
    ids = new_ids(300)
    assert cluster_faces(points, ids, max_distance, min_faces).tolist() == by_the_book(
        points, ids, max_distance, min_faces
    )


def test_the_order_of_arrival_does_not_matter() -> None:
    points, _ = people_points(3000, 60, seed=2)
    ids = new_ids(3000)
    groups = cluster_faces(points, ids, 0.5, 3)
    shuffled = np.random.default_rng(3).permutation(3000)
    again = cluster_faces(points[shuffled], [ids[row] for row in shuffled], 0.5, 3)
    assert {ids[shuffled[row]]: again[row] != NOBODY and ids[shuffled[again[row]]] for row in range(3000)} == {
        ids[row]: groups[row] != NOBODY and ids[groups[row]] for row in range(3000)
    }


def test_blurred_faces_chain_nobody_together() -> None:
    points, truth = people_points(4000, 80, seed=4)
    groups = cluster_faces(points, new_ids(4000), 0.5, 3)
    found = np.where(groups == NOBODY, -1 - np.arange(4000), groups)
    assert adjusted_rand_index(found, truth) > 0.95
    assert adjusted_rand_index(joined(points), truth) < 0.2  # the same faces, by joining all that are near


def joined(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """The group of each face when all that are within 0.5 of each other are one."""
    near = points @ points.T >= 0.5
    groups = np.arange(len(points))
    while True:
        lowest = np.where(near, groups, len(points)).min(axis=1)
        if np.array_equal(lowest, groups):
            return groups
        groups = lowest


def test_equal_faces_are_one_group_that_the_first_id_stands_for() -> None:
    points = np.repeat(people_points(1, 1, seed=5)[0], 5, axis=0)
    assert cluster_faces(points, ["d", "c", "a", "b", "e"], 0.5, 3).tolist() == [2] * 5


def test_too_few_faces_are_nobody() -> None:
    points, _ = people_points(2, 1, seed=6, blurred=0)
    assert cluster_faces(points, ["a", "b"], 0.5, 3).tolist() == [NOBODY, NOBODY]
    assert cluster_faces(points[:0], [], 0.5, 3).tolist() == []


def test_stored_precision_will_do() -> None:
    points, truth = people_points(1000, 30, seed=7, blurred=0)
    groups = cluster_faces(points.astype(np.float16), new_ids(1000), 0.5, 3)
    found = np.where(groups == NOBODY, -1 - np.arange(1000), groups)
    assert adjusted_rand_index(found, truth) > 0.98


def test_progress_is_told_and_may_stop_it() -> None:
    told: list[float] = []
    points, _ = people_points(100, 5, seed=8)
    cluster_faces(points, new_ids(100), 0.5, 3, told.append)
    assert told == sorted(told)
    assert told[-1] == 1

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        cluster_faces(points, new_ids(100), 0.5, 3, stop)
