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

LOOKED_AT = 40_000
"""In so many embeddings' worth of lists, the nearest ones, is looked when nothing is asked for but what is near: some
milliseconds at any size."""
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
        self._seqs = np.empty(0, np.int64)
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

    def add(self, seqs: Seqs, matrix: Embedding, mark: int) -> None:
        """More rows, all above the mark, in the order of `seqs`; the mark becomes `mark`."""
        lists = self._faiss.quantizer.assign(matrix, 1) if self.lists and len(seqs) else None
        newest = [(int(seq), fingerprint(row)) for seq, row in zip(seqs[-WITNESSES:], matrix[-WITNESSES:], strict=True)]
        with self._lock:
            if lists is not None:  # found before the lock was taken: that is most of the work
                arrays = [np.ascontiguousarray(array) for array in (matrix, seqs, lists.ravel())]
                self._faiss.add_core(len(seqs), *[_library().swig_ptr(array) for array in arrays])
            elif len(seqs):
                self._faiss.add_with_ids(matrix, seqs)
            self._seqs = np.concatenate([self._seqs, seqs])
            self._witnesses = (self._witnesses + newest)[-WITNESSES:]
            self.mark = mark

    def keep(self, seqs: Seqs) -> int:
        """Let go of all but these; returns how many that are."""
        gone = ~np.isin(self._seqs, seqs)
        with self._lock:
            if gone.any():
                self._faiss.remove_ids(_bitmap(self._seqs[gone]))
                self._seqs = self._seqs[~gone]
        return int(gone.sum())

    def search(self, query: Embedding, count: int, only: Seqs | None = None) -> Found:
        """The `count` nearest to `query` (of unit length) of all, or of `only` these seqs. Exact without lists, and for
        `only`."""
        faiss = _library()
        with self._lock:
            chosen = None if only is None else np.intersect1d(only, self._seqs)
            wanted = len(self._seqs) if chosen is None else len(chosen)
            asked = min(count, wanted)
            if not asked:
                return Found(np.empty(0, np.int64), np.empty(0), self.mark, wanted == 0)
            given: dict[str, Any] = {} if chosen is None else {"sel": _bitmap(chosen)}
            if self.lists:
                given["nprobe"] = probes = self.lists if only is not None else self._probes(asked)
                parameters = faiss.SearchParametersIVF(**given)
            else:
                probes, parameters = 0, faiss.SearchParameters(**given)
            similar, seqs = self._faiss.search(query[None], asked, params=parameters)
            found = seqs[0] >= 0
            distances = np.round(1 - similar[0][found].astype(np.float64), 6)
            return Found(seqs[0][found], distances, self.mark, probes == self.lists and count >= wanted)

    def _probes(self, asked: int) -> int:
        """How many lists to look at: more when many are asked for."""
        return min(self.lists, math.ceil(max(LOOKED_AT, 4 * asked) * self.lists / len(self._seqs)))

    def save(self, path: Path) -> None:
        """Write `path` and a file beside it. What is written last makes it count; a crash leaves the former one, or
        none. No other thread may change the index meanwhile."""
        faiss = _library()
        entries = path.with_name(f"{path.stem}.{self.mark}.faiss")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        faiss.write_index(self._faiss, str(entries))
        fsync_file(entries)
        known = {"dimensions": self.dimensions, "lists": self.lists, "mark": self.mark, "entries": entries.name}
        known["witnesses"] = self._witnesses
        write_atomically(path, json.dumps(known).encode() + b"\n" + self._seqs.astype("<i8").tobytes())
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
        index.lists, index.mark = known["lists"], known["mark"]
        index._witnesses = [(seq, print_) for seq, print_ in known["witnesses"]]
        index._seqs = seqs = np.frombuffer(rows, "<i8").astype(np.int64)
        index._faiss = faiss.read_index(str(path.with_name(known["entries"])))
        if index._faiss.ntotal != len(seqs) or index._faiss.d != index.dimensions:
            raise ValueError(f"{path} and its entries differ")
        return index


def delete_saved(path: Path) -> None:
    """Delete what `save` wrote, what makes it count first."""
    path.unlink(missing_ok=True)
    for entries in path.parent.glob(f"{path.stem}.*.faiss"):
        entries.unlink(missing_ok=True)


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
