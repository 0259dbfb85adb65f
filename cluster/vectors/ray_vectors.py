"""The one actor of a stack that holds the indexes of embeddings, and how others ask it. It opens the database, so it
lives on an api node; the first question starts it.
"""

import logging
import os
import threading
import time
from typing import Any

import numpy as np
import ray
from ray import exceptions

from cluster.db.engine import Database
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.errors import IndexAway
from cluster.launch import NAMESPACE
from cluster.names import WorkerName
from cluster.settings import read_settings
from cluster.storage.layout import StorageLayout
from cluster.telemetry import configure_logging
from cluster.vectors.faiss_index import Found, Seqs
from cluster.vectors.holder import IndexHolder
from cluster.vectors.index import Embedding
from cluster.workers import worker_label

log = logging.getLogger(__name__)

VECTORS_ACTOR = "heliostat-vectors"
QUESTIONS_AT_ONCE = 4
UNTIL_ANSWERED_S = 8.0
"""Long enough for the actor to start. Whoever asks may hold SQLite's write lock, for which others wait ten seconds."""
AWAY_S = 10.0
"""After a failure nobody asks for this long: the rows answer meanwhile."""


class VectorsActor:
    """Holds the indexes; a thread of it keeps them up with the rows."""

    def __init__(self) -> None:
        settings = read_settings(os.environ)
        configure_logging(settings, "Microservices")
        layout = StorageLayout(settings.media_root)
        self._holder = IndexHolder(Database(settings.database_url), layout.vectors_folder())
        threading.Thread(target=self._holder.follow, name="vectors", daemon=True).start()

    def search(
        self, kind: EmbeddingKind, query: Embedding, count: int, owner_id: str | None, only: Seqs | None
    ) -> Found:
        # what came through Ray is read-only, and FAISS takes no such array
        return self._holder.search(kind, np.array(query), count, owner_id, None if only is None else np.array(only))


class RayHolder:
    """Asks the actor."""

    def __init__(self) -> None:
        self._actor: Any = None
        self._away_until_s = 0.0
        self._lock = threading.Lock()

    def search(
        self, kind: EmbeddingKind, query: Embedding, count: int, owner_id: str | None = None, only: Seqs | None = None
    ) -> Found:
        if time.monotonic() < self._away_until_s:
            raise IndexAway("the vectors actor did not answer a moment ago")
        try:
            reference = self._running_actor().search.remote(kind, query, count, owner_id, only)
            found: Found = ray.get(reference, timeout=UNTIL_ANSWERED_S)
        except exceptions.RayError as error:
            with self._lock:
                self._actor, self._away_until_s = None, time.monotonic() + AWAY_S
            raise IndexAway(f"the vectors actor does not answer: {type(error).__name__}") from error
        return found

    def _running_actor(self) -> Any:
        with self._lock:
            if self._actor is None:
                self._actor = (
                    ray.remote(VectorsActor)
                    .options(
                        name=VECTORS_ACTOR,
                        namespace=NAMESPACE,
                        lifetime="detached",
                        get_if_exists=True,
                        num_cpus=0,
                        max_restarts=-1,
                        max_task_retries=0,
                        max_concurrency=QUESTIONS_AT_ONCE,
                        label_selector={worker_label(WorkerName.API): "true"},
                    )
                    .remote()
                )
            return self._actor
