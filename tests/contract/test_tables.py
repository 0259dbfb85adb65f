"""What the tables promise on both databases: what goes with what, what is unique, and which index serves which walk."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.db import tables
from cluster.db.engine import Database
from cluster.db.tables.album import Album, AlbumAsset, AlbumUser
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.base import Base, FilePath
from cluster.db.tables.integrity import IntegrityReport
from cluster.db.tables.memory import Memory, MemoryAsset
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.person import AssetFace, Person
from cluster.db.tables.stack import Stack
from cluster.db.tables.tag import Tag, TagAsset
from cluster.db.tables.user import User
from cluster.db.tables.video import VideoEncoding, VideoSegment

assert tables  # importing them completes the metadata
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TABLES = dict(Base.metadata.tables)
WRITTEN_BY_TRIGGERS = {"sync_change", "system_metadata"}
STAMPS = {"created_at": NOON, "updated_at": NOON}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    with opened.session() as session:
        for name in ("ann", "bob"):
            session.add(User(id=name, email=name, profile_changed_at=NOON, **STAMPS))
    yield opened
    opened.close()


def add(session: Session, *rows: Base) -> None:
    """One after the other: the models know no order of their own."""
    for row in rows:
        session.add(row)
        session.flush()


def asset(asset_id: str, path: str = "/a.jpg") -> Asset:
    times = {"file_created_at": NOON, "file_modified_at": NOON, "local_date_time": NOON}
    return Asset(
        **{"id": asset_id, "owner_id": "ann", "type": "IMAGE", "original_path": path, "original_file_name": "a.jpg"},
        **{"checksum": asset_id.encode()},
        **times,
        **STAMPS,
    )


def an_asset_in_everything(session: Session) -> None:
    """Asset `1` is in an album, a memory, a report, has a tag, a file, a face, and is being encoded in parts."""
    add(session, asset("1"), Person(id="eve", owner_id="ann", **STAMPS))
    add(session, AssetFace(id="face", asset_id="1", person_id="eve", **STAMPS))
    session.execute(update(Person).values(face_asset_id="face"))
    add(session, Tag(id="t", owner_id="ann", value="t", **STAMPS), TagAsset(tag_id="t", asset_id="1"))
    add(session, Album(id="a", owner_id="ann", name="a", thumbnail_asset_id="1", **STAMPS))
    add(session, AlbumAsset(album_id="a", asset_id="1", created_at=NOON))
    add(session, AlbumUser(album_id="a", user_id="bob", created_at=NOON))
    memory = Memory(id="m", owner_id="ann", type="on_this_day", data={"year": 2019}, memory_at=NOON, **STAMPS)
    add(session, memory, MemoryAsset(memory_id="m", asset_id="1"))
    add(session, AssetFile(id="f", asset_id="1", type="preview", path="/p", **STAMPS))
    add(session, IntegrityReport(id="r", type="missing_file", path="/p", asset_file_id="f", created_at=NOON))
    add(session, VideoEncoding(asset_id="1", fingerprint="x", plan={"crf": 23}, **STAMPS))
    add(session, VideoSegment(asset_id="1", kind="video", number=0, start_pts=0, frame_count=25, updated_at=NOON))


def rows(session: Session) -> dict[str, int]:
    """How many rows each table has, those without any left out; but for what the triggers write."""
    tables = {name: table for name, table in TABLES.items() if name not in WRITTEN_BY_TRIGGERS}
    counted = {name: session.scalar(select(func.count()).select_from(table)) for name, table in tables.items()}
    return {name: count for name, count in counted.items() if count}


def test_an_asset_goes_with_all_that_is_about_it(database: Database) -> None:
    with database.session() as session:
        an_asset_in_everything(session)
        session.execute(delete(Asset))
        session.expire_all()
        assert rows(session) == {"user": 2, "person": 1, "tag": 1, "album": 1, "album_user": 1, "memory": 1}
        assert session.scalars(select(Person.face_asset_id)).one() is None
        assert session.scalars(select(Album.thumbnail_asset_id)).one() is None


def test_a_user_goes_with_all_that_is_theirs(database: Database) -> None:
    with database.session() as session:
        an_asset_in_everything(session)
        add(session, Stack(id="s", owner_id="ann", primary_asset_id="1", **STAMPS))
        session.execute(update(Asset).values(stack_id="s"))
        session.execute(delete(User).where(User.id == "ann"))
        assert rows(session) == {"user": 1}


def test_a_face_outlives_its_person_and_a_person_their_face(database: Database) -> None:
    with database.session() as session:
        an_asset_in_everything(session)
        session.execute(delete(Person))
        assert session.execute(select(AssetFace.id, AssetFace.person_id)).all() == [("face", None)]
        add(session, Person(id="kim", owner_id="ann", face_asset_id="face", **STAMPS))
        session.execute(delete(AssetFace))
        assert session.execute(select(Person.id, Person.face_asset_id)).all() == [("kim", None)]


def test_a_stack_goes_with_its_primary_and_frees_the_others(database: Database) -> None:
    with database.session() as session:
        add(session, asset("1"), asset("2"), Stack(id="s", owner_id="ann", primary_asset_id="1", **STAMPS))
        session.execute(update(Asset).values(stack_id="s"))
        session.execute(delete(Asset).where(Asset.id == "1"))
        assert session.execute(select(Asset.id, Asset.stack_id)).all() == [("2", None)]
        assert session.scalars(select(Stack)).all() == []


def test_a_tag_goes_with_the_tags_below_it(database: Database) -> None:
    with database.session() as session:
        add(session, Tag(id="1", owner_id="ann", value="Places", **STAMPS))
        add(session, Tag(id="2", owner_id="ann", value="Places/Rome", parent_id="1", **STAMPS))
        add(session, Tag(id="3", owner_id="bob", value="Places", **STAMPS))
        session.execute(delete(Tag).where(Tag.id == "1"))
        assert session.scalars(select(Tag.id)).all() == ["3"]


def move(move_id: str, **other: str) -> MoveHistory:
    values = {"entity_id": move_id, "path_type": "original", "old_path": "/old", "new_path": f"/new/{move_id}"}
    return MoveHistory(id=move_id, **(values | other), **STAMPS)


def report(report_id: str, **other: str) -> IntegrityReport:
    return IntegrityReport(id=report_id, **({"type": "untracked_file", "path": "/x"} | other), created_at=NOON)


@pytest.mark.parametrize(
    ("first", "same"),
    [
        (Tag(id="1", owner_id="ann", value="x", **STAMPS), Tag(id="2", owner_id="ann", value="x", **STAMPS)),
        (move("1"), move("2", new_path="/new/1")),
        (move("1"), move("2", entity_id="1")),
        (report("1"), report("2")),
    ],
    ids=["tag of a user", "place of a move", "move of a file", "report of a path"],
)
def test_what_is_unique_is_refused_twice(database: Database, first: Base, same: Base) -> None:
    def values(row: Base) -> dict[str, object]:
        return {name: value for name, value in vars(row).items() if not name.startswith("_")}

    table = type(first)
    with database.session() as session:
        session.execute(insert(table).values(values(first)))
    with pytest.raises(IntegrityError), database.session() as session:
        session.execute(insert(table).values(values(same)))


def test_files_of_one_asset_move_together(database: Database) -> None:
    with database.session() as session:
        add(session, move("1"), move("2", entity_id="1", path_type="sidecar"), report("1"))
        add(session, report("2", type="checksum_mismatch"))
        assert session.scalars(select(MoveHistory.state)).all() == ["intended", "intended"]


def test_the_plan_of_an_encode_comes_back_as_it_was(database: Database) -> None:
    with database.session() as session:
        an_asset_in_everything(session)
        session.expire_all()
        assert session.get_one(VideoEncoding, "1").plan == {"crf": 23}
        assert session.get_one(VideoSegment, ("1", "video", 0)).state == "waiting"


def test_paths_are_ordered_as_python_orders_them(database: Database) -> None:
    paths = ["/B/a.jpg", "/a b.jpg", "/a/b.jpg", "/a-b.jpg", "/Ä.jpg", "/_.jpg", "/z.jpg", "/😀.jpg", "/\uff21.jpg"]
    with database.session() as session:
        add(session, *(asset(str(number), path) for number, path in enumerate(paths)))
        assert session.scalars(select(Asset.original_path).order_by(Asset.original_path)).all() == sorted(paths)


def test_paths_are_ordered_so_on_a_server_of_any_locale(postgres_database_url: str) -> None:
    database = Database(postgres_database_url)
    with database.fast.connect() as connection:
        inspector = inspect(connection)
        for name, table in TABLES.items():
            found = {column["name"]: column["type"] for column in inspector.get_columns(name)}
            for column in table.columns:
                if column.type is FilePath:
                    assert getattr(found[column.name], "collation", None) == "C", f"{name}.{column.name}"
    database.close()


@pytest.mark.parametrize(
    ("index", "query"),
    [
        (
            "ix_asset_timeline",
            "SELECT count(*) FROM asset WHERE owner_id = :x AND visibility = :x AND deleted_at IS NULL "
            "AND local_date_time >= :time",
        ),
        (
            "ix_asset_trash",
            "SELECT id FROM asset WHERE owner_id = :x AND status = :x AND deleted_at IS NOT NULL",
        ),
        ("ix_asset_trash", "SELECT id FROM asset WHERE deleted_at <= :time"),
        ("ix_asset_trash", "SELECT id FROM asset WHERE status = :x AND deleted_at IS NOT NULL"),
        (
            "ix_asset_library_path",
            "SELECT id FROM asset WHERE library_id = :x AND original_path > :x ORDER BY original_path LIMIT 9",
        ),
        (
            "ix_asset_created_at",
            "SELECT id FROM asset WHERE (created_at, id) > (:time, :x) ORDER BY created_at, id LIMIT 9",
        ),
        ("ix_asset_live_photo_video_id", "SELECT id FROM asset WHERE live_photo_video_id = :x"),
        ("ix_asset_stack_id", "SELECT id FROM asset WHERE stack_id = :x"),
        ("ix_asset_exif_city", "SELECT asset_id FROM asset_exif WHERE city = :x"),
        ("ix_asset_exif_live_photo_cid", "SELECT asset_id FROM asset_exif WHERE live_photo_cid = :x"),
        ("ix_asset_face_person_id", "SELECT asset_id FROM asset_face WHERE person_id = :x"),
        ("ix_tag_asset_tag_id", "SELECT asset_id FROM tag_asset WHERE tag_id = :x"),
    ],
)
def test_each_walk_has_its_index(database: Database, index: str, query: str) -> None:
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    with database.reader() as session:
        if not database.is_sqlite:
            session.execute(text("SET LOCAL enable_seqscan = off"))
        values = {"x": "x"} | ({"time": NOON} if ":time" in query else {})
        plan = "\n".join(str(row) for row in session.execute(text(explain + query), values))
    assert index in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
