"""Rows of embeddings: written with a rising `seq`, packed as float16."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.orm import Session

from cluster.db.tables.learned import EmbeddingCounter, FaceSearch, SmartSearch
from cluster.db.upsert import upsert

ROWS_AT_ONCE = 4096


class EmbeddingKind(StrEnum):
    """What an embedding is of; the name of its table."""

    SMART_SEARCH = "smart_search"
    FACE_SEARCH = "face_search"


TABLES: Mapping[EmbeddingKind, tuple[Any, Any]] = {
    EmbeddingKind.SMART_SEARCH: (SmartSearch, SmartSearch.asset_id),
    EmbeddingKind.FACE_SEARCH: (FaceSearch, FaceSearch.face_id),
}
"""The table of a kind, and whose embedding a row is."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some embeddings: `matrix` is float32 (n, dimensions), a row for each of `ids`."""

    ids: Sequence[str]
    matrix: NDArray[np.float32]


def packed(embedding: NDArray[np.float32]) -> bytes:
    """Unit length, as float16, little-endian: cosine distances are what is asked for, and half the bytes suffice.

    Raises ValueError for what has no direction: zeros, NaN, infinities.
    """
    length = float(np.linalg.norm(embedding.astype(np.float64)))
    if not np.isfinite(length) or length == 0:
        raise ValueError("an embedding without a direction")
    return (embedding.astype(np.float64) / length).astype("<f2").tobytes()


def unpacked(stored: bytes) -> NDArray[np.float32]:
    """Shape (dimensions,), of unit length but for float16's rounding."""
    return np.frombuffer(stored, "<f2").astype(np.float32)


def take_seqs(session: Session, kind: EmbeddingKind, count: int) -> range:
    """The next `count` numbers of a kind. Others wait until this transaction ends, so numbers show in their order."""
    statement = (
        update(EmbeddingCounter)
        .where(EmbeddingCounter.kind == kind)
        .values(last_seq=EmbeddingCounter.last_seq + count)
        .returning(EmbeddingCounter.last_seq)
    )
    last = session.execute(statement).scalar_one_or_none()
    if last is None:  # the first of its kind: whoever comes second waits for this row, and counts on
        upsert(session, EmbeddingCounter, [{"kind": kind, "last_seq": 0}], key=["kind"], keep=["last_seq"])
        last = session.execute(statement).scalar_one()
    return range(last - count + 1, last + 1)


def put(session: Session, kind: EmbeddingKind, model: str, embeddings: Mapping[str, NDArray[np.float32]]) -> None:
    """Write embeddings by id, over those that are there. `model`: whose they are. Raises ValueError for one without a
    direction; then none is written."""
    table, id_column = TABLES[kind]
    stored = {of_id: packed(embedding) for of_id, embedding in embeddings.items()}
    seqs = take_seqs(session, kind, len(stored)) if stored else ()
    rows = [
        {id_column.key: of_id, "embedding": embedding, "model": model, "seq": seq}
        for (of_id, embedding), seq in zip(stored.items(), seqs, strict=True)
    ]
    upsert(session, table, rows, key=[id_column.key])


def delete_some(session: Session, kind: EmbeddingKind, limit: int, keep_model: str | None = None) -> int:
    """Delete up to `limit` embeddings, but for those of one model; returns how many. Fewer than `limit`: no more are
    left."""
    table, id_column = TABLES[kind]
    page = select(id_column).limit(limit)
    if keep_model is not None:
        page = page.where(_of_others(table, keep_model))
    ids = session.scalars(page).all()
    session.execute(delete(table).where(id_column.in_(ids)))
    return len(ids)


def are_all_of(session: Session, kind: EmbeddingKind, model: str) -> bool:
    """Whether no other model's embeddings are left. Asks the index of models, not the rows."""
    table, _ = TABLES[kind]
    return session.execute(select(table.model).where(_of_others(table, model)).limit(1)).first() is None


def _of_others(table: Any, model: str) -> ColumnElement[bool]:
    """Two ranges of the index; an inequality would be no range at all."""
    return or_(table.model < model, table.model > model)


def embedding_of(session: Session, kind: EmbeddingKind, of_id: str) -> NDArray[np.float32] | None:
    """What is stored for an asset or face."""
    table, id_column = TABLES[kind]
    stored = session.scalar(select(table.embedding).where(id_column == of_id))
    return None if stored is None else unpacked(stored)


def pages_among(session: Session, kind: EmbeddingKind, among: Select[str], dimensions: int) -> Iterator[Page]:
    """All whose id `among` selects and that have so many dimensions, in no order."""
    table, id_column = TABLES[kind]
    query = select(id_column, table.embedding).where(
        id_column.in_(among), func.length(table.embedding) == 2 * dimensions
    )
    for rows in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)).partitions():
        ids, stored = zip(*rows, strict=True)
        yield Page(ids, np.frombuffer(b"".join(stored), "<f2").reshape(len(ids), dimensions).astype(np.float32))
