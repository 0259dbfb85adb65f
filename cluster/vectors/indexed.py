"""Vectors by an index that may be behind: what it finds is joined back to the rows, what was written above its mark is
read from them. So an answer is as right as the transaction that asks, and the index only makes it fast.
"""

import logging

import numpy as np
from sqlalchemy import Select
from sqlalchemy.orm import Session

from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.errors import IndexAway
from cluster.vectors.exact import ExactVectors, nearest_rows
from cluster.vectors.faiss_index import Found
from cluster.vectors.holder import Holder
from cluster.vectors.index import Embedding, Match, best, unit

log = logging.getLogger(__name__)

FEW = 50_000
"""So many candidates are scored one by one when a filter leaves no more."""
JOINED_AT_ONCE = 10_000
"""Before more than this is fetched from the index, SQL is asked whether the filter leaves few."""


class IndexedVectors:
    """`holder`: the index. While it is away the rows are read, which is slow and as right."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._exact = ExactVectors()

    def nearest(
        self,
        session: Session,
        kind: EmbeddingKind,
        query: Embedding,
        limit: int,
        among: Select[str],
        owner_id: str | None = None,
    ) -> list[Match]:
        return self.within(session, kind, query, np.inf, limit, among, owner_id)

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
        try:
            return _Search(self._holder, session, kind, query, max_distance, limit, among, owner_id).run()
        except IndexAway as away:
            log.warning("embeddings are searched row by row: %s", away)
            return self._exact.within(session, kind, query, max_distance, limit, among)


class _Search:
    """One question. More is fetched than is wanted, since the filter is not the index's; and more again while the
    filter leaves too little of it. Where it leaves very little, SQL says what is left, and exactly that is scored."""

    def __init__(
        self,
        holder: Holder,
        session: Session,
        kind: EmbeddingKind,
        query: Embedding,
        max_distance: float,
        limit: int,
        among: Select[str],
        owner_id: str | None,
    ) -> None:
        self._holder, self._session, self._kind, self._direction = holder, session, kind, unit(query)
        self._max_distance, self._limit, self._among, self._owner_id = max_distance, limit, among, owner_id

    def run(self) -> list[Match]:
        count, asked_sql = 2 * self._limit + 100, False
        while True:
            found = self._holder.search(self._kind, self._direction, count, self._owner_id)
            matches = self._joined(found)
            reached = len(found.distances) and found.distances[-1] > self._max_distance
            if found.complete or reached or len(matches) >= self._limit:
                return self._with_tail(found, matches)
            promised = 2 * count * self._limit // max(1, len(matches))
            if promised > JOINED_AT_ONCE and not asked_sql:
                candidates = embeddings.seqs_among(self._session, self._kind, self._among, FEW)
                if candidates is not None:
                    found = self._holder.search(self._kind, self._direction, self._limit, only=candidates)
                    return self._with_tail(found, self._joined(found))
                asked_sql = True
            count = max(2 * count, min(promised, JOINED_AT_ONCE))

    def _joined(self, found: Found) -> list[Match]:
        """What of it is within reach, a row, and selected."""
        near = found.distances <= self._max_distance
        seqs = found.seqs[near].tolist()
        ids: dict[int, str] = {}
        for start in range(0, len(seqs), JOINED_AT_ONCE):
            part = seqs[start : start + JOINED_AT_ONCE]
            ids |= embeddings.ids_among(self._session, self._kind, part, self._among)
        together = zip(seqs, found.distances[near].tolist(), strict=True)
        return [Match(ids[seq], distance) for seq, distance in together if seq in ids]

    def _with_tail(self, found: Found, matches: list[Match]) -> list[Match]:
        """With what the index does not have yet. It is read last: a row that was written anew since is found here."""
        tail = nearest_rows(
            self._session, self._kind, self._direction, self._max_distance, self._limit, self._among, found.mark
        )
        return best(list({match.id: match for match in matches + tail}.values()), self._limit)
