"""What is asked of embeddings: which are nearest to a point, which lie within a distance of it.

An answer holds for the transaction that asks: it has what that transaction sees, its own writes too, and nothing else.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select
from sqlalchemy.orm import Session

from cluster.db.queries.embeddings import EmbeddingKind

Embedding = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Match:
    """`id`: of the asset or face; `distance`: 1 - cosine, 0 to 2, to six places, so that equal embeddings are equally
    far whoever did the sum."""

    id: str
    distance: float


class Vectors(Protocol):
    """Nearest first, ties by id. `query`: float32 (dimensions,) of any length; embeddings of other dimensions are not
    found. `among`: selects the ids that may be found, with every filter in it. `owner_id`: whose they are, where
    `among` asks for one owner's; an index then need not look among all others'. Raises ValueError for a query without
    a direction."""

    def nearest(
        self,
        session: Session,
        kind: EmbeddingKind,
        query: Embedding,
        limit: int,
        among: Select[str],
        owner_id: str | None = None,
    ) -> list[Match]:
        """The `limit` nearest, however far."""
        ...

    def within(
        self,
        session: Session,
        kind: EmbeddingKind,
        query: Embedding,
        max_distance: float,
        limit: int,
        among: Select[str],
        owner_id: str | None = None,
    ) -> list[Match]:
        """Those at most `max_distance` away, the nearest `limit` of them."""
        ...


def unit(query: Embedding) -> Embedding:
    """The query with length 1. Raises ValueError for zeros, NaN, infinities."""
    length = float(np.linalg.norm(query.astype(np.float64)))
    if not np.isfinite(length) or length == 0:
        raise ValueError("a query without a direction")
    return (query / length).astype(np.float32)


def distances(embeddings: NDArray[np.float32], query: Embedding) -> NDArray[np.float64]:
    """From each row of (n, dimensions) to `query`, all of unit length."""
    return np.round(1 - (embeddings @ query).astype(np.float64), 6)


def best(matches: list[Match], limit: int) -> list[Match]:
    """The first `limit` in the order of answers."""
    return sorted(matches, key=lambda match: (match.distance, match.id))[:limit]
