"""The index behind the answers: with lists when there are many, kept on disk, and never more than a rebuild away."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, select, update

from cluster.db.engine import Database
from cluster.db.queries import embeddings
from cluster.db.tables.asset import Asset
from cluster.db.tables.learned import EmbeddingCounter, SmartSearch
from cluster.errors import IndexAway
from cluster.vectors import faiss_index, holder
from cluster.vectors.exact import ExactVectors
from cluster.vectors.faiss_index import FaissIndex, Found
from cluster.vectors.holder import IndexHolder
from cluster.vectors.index import Embedding
from cluster.vectors.indexed import IndexedVectors
from tests.contract.vectors import KIND, Library, clustered, cosine_distances, everything, of_owner

WIDTH = 32


@pytest.fixture
def library(database_url: str) -> Iterator[Library]:
    database = Database(database_url)
    yield Library(database)
    database.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For indexes that count as large early, and are saved at once."""
    monkeypatch.setattr(holder, "LISTS_FROM", 1000)
    monkeypatch.setattr(holder, "SAVED_FROM", 1000)
    monkeypatch.setattr(faiss_index, "LOOKED_AT", 600)
    return tmp_path / "vectors"


def held(library: Library, folder: Path) -> tuple[IndexHolder, FaissIndex]:
    """A holder that has caught up, and what it holds."""
    opened = IndexHolder(library.database, folder)
    opened.search(KIND, np.eye(WIDTH, dtype=np.float32)[0], 1)
    opened.catch_up()
    return opened, opened._indexes[KIND, WIDTH, None].index


def ids_near(opened: IndexHolder, library: Library, query: Embedding, limit: int = 10) -> list[str]:
    with library.database.reader() as session:
        found = IndexedVectors(opened).nearest(session, KIND, query, limit, everything())
    return [match.id for match in found]


def exactly_near(library: Library, query: Embedding, limit: int = 10) -> list[str]:
    with library.database.reader() as session:
        return [match.id for match in ExactVectors().nearest(session, KIND, query, limit, everything())]


def test_many_are_found_by_lists_nearly_as_by_looking_at_all(library: Library, folder: Path) -> None:
    points = clustered(3000, WIDTH, seed=1)
    library.fill(library.add_owner(), points)
    opened, index = held(library, folder)
    assert index.lists > 100
    queries = clustered(50, WIDTH, seed=2)
    same = sum(len({*ids_near(opened, library, query)} & {*exactly_near(library, query)}) for query in queries)
    assert same / 500 >= 0.98


def test_a_filter_is_kept_whatever_the_index_finds_first(library: Library, folder: Path) -> None:
    many, few = library.add_owner(), library.add_owner()
    points = clustered(3000, WIDTH, seed=1)
    ids = library.fill(many, points)
    mine = library.fill(few, -points[:40])
    opened, _ = held(library, folder)
    vectors = IndexedVectors(opened)
    rare = np.random.default_rng(3).choice(3000, size=12, replace=False)
    with library.database.session() as session:
        for row in rare:
            session.get_one(Asset, ids[row]).is_favorite = True
    with library.database.reader() as session:
        favorites = select(Asset.id).where(Asset.is_favorite)
        found = vectors.nearest(session, KIND, points[0], 10, favorites, many)
        of_few = vectors.nearest(session, KIND, points[0], 100, of_owner(few), few)
        none = vectors.nearest(session, KIND, points[0], 10, of_owner("nobody"), "nobody")
    far = cosine_distances(points[rare], points[0])
    assert [match.id for match in found] == [ids[rare[place]] for place in np.argsort(far)[:10]]
    assert sorted(match.id for match in of_few) == sorted(mine)
    assert none == []


