"""What is near, whoever looks: one suite over every implementation, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, false, select

from cluster.db.engine import Database
from cluster.db.queries import embeddings
from cluster.db.tables.asset import Asset
from cluster.vectors.index import Match, Vectors
from tests.contract.vectors import (
    IMPLEMENTATIONS,
    KIND,
    Library,
    clustered,
    cosine_distances,
    everything,
    of_owner,
)

ROUNDING = 2e-3
"""How far a distance may be off: float16 keeps eleven bits of each value."""


@pytest.fixture
def library(database_url: str) -> Iterator[Library]:
    database = Database(database_url)
    yield Library(database)
    database.close()


@pytest.fixture(params=IMPLEMENTATIONS)
def vectors(request: pytest.FixtureRequest, library: Library, tmp_path: Path) -> Vectors:
    return IMPLEMENTATIONS[request.param](library, tmp_path / "vectors")


def test_the_nearest_come_first(library: Library, vectors: Vectors) -> None:
    points = clustered(6000, 16, seed=1)
    ids = library.fill(library.add_owner(), points)
    query = clustered(1, 16, seed=2)[0] * 7
    far = cosine_distances(points, query)
    with library.database.reader() as session:
        found = vectors.nearest(session, KIND, query, 20, everything())
    assert [match.distance for match in found] == sorted(match.distance for match in found)
    expected = np.sort(far)[:20]
    assert [match.distance for match in found] == pytest.approx(expected, abs=ROUNDING)
    assert [far[ids.index(match.id)] for match in found] == pytest.approx(expected, abs=ROUNDING)


def test_equal_ones_stand_in_the_order_of_their_ids(library: Library, vectors: Vectors) -> None:
    ids = library.fill(library.add_owner(), np.repeat(clustered(1, 16, seed=1), 50, axis=0))
    with library.database.reader() as session:
        found = vectors.nearest(session, KIND, clustered(1, 16, seed=2)[0], 50, everything())
    assert [match.id for match in found] == sorted(ids)


def test_only_what_may_be_found_is_found(library: Library, vectors: Vectors) -> None:
    few, many = library.add_owner(), library.add_owner()
    points = clustered(2000, 16, seed=1)
    library.fill(many, points[30:])
    mine = library.fill(few, points[:30])
    with library.database.reader() as session:
        found = vectors.nearest(session, KIND, points[100], 100, of_owner(few))
        nothing = vectors.nearest(session, KIND, points[100], 100, select(Asset.id).where(false()))
    far = cosine_distances(points[:30], points[100])
    assert sorted(match.id for match in found) == sorted(mine)
    assert [match.distance for match in found] == pytest.approx(np.sort(far), abs=ROUNDING)
    assert nothing == []


def test_a_filter_that_keeps_a_part_spread_over_all_leaves_the_nearest_of_it(
    library: Library, vectors: Vectors
) -> None:
    owner_id, points = library.add_owner(), clustered(3000, 16, seed=1)
    ids = library.fill(owner_id, points)
    favorites = np.random.default_rng(3).choice(3000, size=60, replace=False)
    with library.database.session() as session:
        for index in favorites:
            session.get_one(Asset, ids[index]).is_favorite = True
    query = clustered(1, 16, seed=2)[0]
    with library.database.reader() as session:
        found = vectors.nearest(session, KIND, query, 10, select(Asset.id).where(Asset.is_favorite))
    expected = np.sort(cosine_distances(points[favorites], query))[:10]
    assert [match.distance for match in found] == pytest.approx(expected, abs=ROUNDING)


def test_within_a_distance(library: Library, vectors: Vectors) -> None:
    points = clustered(2000, 16, seed=1)
    library.fill(library.add_owner(), points)
    query, far = points[0], cosine_distances(points, points[0])
    radius = float(np.sort(far)[40:42].mean())
    with library.database.reader() as session:
        found = vectors.within(session, KIND, query, radius, 1000, everything())
        first = vectors.within(session, KIND, query, radius, 5, everything())
        none = vectors.within(session, KIND, -query, 0.001, 5, everything())
    assert [match.distance for match in found] == pytest.approx(np.sort(far)[: len(found)], abs=ROUNDING)
    assert abs(len(found) - 41) <= np.count_nonzero(abs(far - radius) < ROUNDING)
    assert first == found[:5]
    assert none == []


def test_a_copy_is_at_no_distance(library: Library, vectors: Vectors) -> None:
    points = clustered(100, 512, seed=1)
    ids = library.fill(library.add_owner(), points)
    with library.database.reader() as session:
        found = vectors.within(session, KIND, points[7], 0.001, 5, everything())
    assert [match.id for match in found] == [ids[7]]
    assert found[0].distance == pytest.approx(0, abs=1e-4)


def test_what_was_written_in_this_transaction_is_found(library: Library, vectors: Vectors) -> None:
    owner_id, points = library.add_owner(), clustered(500, 16, seed=1)
    library.fill(owner_id, points)
    with library.database.reader() as session:
        vectors.nearest(session, KIND, points[0], 1, everything())
    with library.database.session() as session:
        library.add_assets(session, owner_id, {"new": -points[0]})
        found = vectors.nearest(session, KIND, -points[0], 1, everything())
    assert [match.id for match in found] == ["new"]


def test_what_was_rolled_back_is_not_found(library: Library, vectors: Vectors) -> None:
    owner_id, points = library.add_owner(), clustered(500, 16, seed=1)
    library.fill(owner_id, points)
    with library.database.session() as session:
        library.add_assets(session, owner_id, {"new": -points[0]})
        assert vectors.nearest(session, KIND, -points[0], 1, everything())[0].id == "new"
        session.rollback()
    library.fill(owner_id, points[:3])  # their numbers are those that were rolled back
    with library.database.reader() as session:
        found = vectors.nearest(session, KIND, -points[0], 600, everything())
    assert len(found) == 503
    assert "new" not in {match.id for match in found}


def test_what_was_deleted_or_moved_is_where_it_is_now(library: Library, vectors: Vectors) -> None:
    owner_id, points = library.add_owner(), clustered(500, 16, seed=1)
    ids = library.fill(owner_id, points)
    with library.database.reader() as session:
        assert [match.id for match in vectors.nearest(session, KIND, points[3], 1, everything())] == [ids[3]]
    with library.database.session() as session:
        session.execute(delete(Asset).where(Asset.id == ids[3]))
        embeddings.put(session, KIND, "test", {ids[4]: -points[4]})
    with library.database.reader() as session:
        near_deleted = vectors.nearest(session, KIND, points[3], 500, everything())
        at_old_place = vectors.within(session, KIND, points[4], 0.001, 5, everything())
        at_new_place = vectors.nearest(session, KIND, -points[4], 1, everything())
    assert sorted(match.id for match in near_deleted) == sorted({*ids} - {ids[3]})
    assert at_old_place == []
    assert [match.id for match in at_new_place] == [ids[4]]


def test_embeddings_of_another_dimension_are_not_found(library: Library, vectors: Vectors) -> None:
    owner_id = library.add_owner()
    library.fill(owner_id, clustered(20, 16, seed=1))
    wide = library.fill(owner_id, clustered(20, 32, seed=1))
    with library.database.reader() as session:
        found = vectors.nearest(session, KIND, clustered(1, 32, seed=2)[0], 100, everything())
    assert sorted(match.id for match in found) == sorted(wide)


def test_an_empty_library_has_nothing_near(library: Library, vectors: Vectors) -> None:
    with library.database.reader() as session:
        assert vectors.nearest(session, KIND, np.ones(16, np.float32), 5, everything()) == []


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_a_query_without_a_direction_is_refused(library: Library, vectors: Vectors, value: float) -> None:
    with library.database.reader() as session, pytest.raises(ValueError, match="direction"):
        vectors.nearest(session, KIND, np.full(16, value, np.float32), 5, everything())


def test_a_match_says_no_more_than_six_places(library: Library, vectors: Vectors) -> None:
    library.fill(library.add_owner(), clustered(5, 16, seed=1))
    with library.database.reader() as session:
        found: list[Match] = vectors.nearest(session, KIND, clustered(1, 16, seed=2)[0], 5, everything())
    assert all(match.distance == round(match.distance, 6) for match in found)
