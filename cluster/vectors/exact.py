"""Vectors with numpy over SQL rows, and nothing kept: for tests, small libraries, and to compare others with."""

import numpy as np
from sqlalchemy import Select
from sqlalchemy.orm import Session

from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.vectors.index import Embedding, Match, best, distances, unit


class ExactVectors:
    """Reads every row that may be found, a few thousand at a time."""

    def nearest(
        self,
        session: Session,
        kind: EmbeddingKind,
        query: Embedding,
        limit: int,
        among: Select[str],
        owner_id: str | None = None,
    ) -> list[Match]:
        return self.within(session, kind, query, np.inf, limit, among)

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
        return nearest_rows(session, kind, unit(query), max_distance, limit, among)


def nearest_rows(
    session: Session,
    kind: EmbeddingKind,
    direction: Embedding,
    max_distance: float,
    limit: int,
    among: Select[str],
    above: int = 0,
) -> list[Match]:
    """Like `Vectors.within`, of the rows whose `seq` is above `above`. `direction`: of unit length."""
    found = list[Match]()
    for page in embeddings.pages_among(session, kind, among, len(direction), above):
        far = distances(page.matrix, direction)
        # np.partition would cut ties apart before their ids are compared
        last = np.partition(far, limit - 1)[limit - 1] if 0 < limit < len(far) else np.inf
        kept = np.flatnonzero(far <= min(last, max_distance)).tolist()
        found = best(found + [Match(page.ids[index], float(far[index])) for index in kept], limit)
    return found