def test_what_is_on_disk_is_taken_up_and_the_rest_read(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner_id, points = library.add_owner(), clustered(2000, WIDTH, seed=1)
    library.fill(owner_id, points[:1990])
    held(library, folder)
    last = library.fill(owner_id, points[1990:])
    read: list[int] = []
    rows_after = embeddings.rows_after

    def counted(*asked: object) -> embeddings.Written:
        rows = rows_after(*asked)  # type: ignore[arg-type]
        read.append(len(rows.seqs))
        return rows

    monkeypatch.setattr(embeddings, "rows_after", counted)
    opened, index = held(library, folder)
    assert (len(index), index.mark, sum(read)) == (2000, 2000, 10)
    assert ids_near(opened, library, points[1995], 1) == [last[5]]


@pytest.mark.parametrize("damage", ["cut short", "entries gone", "entries cut short", "nonsense", "unfinished"])
def test_a_damaged_file_costs_no_more_than_a_rebuild(library: Library, folder: Path, damage: str) -> None:
    points = clustered(1500, WIDTH, seed=1)
    library.fill(library.add_owner(), points)
    held(library, folder)
    (described,), (entries,) = folder.glob("*.index"), folder.glob("*.faiss")
    match damage:
        case "cut short":
            described.write_bytes(described.read_bytes()[:-100])
        case "entries gone":
            entries.unlink()
        case "entries cut short":
            entries.write_bytes(entries.read_bytes()[:1000])
        case "nonsense":
            described.write_bytes(b"\x80nonsense")
        case "unfinished":
            described.unlink()
    opened, index = held(library, folder)
    assert (len(index), index.mark) == (1500, 1500)
    assert ids_near(opened, library, points[7], 5) == exactly_near(library, points[7], 5)


def test_a_crash_while_it_is_saved_leaves_the_former(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner_id, points = library.add_owner(), clustered(2500, WIDTH, seed=1)
    library.fill(owner_id, points[:1500])
    held(library, folder)
    library.fill(owner_id, points[1500:])

    def crash(path: Path, data: bytes) -> None:
        raise InterruptedError

    with monkeypatch.context() as dying:
        dying.setattr(faiss_index, "write_atomically", crash)
        with pytest.raises(InterruptedError):
            held(library, folder)
    assert FaissIndex.load(folder / f"{KIND.value}-{WIDTH}-all.index").mark == 1500
    opened, index = held(library, folder)
    assert (len(index), index.mark) == (2500, 2500)
    assert len(list(folder.glob("*.faiss"))) == 1
    assert ids_near(opened, library, points[2000], 5) == exactly_near(library, points[2000], 5)


def test_an_index_of_a_database_that_was_set_back_is_made_anew(library: Library, folder: Path) -> None:
    owner_id, points = library.add_owner(), clustered(1600, WIDTH, seed=1)
    library.fill(owner_id, points[:1500])
    running, _ = held(library, folder)
    with library.database.session() as session:  # as a backup that knows of the first thousand alone
        session.execute(delete(SmartSearch).where(SmartSearch.seq > 1000))
        session.execute(update(EmbeddingCounter).values(last_seq=1000))
    again = library.fill(owner_id, -points[1000:1600])  # the same numbers for others, and beyond
    restarted, _ = held(library, folder)
    running.catch_up()
    for opened in (running, restarted):
        assert ids_near(opened, library, -points[1200], 1) == [again[200]]
        assert ids_near(opened, library, points[1200]) == exactly_near(library, points[1200])


def test_what_is_gone_is_let_go_of(library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "COUNT_EVERY_S", 0)
    points = clustered(1500, WIDTH, seed=1)
    ids = library.fill(library.add_owner(), points)
    opened, index = held(library, folder)
    with library.database.session() as session:
        session.execute(delete(Asset).where(Asset.id.in_(ids[:1000])))
    opened.catch_up()
    assert len(index) == 500
    assert sorted(ids_near(opened, library, points[0], 600)) == sorted(ids[1000:])


def test_of_what_is_gone_no_file_stays(library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "COUNT_EVERY_S", 0)
    ids = library.fill(library.add_owner(), clustered(3000, WIDTH, seed=1))
    opened, index = held(library, folder)
    sizes = {path.suffix: path.stat().st_size for path in folder.iterdir()}
    assert sizes.keys() == {".index", ".faiss"}

    with library.database.session() as session:
        session.execute(delete(Asset).where(Asset.id.in_(ids[:1000])))
    opened.catch_up()
    assert all(path.stat().st_size < sizes[path.suffix] for path in folder.iterdir())
    assert len(list(folder.iterdir())) == 2

    with library.database.session() as session:
        session.execute(delete(Asset).where(Asset.id.in_(ids[1000:2500])))
    opened.catch_up()
    assert (len(index), list(folder.iterdir())) == (500, [])


def test_files_of_an_owner_who_is_gone_are_swept(library: Library, folder: Path) -> None:
    owners = [library.add_owner(), library.add_owner()]
    ids = {owner_id: library.fill(owner_id, clustered(1200, WIDTH, seed=1)) for owner_id in owners}
    first = IndexHolder(library.database, folder)
    for owner_id in owners:
        first.search(KIND, np.eye(WIDTH, dtype=np.float32)[0], 1, owner_id)
    first.catch_up()
    assert {path.stem for path in folder.glob("*.index")} == {f"smart_search-{WIDTH}-{one}" for one in owners}

    with library.database.session() as session:
        session.execute(delete(Asset).where(Asset.id.in_(ids[owners[0]])))
    IndexHolder(library.database, folder).sweep()
    assert [path.stem for path in folder.glob("*.index")] == [f"smart_search-{WIDTH}-{owners[1]}"]
    assert len(list(folder.iterdir())) == 2


def test_lists_are_learned_anew_when_there_are_many_times_more(library: Library, folder: Path) -> None:
    owner_id, points = library.add_owner(), clustered(4500, WIDTH, seed=1)
    library.fill(owner_id, points[:1000])
    opened, first = held(library, folder)
    library.fill(owner_id, points[1000:])
    opened.catch_up()
    second = opened._indexes[KIND, WIDTH, None].index
    assert first.lists < second.lists
    assert len(second) == 4500


class Away:
    """A holder that does not answer."""

    def search(self, *asked: object, **named: object) -> Found:
        raise IndexAway("not here")


def test_without_an_index_the_rows_answer(library: Library) -> None:
    owner_id, points = library.add_owner(), clustered(100, WIDTH, seed=1)
    library.fill(owner_id, points)
    with library.database.reader() as session:
        found = IndexedVectors(Away()).nearest(session, KIND, points[3], 10, everything())
    assert [match.id for match in found] == exactly_near(library, points[3])
