"""Rows of embeddings: written with a rising `seq`, packed as float16."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from cluster.db.tables.asset import Asset
from cluster.db.tables.learned import EmbeddingCounter, FaceSearch, SmartSearch
from cluster.db.tables.person import AssetFace
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


@dataclass(frozen=True, slots=True)
class Written:
    """Rows in the order of `seqs`; `matrix` is float32 (n, dimensions)."""

    seqs: NDArray[np.int64]
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


def pages_among(
    session: Session, kind: EmbeddingKind, among: Select[str], dimensions: int, above: int = 0
) -> Iterator[Page]:
    """All whose id `among` selects, with so many dimensions and a `seq` above `above`, in no order."""
    table, of_id = _aliased(kind)
    query = select(of_id, table.embedding).where(func.length(table.embedding) == 2 * dimensions)
    # few rows are written last, many may be selected: begin with those that are fewer
    query = query.where(table.seq > above, _is_among(of_id, among)) if above else query.where(of_id.in_(among))
    for rows in session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)).partitions():
        ids, stored = zip(*rows, strict=True)
        yield Page(ids, _matrix(stored, dimensions))


def ids_among(session: Session, kind: EmbeddingKind, seqs: Sequence[int], among: Select[str]) -> dict[int, str]:
    """`seq` → id of those that are rows and that `among` selects."""
    table, of_id = _aliased(kind)
    rows = session.execute(select(table.seq, of_id).where(table.seq.in_(seqs), _is_among(of_id, among)))
    return {row.seq: row[1] for row in rows}


def seqs_among(session: Session, kind: EmbeddingKind, among: Select[str], at_most: int) -> NDArray[np.int64] | None:
    """Which `seq` the embeddings have that `among` selects; None for more than `at_most`."""
    table, of_id = _aliased(kind)
    seqs = session.scalars(select(table.seq).where(of_id.in_(among)).limit(at_most + 1)).all()
    return None if len(seqs) > at_most else np.array(seqs, np.int64)


def last_seq(session: Session, kind: EmbeddingKind) -> int:
    """The newest number; every row that has one up to it is seen by now."""
    return session.scalar(select(EmbeddingCounter.last_seq).where(EmbeddingCounter.kind == kind)) or 0


def rows_after(
    session: Session, kind: EmbeddingKind, dimensions: int, after: int, until: int, owner_id: str | None
) -> Written:
    """The first rows of so many dimensions above `after` and up to `until`, ROWS_AT_ONCE at most."""
    table, _ = TABLES[kind]
    query = _owned(kind, owner_id, table.seq, table.embedding)
    query = query.where(table.seq.between(after + 1, until), func.length(table.embedding) == 2 * dimensions)
    rows = session.execute(query.order_by(table.seq).limit(ROWS_AT_ONCE)).all()
    seqs, stored = zip(*rows, strict=True) if rows else ((), ())
    return Written(np.array(seqs, np.int64), _matrix(stored, dimensions))


def sample(
    session: Session, kind: EmbeddingKind, dimensions: int, count: int, owner_id: str | None
) -> NDArray[np.float32]:
    """About `count` embeddings, (n, dimensions), evenly of all times."""
    table, _ = TABLES[kind]
    step = max(1, rows_count(session, kind, owner_id) // count)
    query = _owned(kind, owner_id, table.embedding)
    query = query.where(table.seq % step == 0, func.length(table.embedding) == 2 * dimensions)
    return _matrix(session.scalars(query.limit(2 * count)).all(), dimensions)


def stored_at(session: Session, kind: EmbeddingKind, seqs: Sequence[int]) -> dict[int, bytes]:
    """`seq` → what is stored."""
    table, _ = TABLES[kind]
    rows = session.execute(select(table.seq, table.embedding).where(table.seq.in_(seqs)))
    return {row.seq: row.embedding for row in rows}


def rows_count(session: Session, kind: EmbeddingKind, owner_id: str | None) -> int:
    table, _ = TABLES[kind]
    return session.scalar(_owned(kind, owner_id, func.count(table.seq))) or 0


def is_any(session: Session, kind: EmbeddingKind, dimensions: int, owner_id: str | None) -> bool:
    """Whether there is a row of so many dimensions."""
    table, _ = TABLES[kind]
    query = _owned(kind, owner_id, table.seq).where(func.length(table.embedding) == 2 * dimensions)
    return session.execute(query.limit(1)).first() is not None


def all_seqs(session: Session, kind: EmbeddingKind, owner_id: str | None) -> NDArray[np.int64]:
    """Of every row."""
    table, _ = TABLES[kind]
    seqs = session.scalars(_owned(kind, owner_id, table.seq).execution_options(yield_per=ROWS_AT_ONCE))
    return np.fromiter(seqs, np.int64)


def _owned(kind: EmbeddingKind, owner_id: str | None, *columns: Any) -> Select[Any]:
    """Of one owner's rows, or of all."""
    table, id_column = TABLES[kind]
    query = select(*columns).select_from(table)
    if owner_id is None:
        return query
    if kind is EmbeddingKind.FACE_SEARCH:
        query = query.join(AssetFace, AssetFace.id == id_column).join(Asset, Asset.id == AssetFace.asset_id)
    else:
        query = query.join(Asset, Asset.id == id_column)
    return query.where(Asset.owner_id == owner_id)


def _aliased(kind: EmbeddingKind) -> tuple[Any, Any]:
    """The table under a name of its own, since `among` may name it too, and its column of ids."""
    table, id_column = TABLES[kind]
    own = aliased(table)
    return own, getattr(own, id_column.key)


def _is_among(of_id: Any, among: Select[str]) -> ColumnElement[bool]:
    """Whether `among` selects this row's id, asked row by row: for a few rows, whatever else it selects."""
    return among.where(among.selected_columns[0] == of_id).exists()


def _matrix(stored: Sequence[bytes], dimensions: int) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(stored), "<f2").reshape(len(stored), dimensions).astype(np.float32)
