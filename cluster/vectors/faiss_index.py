"""Embeddings of one kind in FAISS, by their `seq`: flat while they are few, in inverted lists when they are many. It
knows up to which `seq` it has everything (its mark), and nothing of SQL. One thread may change it while others search.
"""

import json
import math
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.storage.files import fsync_file, write_atomically
from cluster.vectors.index import Embedding

PROBES = 32
"""Of so many lists the nearest are looked at when nothing is asked for but what is near."""
EXACT_UP_TO = 50_000
"""An owner with so many embeddings is looked through in full."""
WITNESSES = 64

Seqs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """`seqs`, nearest first, and their `distances`. All up to `mark` was looked at; `complete`: nothing that was asked
    for is missing, however many more are asked for."""

    seqs: Seqs
    distances: NDArray[np.float64]
    mark: int
    complete: bool


class FaissIndex:
    """`lists`: 0 for a flat index; one with lists is trained before the first `add`."""

    def __init__(self, dimensions: int, lists: int = 0) -> None:
        self.dimensions, self.lists, self.mark = dimensions, lists, 0
        self.owners: list[str] = []
        self._seqs, self._owner_of = np.empty(0, np.int64), np.empty(0, np.int32)
        self._witnesses: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self._faiss = _new(dimensions, lists)

    def __len__(self) -> int:
        return len(self._seqs)

    @property
    def witnesses(self) -> list[tuple[int, int]]:
        """(seq, fingerprint) of the newest: whether the rows are still those that were read."""
        return self._witnesses

    def train(self, sample: Embedding) -> None:
        """Learn where the lists lie. Minutes of CPU for a million embeddings."""
        self._faiss.train(sample)

    def add(self, seqs: Seqs, owners: list[str], matrix: Embedding, mark: int) -> None:
        """More rows, all above the mark, in the order of `seqs`; the mark becomes `mark`."""
        codes = {owner: code for code, owner in enumerate(self.owners)}
        of_rows = np.array([codes.setdefault(owner, len(codes)) for owner in owners], np.int32)
        lists = self._faiss.quantizer.assign(matrix, 1) if self.lists and len(seqs) else None
        newest = [(int(seq), fingerprint(row)) for seq, row in zip(seqs[-WITNESSES:], matrix[-WITNESSES:], strict=True)]
        with self._lock:
            if lists is not None:  # found before the lock was taken: that is most of the work
                arrays = [np.ascontiguousarray(array) for array in (matrix, seqs, lists.ravel())]
                self._faiss.add_core(len(seqs), *[_library().swig_ptr(array) for array in arrays])
            elif len(seqs):
                self._faiss.add_with_ids(matrix, seqs)
            self.owners = list(codes)
            self._seqs = np.concatenate([self._seqs, seqs])
            self._owner_of = np.concatenate([self._owner_of, of_rows])
            self._witnesses = (self._witnesses + newest)[-WITNESSES:]
            self.mark = mark

    def keep(self, seqs: Seqs) -> int:
        """Let go of all but these; returns how many that are."""
        gone = ~np.isin(self._seqs, seqs)
        with self._lock:
            if gone.any():
                self._faiss.remove_ids(_bitmap(self._seqs[gone]))
                self._seqs, self._owner_of = self._seqs[~gone], self._owner_of[~gone]
        return int(gone.sum())

    def search(self, query: Embedding, count: int, owner_id: str | None = None, only: Seqs | None = None) -> Found:
        """The `count` nearest to `query` (of unit length) of all, of one owner's, or of `only` these seqs. Exact for
        what is few: small indexes, small owners, `only`."""
        faiss = _library()
        with self._lock:
            chosen = self._chosen(owner_id, only)
            wanted = len(self._seqs) if chosen is None else len(chosen)
            asked = min(count, wanted)
            if not asked:
                return Found(np.empty(0, np.int64), np.empty(0), self.mark, wanted == 0)
            given: dict[str, Any] = {} if chosen is None else {"sel": _bitmap(chosen)}
            if self.lists:
                given["nprobe"] = probes = self._probes(asked, wanted, exact=only is not None)
                parameters = faiss.SearchParametersIVF(**given)
            else:
                probes, parameters = 0, faiss.SearchParameters(**given)
            similar, seqs = self._faiss.search(query[None], asked, params=parameters)
            found = seqs[0] >= 0
            distances = np.round(1 - similar[0][found].astype(np.float64), 6)
            return Found(seqs[0][found], distances, self.mark, probes == self.lists and count >= wanted)

    def _chosen(self, owner_id: str | None, only: Seqs | None) -> Seqs | None:
        if only is not None:
            known: Seqs = np.intersect1d(only, self._seqs)
            return known
        if owner_id is None:
            return None
        if owner_id not in self.owners:
            return np.empty(0, np.int64)
        of_owner: Seqs = self._seqs[self._owner_of == self.owners.index(owner_id)]
        return of_owner

    def _probes(self, asked: int, wanted: int, exact: bool) -> int:
        """How many lists to look at: all for few, else more when few of a list count, or many are asked for."""
        if exact or wanted <= EXACT_UP_TO:
            return self.lists
        share = len(self._seqs) / wanted
        return min(self.lists, math.ceil(max(PROBES * share, 4 * asked * self.lists / wanted)))

    def save(self, path: Path) -> None:
        """Write `path` and a file beside it. What is written last makes it count; a crash leaves the former one, or
        none. No other thread may change the index meanwhile."""
        faiss = _library()
        entries = path.with_name(f"{path.stem}.{self.mark}.faiss")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        faiss.write_index(self._faiss, str(entries))
        fsync_file(entries)
        known = {"dimensions": self.dimensions, "lists": self.lists, "mark": self.mark, "entries": entries.name}
        known |= {"owners": self.owners, "witnesses": self._witnesses}
        rows = np.stack([self._seqs, self._owner_of.astype(np.int64)])
        write_atomically(path, json.dumps(known).encode() + b"\n" + rows.astype("<i8").tobytes())
        for former in path.parent.glob(f"{path.stem}.*.faiss"):
            if former != entries:
                former.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "FaissIndex":
        """What `save` wrote. Raises OSError, ValueError, KeyError, RuntimeError for what is missing or damaged."""
        faiss = _library()
        described, _, rows = path.read_bytes().partition(b"\n")
        known = json.loads(described)
        index = cls(known["dimensions"])
        index.lists, index.mark, index.owners = known["lists"], known["mark"], known["owners"]
        index._witnesses = [(seq, print_) for seq, print_ in known["witnesses"]]
        seqs, owner_of = np.frombuffer(rows, "<i8").reshape(2, -1)
        index._seqs, index._owner_of = seqs.copy(), owner_of.astype(np.int32)
        index._faiss = faiss.read_index(str(path.with_name(known["entries"])))
        if index._faiss.ntotal != len(seqs) or index._faiss.d != index.dimensions:
            raise ValueError(f"{path} and its entries differ")
        return index


def fingerprint(embedding: Embedding) -> int:
    """Of what is stored, to tell it from another."""
    return zlib.crc32(embedding.astype("<f2").tobytes())


def _library() -> Any:
    """FAISS, whose type hints do not know what its Python layer adds."""
    import faiss

    return faiss


def _new(dimensions: int, lists: int) -> Any:
    faiss = _library()
    half, product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    if not lists:
        return faiss.IndexIDMap(faiss.IndexScalarQuantizer(dimensions, half, product))
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dimensions), dimensions, lists, half, product, False)
    index.cp.niter = 10
    return index


def _bitmap(seqs: Seqs) -> Any:
    faiss = _library()
    chosen = np.zeros(int(seqs.max(initial=0)) + 1, np.bool_)
    chosen[seqs] = True
    return faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
