"""The implementations of `Vectors` that the behaviour suite runs on, and a library of embeddings for it."""

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session

from cluster.db.engine import Database
from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.asset import Asset
from cluster.db.tables.user import User
from cluster.vectors.exact import ExactVectors
from cluster.vectors.faiss_index import Found
from cluster.vectors.holder import IndexHolder
from cluster.vectors.index import Embedding, Vectors
from cluster.vectors.indexed import IndexedVectors

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
KIND = EmbeddingKind.SMART_SEARCH


@dataclass
class Library:
    """Users with assets and their embeddings, in a real database."""

    database: Database

    def add_owner(self) -> str:
        owner_id = str(uuid.uuid4())
        with self.database.session() as session:
            times = dict.fromkeys(("profile_changed_at", "created_at", "updated_at"), NOON)
            session.execute(insert(User).values(id=owner_id, email=f"{owner_id}@example.org", **times))
        return owner_id

    def add_assets(self, session: Session, owner_id: str, embeddings_of: Mapping[str, Embedding]) -> None:
        times = ("file_created_at", "file_modified_at", "local_date_time", "created_at", "updated_at")
        rows = [
            {
                **{"id": asset_id, "owner_id": owner_id, "type": "IMAGE", "checksum": os.urandom(20)},
                **{"original_path": f"/media/{asset_id}.jpg", "original_file_name": "a.jpg"},
                **dict.fromkeys(times, NOON),
            }
            for asset_id in embeddings_of
        ]
        session.execute(insert(Asset), rows)
        embeddings.put(session, KIND, "test", embeddings_of)

    def fill(self, owner_id: str, points: Embedding) -> list[str]:
        """An asset for each row of `points`; returns their ids."""
        ids = [str(uuid.uuid4()) for _ in points]
        with self.database.session() as session:
            self.add_assets(session, owner_id, dict(zip(ids, points, strict=True)))
        return ids


def of_owner(owner_id: str) -> Select[str]:
    return select(Asset.id).where(Asset.owner_id == owner_id)


def everything() -> Select[str]:
    return select(Asset.id)


def clustered(count: int, dimensions: int, seed: int, clusters: int = 20) -> Embedding:
    """Points around random centres, as pictures of the same things are."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(clusters, dimensions))
    points = centres[chance.integers(clusters, size=count)] + 0.5 * chance.normal(size=(count, dimensions))
    return points.astype(np.float32)


def cosine_distances(points: Embedding, query: Embedding) -> Embedding:
    """By the book, in float64."""
    there, here = points.astype(np.float64), query.astype(np.float64)
    distances: Embedding = 1 - there @ here / np.linalg.norm(there, axis=1) / np.linalg.norm(here)
    return distances


class CurrentHolder(IndexHolder):
    """One that has caught up whenever it is asked."""

    def search(self, *asked: Any, **named: Any) -> Found:
        super().search(*asked, **named)
        self.catch_up()
        return super().search(*asked, **named)


def exact(library: Library, folder: Path) -> Vectors:
    return ExactVectors()


def current(library: Library, folder: Path) -> Vectors:
    """With an index that is never behind."""
    return IndexedVectors(CurrentHolder(library.database, folder))


def behind(library: Library, folder: Path) -> Vectors:
    """With an index that never gets beyond its beginning, as while it is made."""
    return IndexedVectors(IndexHolder(library.database, folder))


IMPLEMENTATIONS: Mapping[str, Callable[[Library, Path], Vectors]] = {
    "exact": exact,
    "current": current,
    "behind": behind,
}
