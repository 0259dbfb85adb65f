"""Which way SQLite goes for the statements that requests wait for, read from its own plans.

It keeps no statistics, so the plan for an empty database is that for a full one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from cluster.db.engine import Database
from cluster.db.queries import access, asset_search, assets, folders, live_photos, places, timeline
from cluster.db.queries.asset_search import AssetFilter, SortField, Sorting
from cluster.db.queries.places import WORDS, MarkerFilter
from cluster.db.queries.shared_links import KnownLink
from cluster.db.queries.timeline import Box, TimelineFilter
from serve_app.deps import Caller

USER = "11111111-1111-4111-8111-111111111111"
OTHER = "33333333-3333-4333-8333-333333333333"
IDS = [f"22222222-2222-4222-8222-{number:012}" for number in range(400)]
MAY, JUNE = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
EUROPE = Box(west=-10, south=35, east=30, north=70)

WITH_PARTNERS = TimelineFilter(owner_id=USER, partner_ids=(OTHER,))

Query = Callable[[Session], object]
Step = tuple[str, str | None]
"""How a table is read: (table, the index and what is looked up in it). None: from its first row to its last."""

BY_ID: Step = ("asset", "sqlite_autoindex_asset_1 (id=?)")
OF_LOCKED: Step = ("asset_1", "ix_asset_live_photo_video_id (live_photo_video_id=?)")
EXIF_BY_ID: Step = ("asset_exif", "sqlite_autoindex_asset_exif_1 (asset_id=?)")
BY_CITY: Step = ("asset_exif", "ix_asset_exif_city (city=?)")
BY_PATH: Step = ("asset", "ix_asset_original_path (original_path>? AND original_path<?)")
IN_TRASH: Step = ("asset", "ix_asset_trash (owner_id=? AND status=? AND deleted_at>?)")
BY_MOVING_PART: Step = ("asset", "ix_asset_live_photo_video_id (live_photo_video_id=?)")
BY_OWNER: Step = ("asset", "ix_asset_owner_created (owner_id=?)")
UPLOADED: Step = ("asset", "uq_asset_owner_checksum (owner_id=? AND checksum=?)")
IN_LIBRARY: Step = ("asset", "uq_asset_owner_library_checksum (owner_id=? AND library_id=? AND checksum=?)")
BY_CONTENT_ID: Step = ("asset_exif", "ix_asset_exif_live_photo_cid (live_photo_cid=?)")
IN_MONTH: Step = (
    "asset",
    "ix_asset_timeline (owner_id=? AND visibility=? AND local_date_time>? AND local_date_time<?)",
)
SINCE: Step = ("asset", "ix_asset_owner_created (owner_id=? AND file_created_at>?)")


def link_to(album_id: str | None) -> KnownLink:
    return KnownLink(USER, USER, album_id, None, upload=False, download=False, metadata=True)


@pytest.fixture
def database(sqlite_database_url: str) -> Iterator[Database]:
    opened = Database(sqlite_database_url)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        pytest.param(lambda session: assets.owned_ids(session, USER, IDS), {BY_ID, OF_LOCKED}, id="owned ids"),
        pytest.param(
            lambda session: assets.owned_assets(session, USER, IDS), {BY_ID, EXIF_BY_ID, OF_LOCKED}, id="owned assets"
        ),
        pytest.param(
            lambda session: assets.owned_ids(session, USER, IDS, with_locked=True), {BY_ID}, id="owned, locked or not"
        ),
        *[
            pytest.param(
                lambda session, link=link: access.ids_in_link(session, link, IDS),
                {BY_ID, BY_MOVING_PART, OF_LOCKED},
                id=f"what a link shows, of an album: {link.album_id is not None}",
            )
            for link in (link_to(None), link_to(OTHER))
        ],
        pytest.param(
            lambda session: access.shared_ids(session, Caller(USER, is_admin=False), IDS),
            {BY_ID, BY_MOVING_PART, OF_LOCKED},
            id="what is shown",
        ),
        pytest.param(
            lambda session: timeline.month(session, replace(WITH_PARTNERS, visibility="timeline"), MAY, JUNE),
            {IN_MONTH, EXIF_BY_ID},
            id="a month with partners",
        ),
        pytest.param(
            lambda session: asset_search.search(session, AssetFilter(owner_id=USER, partner_ids=[OTHER]), [], limit=9),
            {BY_ID, BY_OWNER, OF_LOCKED},
            id="the newest, with partners",
        ),
        pytest.param(
            lambda session: assets.trashed_ids(session, USER, IDS), {BY_ID, OF_LOCKED}, id="some of the trash"
        ),
        pytest.param(lambda session: assets.trashed_ids(session, USER), {IN_TRASH, OF_LOCKED}, id="the trash"),
        pytest.param(
            lambda session: folders.assets_in_folder(session, USER, "/a/b/"), {BY_PATH, EXIF_BY_ID}, id="a folder"
        ),
        pytest.param(
            lambda session: live_photos.same_content(session, USER, bytes(20)),
            {UPLOADED, IN_LIBRARY, BY_ID},
            id="a video by its content",
        ),
        pytest.param(
            lambda session: live_photos.other_half(session, USER, IDS[0], "IMAGE", "cid"),
            {BY_CONTENT_ID, BY_ID},
            id="the other half of a live photo",
        ),
        pytest.param(
            lambda session: timeline.month(session, TimelineFilter(owner_id=USER), MAY, JUNE),
            {IN_MONTH, EXIF_BY_ID},
            id="a month",
        ),
        pytest.param(
            lambda session: timeline.month(session, TimelineFilter(owner_id=USER, box=EUROPE), MAY, JUNE),
            {IN_MONTH, EXIF_BY_ID},
            id="a month on a part of the map",
        ),
        pytest.param(
            lambda session: places.markers(session, USER, MarkerFilter(since=MAY)),
            {SINCE, EXIF_BY_ID},
            id="the map since May",
        ),
    ],
)
def test_what_leaves_few_is_looked_up(database: Database, query: Query, steps: set[Step]) -> None:
    assert set(read(database, query)) == steps


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(lambda session: places.city_pictures(session, USER), id="a picture of every city"),
        pytest.param(
            lambda session: places.great_cities(session, USER, least=5, limit=12), id="a picture of the greatest cities"
        ),
    ],
)
def test_each_city_is_looked_up(database: Database, query: Query) -> None:
    names, *others = read(database, query)
    assert names == ("asset_exif", "ix_asset_exif_city (city>?)")
    assert set(others) == {BY_CITY, BY_ID}


@pytest.mark.parametrize(
    "query",
    [
        *[
            pytest.param(lambda session, kind=kind: places.suggestions(session, USER, kind, {}), id=f"every {kind}")
            for kind in WORDS
        ],
        pytest.param(lambda session: places.markers(session, USER, MarkerFilter()), id="the whole map"),
        pytest.param(
            lambda session: places.markers(session, USER, MarkerFilter(shared_albums=True)), id="the map with albums"
        ),
        pytest.param(
            lambda session: places.markers(session, USER, MarkerFilter(partners=True)), id="the map with partners"
        ),
        pytest.param(
            lambda session: asset_search.count(session, AssetFilter(owner_id=USER, equal={"make": "Canon"})),
            id="how many of a make",
        ),
        pytest.param(
            lambda session: asset_search.search(session, AssetFilter(owner_id=USER, equal={"rating": 5}), [], limit=9),
            id="those of a rating",
        ),
        pytest.param(
            lambda session: asset_search.search(
                session, AssetFilter(owner_id=USER), [Sorting(SortField.FILE_SIZE)], limit=9
            ),
            id="the largest",
        ),
    ],
)
def test_what_reads_most_of_a_table_reads_it_in_its_own_order(database: Database, query: Query) -> None:
    first, second = [step for step in read(database, query) if step[0] in ("asset", "asset_exif")][:2]
    assert (first, second) in [(("asset", None), EXIF_BY_ID), (("asset_exif", None), BY_ID)]


def read(database: Database, query: Query) -> list[Step]:
    """How SQLite reads tables in the statements that `query` runs, in the order of its plans."""
    return [step for statement, values in statements(database, query) for step in plan(database, statement, values)]


def statements(database: Database, query: Query) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        found.append((statement, values))

    event.listen(database.fast, "before_cursor_execute", note)
    with database.reader() as session:
        query(session)
    event.remove(database.fast, "before_cursor_execute", note)
    return [(statement, values) for statement, values in found if statement.startswith("SELECT")]


def plan(database: Database, statement: str, values: Any) -> Iterator[Step]:
    with database.reader() as session:
        rows = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        words = [str(row[3]) for row in rows]
    for line in words:
        found = re.match(
            r"(?:SEARCH|SCAN) (?:TABLE )?(asset\w*)(?: USING (?:COVERING )?INDEX (.+?))?(?: LEFT-JOIN)?$", line
        )
        if found is not None:
            yield found[1], found[2]
