"""Faces → groups, one for each person, by quick shift: every face points to the nearest one that stands among more
faces, and whoever points to the same place belongs together. Unlike joining all that are close, it does not chain two
people through a blurred face between them, and what comes out depends on the set of faces alone. Exact: no pair is
left out. Source: Vedaldi and Soatto, "Quick shift and kernel methods for mode seeking", 2008.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

DENSITY_DISTANCE = 0.35
"""Faces this near count as being in the same place."""

TILE = 2048
PIVOTS, PIVOT_ROUNDS = 1024, 6
NOBODY = -1

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Piece = tuple[slice, slice]


def cluster_faces(
    embeddings: NDArray[np.floating],
    ids: Sequence[str],
    max_distance: float,
    min_faces: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Numbers:
    """For each row of `embeddings` (n, dimensions) the row of the face that stands for its group, NOBODY for a face
    that is nobody's. Distances are 1 - cosine.

    A core face has at least `min_faces` within `max_distance`, itself included. Density is how many lie within
    DENSITY_DISTANCE, or `max_distance` if that is less; equal ones go by their nearest neighbour, then by id. A core
    face points to the nearest denser core face within `max_distance`; one that finds none stands for a group. Others
    join the nearest core face within `max_distance`. `progress` hears the share that is done, 0 to 1, and may raise.

    n = 100,000 takes about a minute of CPU: half the products of all pairs once, and again only those pieces in which
    some pair is near. Faces that look alike are put side by side first, so those pieces are few.
    """
    if not len(ids):
        return np.empty(0, np.int64)
    near = 1 - max_distance
    by_id = np.argsort(np.array(ids), kind="stable")
    points = _unit(embeddings[by_id])
    alike = _alike_side_by_side(points, near)
    points, order = points[alike], by_id[alike]
    core, rank, pieces = _densities(points, alike, near, min_faces, progress)
    towards = _pointers(points, core, rank, near, pieces, progress)
    progress(1)
    roots = _roots(towards)
    roots[~core & (towards == np.arange(len(order)))] = NOBODY
    groups = np.empty(len(order), np.int64)
    groups[order] = np.where(roots == NOBODY, NOBODY, order[roots])
    return groups


def _unit(embeddings: NDArray[np.floating]) -> Floats:
    points = embeddings.astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def _alike_side_by_side(points: Floats, near: float) -> Numbers:
    """An order of rows in which most near pairs stand close together: by the first of some pivots that is near. Whoever
    has none is asked again with pivots from among those, a few times."""
    pivot, left = np.full(len(points), len(points)), np.arange(len(points))
    for _ in range(PIVOT_ROUNDS):
        pivots = left[:: 1 + len(left) // PIVOTS]
        for rows in np.split(left, range(TILE, len(left), TILE)):
            is_near = points[rows] @ points[pivots].T >= near
            pivot[rows] = np.where(is_near.any(axis=1), pivots[np.argmax(is_near, axis=1)], len(points))
        left = left[pivot[left] == len(points)]
        if not len(left):
            break
    return np.argsort(pivot, kind="stable")


def _looks(points: Floats, piece: Piece, near: float) -> Iterator[tuple[Numbers, slice, Floats]]:
    """Of a piece of the table of all pairs each face once as the one that looks at the others: those that have one
    near, whom they look at, and how similar each is (a row for each that looks)."""
    rows, columns = piece
    similar = points[rows] @ points[columns].T
    if rows == columns:  # nobody looks at themselves
        np.fill_diagonal(similar, -2)
    for looking, at, seen in ((rows, columns, similar), (columns, rows, similar.T))[: 1 + (rows != columns)]:
        some = np.flatnonzero(seen.max(axis=1) >= near)
        if not len(some):
            return
        yield looking.start + some, at, seen[some]


def _half_of_all(count: int) -> list[Piece]:
    """Every pair once."""
    parts = [slice(start, min(start + TILE, count)) for start in range(0, count, TILE)]
    return [(rows, columns) for index, rows in enumerate(parts) for columns in parts[index:]]


def _densities(
    points: Floats, ids: Numbers, near: float, min_faces: int, progress: Callable[[float], None]
) -> tuple[NDArray[np.bool_], Numbers, list[Piece]]:
    """Which faces are core; each one's rank by density, the densest first; the pieces that have a near pair."""
    count, dense = len(points), max(near, 1 - DENSITY_DISTANCE)
    within, density = np.ones(count, np.int64), np.ones(count, np.int64)  # a face is near itself
    neighbour = np.full(count, -2, np.float32)
    pieces, all_pieces = list[Piece](), _half_of_all(count)
    for done, piece in enumerate(all_pieces):
        progress(0.8 * done / len(all_pieces))
        for looking, _, similar in _looks(points, piece, near):
            within[looking] += np.count_nonzero(similar >= near, axis=1)
            density[looking] += np.count_nonzero(similar >= dense, axis=1)
            neighbour[looking] = np.maximum(neighbour[looking], similar.max(axis=1))
            if piece not in pieces[-1:]:
                pieces.append(piece)
    rank = np.empty(count, np.int64)
    rank[np.lexsort((ids, -neighbour, -density))] = np.arange(count)
    return within >= min_faces, rank, pieces


def _pointers(
    points: Floats,
    core: NDArray[np.bool_],
    rank: Numbers,
    near: float,
    pieces: Sequence[Piece],
    progress: Callable[[float], None],
) -> Numbers:
    """Where each face points: itself when there is no core face near, or none that is denser."""
    towards = np.arange(len(points))
    best = np.full(len(points), np.nextafter(np.float32(near), np.float32(-2)))
    place = np.where(core, rank, len(points)).astype(np.int32)  # whoever is no core looks at every core face
    for done, piece in enumerate(pieces):
        progress(0.8 + 0.2 * done / len(pieces))
        for looking, at, similar in _looks(points, piece, near):
            denser = np.where(place[at] < place[looking, None], similar, np.float32(-2))
            nearest = np.argmax(denser, axis=1)
            value = denser[np.arange(len(nearest)), nearest]
            better = value > best[looking]
            towards[looking[better]] = at.start + nearest[better]
            best[looking[better]] = value[better]
    return towards


def _roots(towards: Numbers) -> Numbers:
    """The end of each chain. Chains have no ring: every step goes to a denser face."""
    while True:
        further = towards[towards]
        if np.array_equal(further, towards):
            return further
        towards = further
