"""Nightly and manual clean-ups on both databases: each deletes what it should and nothing else."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from cluster.db.tables.asset import Asset, Library
from cluster.db.tables.job import Event
from cluster.db.tables.memory import Memory, MemoryAsset
from cluster.db.tables.person import AssetFace, Person
from cluster.db.tables.sync import SyncChange
from cluster.db.tables.tag import Tag, TagAsset
from cluster.db.tables.user import Session, User
from cluster.names import JobName, QueueName
from cluster.queue.job import NewEvent, NewJob
from cluster.settings import read_settings
from cluster.system_config import defaults
from tasks.jobs import clean_up_history, clean_up_people
from tasks.timetable import nightly_jobs
from tests.camera import photo
from tests.inline_stack import Stack

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMPS = {"created_at": NOW, "updated_at": NOW}


def run(stack: Stack, name: JobName) -> None:
    stack.enqueue(NewJob(name))
    stack.drain()
    assert stack.failed() == {}


def add(stack: Stack, *rows: object) -> None:
    with stack.database.session() as session:
        for row in rows:
            session.add(row)
            session.flush()


def ids(stack: Stack, table: type) -> set[str]:
    with stack.database.reader() as session:
        return {row.id for row in session.scalars(select(table))}


def asset(stack: Stack, **columns: object) -> str:
    """Without its chain."""
    asset_id = stack.upload("a.jpg", b"photo", **columns)
    with stack.store.transaction() as tx:
        stack.store.empty(tx, QueueName.METADATA_EXTRACTION)
    return asset_id


def person(stack: Stack, name: str) -> Path:
    """Somebody with a picture."""
    picture = stack.media / f"{name}.jpeg"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(b"face")
    add(stack, Person(id=name, owner_id=stack.owner, name=name, thumbnail_path=str(picture), **STAMPS))
    return picture


def face(stack: Stack, asset_id: str, of: str, *, deleted: bool = False, visible: bool = True) -> None:
    row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "person_id": of, "is_visible": visible}
    add(stack, AssetFace(**row, deleted_at=NOW if deleted else None, **STAMPS))


def test_a_whole_night_runs_through_and_leaves_a_library_as_it_was(stack: Stack) -> None:
    stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    night = nightly_jobs(defaults(read_settings({"HOME": "/"})))
    stack.seen.clear()
    stack.enqueue(*night)
    stack.drain()
    assert stack.failed() == {}
    assert {name for name, _ in stack.seen} == {job.name for job in night}
    assert len(ids(stack, Asset)) == 1


def test_people_without_a_face_to_see_go_with_their_pictures(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_up_people, "PAGE", 2)
    photo = asset(stack)
    pictures = {name: person(stack, name) for name in ("ada", "bob", "cid", "dan", "eve")}
    face(stack, photo, "ada")
    face(stack, photo, "bob", deleted=True)
    face(stack, photo, "cid", visible=False)
    face(stack, photo, "eve")
    face(stack, photo, "eve", deleted=True)

    run(stack, JobName.PERSON_CLEANUP)

    assert ids(stack, Person) == {"ada", "eve"}
    assert {name for name, picture in pictures.items() if picture.exists()} == {"ada", "eve"}


def test_tags_that_nothing_hangs_on_go_and_those_above_used_ones_stay(stack: Stack) -> None:
    photo = asset(stack)
    tree = {"a": None, "a/b": "a", "a/b/c": "a/b", "a/x": "a", "y": None, "y/z": "y", "w": None}
    add(
        stack, *(Tag(id=tag, owner_id=stack.owner, value=tag, parent_id=above, **STAMPS) for tag, above in tree.items())
    )
    add(stack, TagAsset(tag_id="a/b/c", asset_id=photo), TagAsset(tag_id="w", asset_id=photo))

    run(stack, JobName.TAG_CLEANUP)

    assert ids(stack, Tag) == {"a", "a/b", "a/b/c", "w"}


def test_sessions_that_ran_out_or_were_left_alone_end(stack: Stack) -> None:
    now = stack.clock.now()

    def session(name: str, idle_days: float, expires_days: float | None = None) -> Session:
        expires_at = None if expires_days is None else now + timedelta(days=expires_days)
        used_at = now - timedelta(days=idle_days)
        row = {"id": name, "token_sha256": name, "user_id": stack.owner, "expires_at": expires_at}
        return Session(**row, created_at=NOW, updated_at=used_at)

    add(
        stack,
        session("used", 1),
        session("used and in time", 1, 1),
        session("nearly idle", 89.9),
        session("idle", 90.1),
        session("idle and in time", 91, 300),
        session("over", 0, -0.01),
    )

    run(stack, JobName.SESSION_CLEANUP)

    assert ids(stack, Session) == {"used", "used and in time", "nearly idle"}


def test_what_only_tells_of_the_past_goes_to_the_last_row(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_up_history, "ROWS_PER_TICK", 2)
    with stack.store.transaction() as tx:
        stack.store.emit(tx, [NewEvent(f"old {number}") for number in range(5)])
    with stack.database.session() as session:
        session.execute(update(Event).values(at=stack.clock.now() - timedelta(days=15)))
    with stack.store.transaction() as tx:
        stack.store.emit(tx, [NewEvent("new")])

    run(stack, JobName.AUDIT_TABLE_CLEANUP)

    assert [kind for kind, _ in stack.events()] == ["new"]


def test_clients_are_told_for_a_month_of_what_is_gone(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_up_history, "ROWS_PER_TICK", 2)
    with stack.database.session() as session:
        session.execute(delete(SyncChange))

    def line(key: str, days_ago: float | None) -> SyncChange:
        deleted_at = None if days_ago is None else stack.clock.now() - timedelta(days=days_ago)
        return SyncChange(tx=0, entity="asset", key=key, scope=stack.owner, deleted_at=deleted_at)

    add(stack, line("there", None), line("young", 30.9), *(line(f"old {number}", 31.1) for number in range(5)))

    run(stack, JobName.AUDIT_TABLE_CLEANUP)

    with stack.database.reader() as session:
        assert set(session.scalars(select(SyncChange.key))) == {"there", "young"}


def memory(stack: Stack, name: str, days_ago: float, *, saved: bool = False) -> Memory:
    made_at = stack.clock.now() - timedelta(days=days_ago)
    row = {"id": name, "owner_id": stack.owner, "type": "on_this_day", "data": {"year": 2020}, "memory_at": NOW}
    return Memory(**row, is_saved=saved, created_at=made_at, updated_at=made_at)


def test_old_memories_go_and_new_ones_lose_what_left_the_timeline(stack: Stack) -> None:
    shown, archived = asset(stack), asset(stack, visibility="archive")
    add(stack, memory(stack, "new", 29), memory(stack, "old", 31), memory(stack, "saved", 31, saved=True))
    add(stack, *(MemoryAsset(memory_id=name, asset_id=one) for name in ("new", "saved") for one in (shown, archived)))

    run(stack, JobName.MEMORY_CLEANUP)

    assert ids(stack, Memory) == {"new", "saved"}
    with stack.database.reader() as session:
        left = {(row.memory_id, row.asset_id) for row in session.scalars(select(MemoryAsset))}
    assert left == {("new", shown), ("saved", shown)}


def test_usage_is_counted_anew_for_each_user(stack: Stack) -> None:
    size = len(b"photo")
    other = {"id": "other", "email": "o@b.c", "profile_changed_at": NOW, "quota_usage_bytes": 99}
    add(stack, User(**other, **STAMPS))
    library = {"id": "lib", "owner_id": stack.owner, "name": "x", "import_paths": [], "exclusion_patterns": []}
    add(stack, Library(**library, **STAMPS))
    asset(stack), asset(stack, status="trashed", deleted_at=NOW), asset(stack, visibility="hidden")
    asset(stack, library_id="lib", is_external=True)

    run(stack, JobName.USER_SYNC_USAGE)

    with stack.database.reader() as session:
        usage = {user.id: user.quota_usage_bytes for user in session.scalars(select(User))}
    assert usage == {stack.owner: 3 * size, "other": 0}
    assert len(ids(stack, Asset)) == 4
