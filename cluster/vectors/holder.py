"""Holds the indexes of one process, keeps them up with the rows, and on disk. Nothing here must survive: whatever is
missing, damaged or no longer what the rows say is made anew from them.
"""

import logging
import math
import threading
import time
from pathlib import Path
from typing import Protocol

from cluster.db.engine import Database
from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.vectors.faiss_index import FaissIndex, Found, Seqs, delete_saved, fingerprint
from cluster.vectors.index import Embedding

log = logging.getLogger(__name__)

Key = tuple[EmbeddingKind, int, str | None]

ALL = "all"
"""In a file's name: of every owner."""

LISTS_FROM = 50_000
"""Fewer embeddings are flat: looking through all takes some milliseconds."""
LISTS_PER_ROOT = 4
"""Lists per root of the number of embeddings. Among a million clustered ones (`python -m bench vectors`) the lists
that are looked at hold 0.986 of the ten nearest; with half as many lists it was 0.96, and more was looked at."""
GROWTH = 2
"""Lists that were learned from fewer than half of what there is now are learned anew."""
SAMPLE_PER_LIST = 40
SAVED_FROM = 20_000
"""Fewer are read from the rows sooner than an index is worth a file."""
GONE_SHARE = 0.05
"""A file of whose entries so many are gone is written anew."""
SAVE_EVERY_S, COUNT_EVERY_S, LOOK_EVERY_S, PAUSE_S = 600.0, 600.0, 30.0, 1.0
SWEEP_EVERY_S = 6 * 3600.0


class Holder(Protocol):
    """Who can be asked for what is near."""

    def search(
        self, kind: EmbeddingKind, query: Embedding, count: int, owner_id: str | None = None, only: Seqs | None = None
    ) -> Found:
        """See `FaissIndex.search`. `owner_id`: of one owner's alone. Raises IndexAway."""
        ...


