"""Rows of embeddings: written with a rising `seq`, packed as float16."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import update
from sqlalchemy.orm import Session

from cluster.db.tables.learned import EmbeddingCounter
from cluster.db.upsert import upsert


class EmbeddingKind(StrEnum):
    """What an embedding is of; the name of its table."""

    SMART_SEARCH = "smart_search"
    FACE_SEARCH = "face_search"


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
