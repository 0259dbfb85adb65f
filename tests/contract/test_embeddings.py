"""Embeddings are rows whose numbers rise, whoever writes them."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from cluster.db.engine import Database
from cluster.db.queries.embeddings import EmbeddingKind, packed, take_seqs, unpacked


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def test_numbers_rise_without_gap_or_repeat_for_writers_at_once(database: Database) -> None:
    taken: list[int] = []

    def write() -> None:
        for _ in range(10):
            with database.session() as session:
                numbers = take_seqs(session, EmbeddingKind.SMART_SEARCH, 3)
                taken.extend(numbers)  # under the counter's lock, so this list is in the order of commits

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == list(range(1, 121))


def test_kinds_count_apart(database: Database) -> None:
    with database.session() as session:
        assert take_seqs(session, EmbeddingKind.SMART_SEARCH, 2) == range(1, 3)
        assert take_seqs(session, EmbeddingKind.FACE_SEARCH, 1) == range(1, 2)


def test_packing_keeps_the_direction() -> None:
    embedding = np.random.default_rng(1).normal(size=512).astype(np.float32) * 1000
    stored = packed(embedding)
    assert len(stored) == 1024
    back = unpacked(stored)
    assert np.linalg.norm(back) == pytest.approx(1, abs=1e-3)
    assert float(back @ embedding / np.linalg.norm(embedding)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_what_has_no_direction_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="direction"):
        packed(np.full(4, value, np.float32))