class IndexHolder:
    """Answers at once with what it has; `follow`, in a thread, brings in what was written meanwhile.

    An index is of one kind, one number of dimensions and one owner (or all), and begins with the first question for it.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder
        self._indexes: dict[Key, Held] = {}
        self._lock = threading.Lock()
        self._asked, self._ended = threading.Event(), False

    def search(
        self, kind: EmbeddingKind, query: Embedding, count: int, owner_id: str | None = None, only: Seqs | None = None
    ) -> Found:
        with self._lock:
            key = (kind, len(query), owner_id)
            if key not in self._indexes:
                # a kind has one model at a time
                self._indexes = {
                    one: held for one, held in self._indexes.items() if one[:2] == key[:2] or one[0] is not kind
                }
                self._indexes[key] = Held(self._database, self._folder, *key)
            held = self._indexes[key]
        self._asked.set()
        return held.index.search(query, count, only)

    def follow(self) -> None:
        """Catch up soon after every question, and now and then without one, until `end`."""
        sweep_at_s = time.monotonic()
        while not self._ended:
            self._asked.wait(LOOK_EVERY_S)
            self._asked.clear()
            try:
                self.catch_up()
                if time.monotonic() >= sweep_at_s:
                    sweep_at_s = time.monotonic() + SWEEP_EVERY_S
                    self.sweep()
            except Exception:
                log.exception("the index of embeddings cannot be brought up to date; answers come from the rows")
            time.sleep(PAUSE_S)

    def catch_up(self) -> None:
        """Bring in everything that is written by now. For one thread at a time."""
        with self._lock:
            held = list(self._indexes.values())
        for one in held:
            one.catch_up()

    def sweep(self) -> None:
        """Delete files of which no row is left: of a user who was deleted no face stays here, of a model that nobody
        uses any more no gigabytes."""
        for path in self._folder.glob("*.index"):
            kind, dimensions, owner = path.stem.split("-", 2)
            owner_id = None if owner == ALL else owner
            with self._database.reader() as session:
                is_any = embeddings.is_any(session, EmbeddingKind(kind), int(dimensions), owner_id)
            if not is_any:
                delete_saved(path)

    def end(self) -> None:
        self._ended = True
        self._asked.set()


class Held:
    """One index, its rows and its file."""

    def __init__(
        self, database: Database, folder: Path, kind: EmbeddingKind, dimensions: int, owner_id: str | None
    ) -> None:
        self._database, self._kind, self._dimensions, self._owner_id = database, kind, dimensions, owner_id
        self._path = folder / f"{kind.value}-{dimensions}-{owner_id or ALL}.index"
        self._saved_s = self._counted_s = time.monotonic()
        self._learned_from = 0
        self._saved_mark = 0
        self.index = self._loaded()

    def catch_up(self) -> None:
        with self._database.reader() as session:
            newest = embeddings.last_seq(session, self._kind)
        if newest != self.index.mark:
            if not self._is_of_these_rows():
                log.warning("the index of %s is of other rows; it is made anew", self._kind)
                self.index, self._learned_from = FaissIndex(self._dimensions), 0
            self._fill(self._with_lists(newest), newest)
        self._let_go()
        self._save()

    def _loaded(self) -> FaissIndex:
        """From its file, or empty. It answers only once its newest entries are found among the rows."""
        try:
            self.index = FaissIndex.load(self._path)
            if self.index.dimensions == self._dimensions and self._is_of_these_rows():
                self._learned_from, self._saved_mark = len(self.index), self.index.mark
                return self.index
        except FileNotFoundError:
            pass
        except Exception as error:
            log.warning("the index at %s cannot be read and is made anew: %s", self._path, error)
        return FaissIndex(self._dimensions)

    def _is_of_these_rows(self) -> bool:
        """False after a backup was restored: numbers then are given a second time, to other embeddings."""
        witnesses = dict(self.index.witnesses)
        with self._database.reader() as session:
            if embeddings.last_seq(session, self._kind) < self.index.mark:
                return False
            stored = embeddings.stored_at(session, self._kind, list(witnesses))
        return all(fingerprint(embeddings.unpacked(found)) == witnesses[seq] for seq, found in stored.items())

    def _with_lists(self, newest: int) -> FaissIndex:
        """The index that is to be filled: this one, or one with lists that fit, still empty."""
        most = len(self.index) + newest - self.index.mark
        if most < max(LISTS_FROM, GROWTH * self._learned_from):
            return self.index
        with self._database.reader() as session:
            count = embeddings.rows_count(session, self._kind, self._owner_id)
            if count < max(LISTS_FROM, GROWTH * self._learned_from):
                return self.index
            lists = LISTS_PER_ROOT * math.isqrt(count)
            sample = embeddings.sample(session, self._kind, self._dimensions, SAMPLE_PER_LIST * lists, self._owner_id)
        if len(sample) < lists:  # most are of another model
            return self.index
        index = FaissIndex(self._dimensions, lists)
        index.train(sample)
        self._learned_from = count
        return index

    def _fill(self, index: FaissIndex, until: int) -> None:
        """A page at a time, each in a transaction of its own; then the index takes the place of the one before."""
        while index.mark < until:
            with self._database.reader() as session:
                rows = embeddings.rows_after(session, self._kind, self._dimensions, index.mark, until, self._owner_id)
            is_last = len(rows.seqs) < embeddings.ROWS_AT_ONCE
            index.add(rows.seqs, rows.matrix, until if is_last else int(rows.seqs[-1]))
        self.index = index

    def _let_go(self) -> None:
        """Of what is no row any more. Until then nobody finds it, since no row joins it."""
        if time.monotonic() - self._counted_s < COUNT_EVERY_S:
            return
        self._counted_s = time.monotonic()
        with self._database.reader() as session:
            if embeddings.rows_count(session, self._kind, self._owner_id) >= len(self.index):
                return
            seqs = embeddings.all_seqs(session, self._kind, self._owner_id)
        gone = self.index.keep(seqs)
        if len(self.index) < SAVED_FROM:
            delete_saved(self._path)
            self._saved_mark = 0
        elif gone > GONE_SHARE * len(self.index):
            self._saved_mark = 0

    def _save(self) -> None:
        new, age_s = self.index.mark - self._saved_mark, time.monotonic() - self._saved_s
        enough = new >= max(SAVED_FROM // 4, len(self.index) // 20) or age_s > SAVE_EVERY_S
        if len(self.index) >= SAVED_FROM and new and enough:
            self.index.save(self._path)
            self._saved_mark, self._saved_s = self.index.mark, time.monotonic()
