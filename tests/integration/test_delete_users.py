"""Accounts that are deleted for good, on both databases: folders, rows, and what of it must not happen."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from cluster.db.tables.album import Album
from cluster.db.tables.asset import Asset, Library
from cluster.db.tables.base import Base
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.stack import Stack as StackRow
from cluster.db.tables.user import Session, User
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob
from tasks.jobs import delete_users
from tasks.jobs.delete_users import delete_folder, delete_user
from tests.inline_stack import Stack

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMPS = {"created_at": NOW, "updated_at": NOW}
FOLDERS = ("upload", "library", "profile", "thumbs", "encoded-video")


def add_user(stack: Stack, name: str, label: str | None = None) -> str:
    user_id = str(uuid.uuid4())
    row = {"id": user_id, "email": f"{name}@b.c", "profile_changed_at": NOW, "storage_label": label}
    with stack.database.session() as session:
        session.add(User(**row, **STAMPS))
    for folder in FOLDERS:
        file = stack.media / folder / (label if label and folder == "library" else user_id) / "aa" / "file.jpg"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x")
    return user_id


def files(stack: Stack) -> int:
    return sum(path.is_file() for path in stack.media.rglob("*"))


def mark_deleted(stack: Stack, user_id: str, days_ago: float) -> None:
    at = stack.clock.now() - timedelta(days=days_ago)
    with stack.database.session() as session:
        session.execute(update(User).where(User.id == user_id).values(deleted_at=at, status="deleted"))


def users(stack: Stack) -> set[str]:
    with stack.database.reader() as session:
        return set(session.scalars(select(User.id)))


def deleted_events(stack: Stack) -> list[str]:
    return [data["user_id"] for kind, data in stack.events() if kind == "user_delete"]


def run(stack: Stack, *jobs: NewJob) -> None:
    stack.enqueue(*jobs)
    stack.drain()
    assert stack.failed() == {}


def test_those_whose_time_is_over_go_with_everything_they_had(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete_users, "ASSETS_AT_ONCE", 2)
    gone, kept = add_user(stack, "gone", label="gone's"), add_user(stack, "kept")
    external = stack.media / "external.jpg"
    external.write_bytes(b"x")
    with stack.database.session() as session:
        session.add(Album(id="album", owner_id=gone, name="x", **STAMPS))
        session.add(Library(id="lib", owner_id=gone, name="x", import_paths=[], exclusion_patterns=[], **STAMPS))
        session.add(Session(id="session", token_sha256="x", user_id=gone, **STAMPS))
    assets = [stack.upload(f"{number}.jpg", b"x", library_id="lib" if number == 4 else None) for number in range(5)]
    with stack.store.transaction() as tx:
        stack.store.empty(tx, QueueName.METADATA_EXTRACTION)
        tx.execute(update(Asset).values(owner_id=gone))
        tx.add(StackRow(id="stack", owner_id=gone, primary_asset_id=assets[0], **STAMPS))
        tx.flush()
        tx.execute(update(Asset).where(Asset.id.in_(assets[:3])).values(stack_id="stack"))
        move = {"entity_id": assets[1], "path_type": "original", "old_path": "/a", "new_path": "/b"}
        tx.add(MoveHistory(id="move", **move, **STAMPS))
    stack.change(assets[4], original_path=str(external))
    mark_deleted(stack, gone, 7.1)
    before = files(stack)

    run(stack, NewJob(JobName.USER_DELETE_CHECK))

    assert users(stack) == {stack.owner, kept}
    assert deleted_events(stack) == [gone]
    with stack.database.reader() as session:
        left = {
            table.name: session.scalar(select(func.count()).select_from(table))
            for table in Base.metadata.sorted_tables
            if table.name in {"asset", "asset_exif", "album", "library", "session", "stack", "move_history"}
        }
    assert set(left.values()) == {0}
    assert files(stack) == before - len(FOLDERS) - 4  # uploads, which lie in another's folder
    assert external.exists()
    assert not (stack.media / "library" / "gone's").exists()
    assert (stack.media / "library" / kept).exists()


def test_a_former_label_decides_about_nobody_else_s_files(stack: Stack) -> None:
    """Ann's files stay where her former label put them, and Bob's new one is the same."""
    bob, label = add_user(stack, "bob", label="ann"), stack.media / "library" / "ann"
    photos = {}
    for name, owner in (("of ann", stack.owner), ("of bob", bob), ("of bob elsewhere", bob)):
        photos[name] = stack.media / "library" / ("bob" if "elsewhere" in name else "ann") / f"{name}.jpg"
        photos[name].parent.mkdir(parents=True, exist_ok=True)
        photos[name].write_bytes(b"x")
        asset_id = stack.upload("a.jpg", b"x")
        Path(stack.asset(asset_id).original_path).unlink()
        stack.change(asset_id, owner_id=owner, original_path=str(photos[name]))
    with stack.store.transaction() as tx:
        stack.store.empty(tx, QueueName.METADATA_EXTRACTION)
    mark_deleted(stack, bob, 8)

    run(stack, delete_user(bob))

    assert bob not in users(stack)
    assert [name for name, path in photos.items() if path.exists()] == ["of ann"]
    assert label.exists()


def test_who_was_deleted_lately_stays_until_their_time_is_over(stack: Stack) -> None:
    lately = add_user(stack, "lately")
    mark_deleted(stack, lately, 6.9)
    run(stack, NewJob(JobName.USER_DELETE_CHECK))
    run(stack, delete_user(lately))
    assert lately in users(stack)
    stack.set_config(user={"deleteDelay": 6})
    run(stack, NewJob(JobName.USER_DELETE_CHECK))
    assert lately not in users(stack)


def test_force_does_not_wait(stack: Stack) -> None:
    lately = add_user(stack, "lately")
    mark_deleted(stack, lately, 0)
    run(stack, delete_user(lately, force=True))
    assert lately not in users(stack)


def test_who_was_restored_lives_whatever_the_job_says(stack: Stack) -> None:
    user_id = add_user(stack, "back")
    before = files(stack)
    run(stack, delete_user(user_id, force=True))
    assert user_id in users(stack)
    assert files(stack) == before
    assert deleted_events(stack) == []


def test_a_deletion_that_has_begun_is_marked_and_goes_on(stack: Stack) -> None:
    user_id = add_user(stack, "gone")
    mark_deleted(stack, user_id, 8)
    stack.enqueue(delete_user(user_id))
    stack.dispatcher.tick()
    with stack.database.reader() as session:
        assert session.get_one(User, user_id).status == "removing"
    stack.set_config(user={"deleteDelay": 100})
    stack.drain()
    assert user_id not in users(stack)


def test_a_user_who_is_gone_is_no_failure(stack: Stack) -> None:
    run(stack, delete_user(str(uuid.uuid4()), force=True))
    assert deleted_events(stack) == []


def test_links_are_deleted_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (tmp_path / "other").symlink_to(outside)

    for name in ("folder", "other", "never"):
        delete_folder(tmp_path / name)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside"]
    assert (outside / "deep").exists()
