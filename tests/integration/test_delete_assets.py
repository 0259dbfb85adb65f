"""Assets that are deleted for good, on both databases: rows, files, stacks, moving parts, quota, events."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cluster.db.tables.album import Album, AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif, AssetFile, Library
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.stack import Stack as StackRow
from cluster.db.tables.user import User
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob
from tasks import queue_all
from tasks.jobs import delete_assets
from tasks.jobs.delete_assets import delete_asset
from tasks.jobs.delete_files import delete_files
from tests.camera import photo
from tests.inline_stack import Stack, names_seen

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A_DAY = timedelta(days=1)


def upload(stack: Stack, name: str = "a.jpg", **columns: Any) -> str:
    """A photo as it is after its chain, with files of two kinds."""
    asset_id = stack.upload(name, b"photo", **columns)
    with stack.store.transaction() as tx:
        stack.store.empty(tx, QueueName.METADATA_EXTRACTION)
        for kind in ("preview", "thumbnail"):
            path = stack.media / "thumbs" / f"{asset_id}_{kind}.jpeg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"small")
            add_file(tx, asset_id, kind, path)
    return asset_id


def add_file(session: Session, asset_id: str, kind: str, path: Path) -> None:
    row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "type": kind, "path": str(path)}
    session.add(AssetFile(**row, created_at=NOW, updated_at=NOW))


def trash(stack: Stack, *asset_ids: str, days_ago: float = 0, status: str = "trashed", **columns: Any) -> None:
    at = stack.clock.now() - timedelta(days=days_ago)
    for asset_id in asset_ids:
        stack.change(asset_id, status=status, deleted_at=at, **columns)


def paths_of(stack: Stack, asset_id: str) -> list[Path]:
    return [Path(stack.asset(asset_id).original_path), *stack.files(asset_id).values()]


def remaining(stack: Stack) -> set[str]:
    with stack.database.reader() as session:
        return set(session.scalars(select(Asset.id)))


def usage(stack: Stack) -> int:
    with stack.database.reader() as session:
        return session.get_one(User, stack.owner).quota_usage_bytes


def deleted_events(stack: Stack) -> list[str]:
    return [data["asset_id"] for kind, data in stack.events() if kind == "asset_delete"]


def count(stack: Stack, table: type) -> int:
    with stack.database.reader() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def add_sidecar(stack: Stack, asset_id: str) -> Path:
    sidecar = Path(stack.asset(asset_id).original_path + ".xmp")
    sidecar.write_text("<x/>")
    with stack.database.session() as session:
        add_file(session, asset_id, "sidecar", sidecar)
    return sidecar


def delete(stack: Stack, *asset_ids: str, on_disk: bool = True) -> None:
    stack.enqueue(*(delete_asset(asset_id, delete_on_disk=on_disk) for asset_id in asset_ids))
    stack.drain()
    assert stack.failed() == {}


def test_rows_files_quota_and_moves_go_and_clients_hear_of_it(stack: Stack) -> None:
    asset_id, kept = upload(stack), upload(stack)
    files = [*paths_of(stack, asset_id), add_sidecar(stack, asset_id)]
    placed = stack.media / "upload" / "before.jpg"
    placed.write_bytes(b"x")
    with stack.database.session() as session:
        move = {"entity_id": asset_id, "path_type": "original", "old_path": str(placed), "new_path": str(files[0])}
        session.add(MoveHistory(id=str(uuid.uuid4()), **move, state="placed", created_at=NOW, updated_at=NOW))
        session.add(
            Album(
                id="album", owner_id=stack.owner, name="x", thumbnail_asset_id=asset_id, created_at=NOW, updated_at=NOW
            )
        )
        session.flush()
        session.add(AlbumAsset(album_id="album", asset_id=asset_id, created_at=NOW))
        size = session.scalar(select(AssetExif.file_size_bytes).where(AssetExif.asset_id == asset_id)) or 0
        session.execute(update(User).values(quota_usage_bytes=size + 7))
    assert len(files) == 4

    delete(stack, asset_id)

    assert remaining(stack) == {kept}
    assert not any(path.exists() for path in [*files, placed])
    assert all(path.exists() for path in paths_of(stack, kept))
    assert usage(stack) == 7
    assert deleted_events(stack) == [asset_id]
    assert (count(stack, MoveHistory), count(stack, AlbumAsset), count(stack, Album)) == (0, 0, 1)


def test_the_original_stays_where_the_job_says_so(stack: Stack) -> None:
    asset_id = upload(stack)
    original, *made = paths_of(stack, asset_id)
    sidecar = add_sidecar(stack, asset_id)

    delete(stack, asset_id, on_disk=False)

    assert remaining(stack) == set()
    assert original.exists()
    assert sidecar.exists()
    assert not any(path.exists() for path in made)


def test_the_original_of_an_offline_asset_stays(stack: Stack) -> None:
    asset_id = upload(stack)
    original, *_ = paths_of(stack, asset_id)
    stack.change(asset_id, is_offline=True)
    delete(stack, asset_id)
    assert original.exists()


def test_an_external_original_goes_but_never_counted(stack: Stack) -> None:
    asset_id = upload(stack)
    original, *_ = paths_of(stack, asset_id)
    with stack.database.session() as session:
        library = {"id": "library", "owner_id": stack.owner, "name": "x", "import_paths": [], "exclusion_patterns": []}
        session.add(Library(**library, created_at=NOW, updated_at=NOW))
        session.execute(update(User).values(quota_usage_bytes=5))
    stack.change(asset_id, library_id="library", is_external=True)
    delete(stack, asset_id)
    assert not original.exists()
    assert usage(stack) == 5


def test_usage_never_falls_below_nothing(stack: Stack) -> None:
    delete(stack, upload(stack))
    assert usage(stack) == 0


def test_an_asset_that_is_gone_is_no_failure(stack: Stack) -> None:
    asset_id = upload(stack)
    delete(stack, asset_id)
    delete(stack, asset_id)
    assert deleted_events(stack) == [asset_id]


def test_a_moving_part_goes_with_the_last_photo_that_shows_it(stack: Stack) -> None:
    video = upload(stack, "a.mov.jpg", visibility="hidden")
    one, two = upload(stack), upload(stack)
    for photo_id in (one, two):
        stack.change(photo_id, live_photo_video_id=video)
    original = Path(stack.asset(video).original_path)

    delete(stack, one)
    assert remaining(stack) == {two, video}
    delete(stack, two, on_disk=False)
    assert remaining(stack) == set()
    assert original.exists()
    assert deleted_events(stack) == [one, two, video]


def test_a_video_that_was_taken_out_of_a_photo_is_ours_to_delete(stack: Stack) -> None:
    photo_id, video = upload(stack), upload(stack, "a.mp4.jpg", visibility="hidden")
    taken_out = stack.media / "encoded-video" / stack.owner / f"{video}-MP.mp4"
    taken_out.parent.mkdir(parents=True)
    Path(stack.asset(video).original_path).rename(taken_out)
    stack.change(video, original_path=str(taken_out))
    stack.change(photo_id, live_photo_video_id=video)
    original = Path(stack.asset(photo_id).original_path)

    delete(stack, photo_id, on_disk=False)

    assert remaining(stack) == set()
    assert original.exists()
    assert not taken_out.exists()


def make_stack(stack: Stack, primary: str, *others: str) -> str:
    with stack.database.session() as session:
        session.add(
            StackRow(id="stack", owner_id=stack.owner, primary_asset_id=primary, created_at=NOW, updated_at=NOW)
        )
        session.flush()
        session.execute(update(Asset).where(Asset.id.in_([primary, *others])).values(stack_id="stack"))
    return "stack"


def primary_of(stack: Stack) -> str | None:
    with stack.database.reader() as session:
        return session.scalar(select(StackRow.primary_asset_id))


def stack_events(stack: Stack) -> int:
    return sum(kind == "stack_update" for kind, _ in stack.events())


def test_a_stack_of_which_one_would_be_left_is_dissolved(stack: Stack) -> None:
    primary, other = upload(stack), upload(stack)
    make_stack(stack, primary, other)
    delete(stack, primary)
    assert remaining(stack) == {other}
    assert (primary_of(stack), stack.asset(other).stack_id, stack_events(stack)) == (None, None, 1)


def test_a_stack_without_its_first_picture_shows_the_next_of_the_timeline(stack: Stack) -> None:
    primary, archived, later, earlier = (upload(stack) for _ in range(4))
    make_stack(stack, primary, archived, later, earlier)
    stack.change(archived, visibility="archive", file_created_at=NOW - 3 * A_DAY)
    stack.change(earlier, file_created_at=NOW - 2 * A_DAY)
    stack.change(later, file_created_at=NOW - A_DAY)

    delete(stack, primary)
    assert (primary_of(stack), stack_events(stack)) == (earlier, 1)
    delete(stack, later)
    assert (primary_of(stack), stack_events(stack)) == (earlier, 1)
    delete(stack, archived)
    assert (primary_of(stack), stack_events(stack), remaining(stack)) == (None, 2, {earlier})


def test_a_whole_stack_can_go_at_once(stack: Stack) -> None:
    members = [upload(stack) for _ in range(4)]
    make_stack(stack, *members)
    delete(stack, *members)
    assert (remaining(stack), primary_of(stack)) == (set(), None)


def test_emptying_the_trash_takes_what_was_deleted_of_all_users(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete_assets, "PAGE", 2)
    monkeypatch.setattr(queue_all, "PAGE", 2)
    deleted, trashed, kept = [upload(stack) for _ in range(5)], upload(stack), upload(stack)
    trash(stack, *deleted, status="deleted")
    trash(stack, trashed)
    stack.change(deleted[0], is_offline=True)

    stack.enqueue(NewJob(JobName.ASSET_EMPTY_TRASH))
    stack.drain()

    assert remaining(stack) == {trashed, kept}
    assert sorted(deleted_events(stack)) == sorted(deleted)


def test_the_nightly_check_takes_what_was_in_the_trash_long_enough(stack: Stack) -> None:
    fresh, old, offline, kept = (upload(stack) for _ in range(4))
    trash(stack, fresh, days_ago=29.9)
    trash(stack, old, days_ago=30.1)
    trash(stack, offline, days_ago=31, status="active", is_offline=True)
    on_disk = Path(stack.asset(offline).original_path)

    stack.enqueue(NewJob(JobName.ASSET_DELETE_CHECK))
    stack.drain()

    assert remaining(stack) == {fresh, kept}
    assert on_disk.exists()


def test_what_is_taken_out_of_the_trash_in_time_stays(stack: Stack) -> None:
    asset_id = upload(stack)
    trash(stack, asset_id, days_ago=31)
    stack.enqueue(NewJob(JobName.ASSET_DELETE_CHECK))
    stack.dispatcher.tick()
    assert remaining(stack) == {asset_id}

    stack.change(asset_id, status="active", deleted_at=None)
    stack.drain()

    assert remaining(stack) == {asset_id}
    assert all(path.exists() for path in paths_of(stack, asset_id))
    assert deleted_events(stack) == []
    trash(stack, asset_id, days_ago=31)
    stack.enqueue(NewJob(JobName.ASSET_DELETE_CHECK))
    stack.drain()
    assert remaining(stack) == set()


@pytest.mark.parametrize("trash_config", [{"enabled": False}, {"days": 0}])
def test_without_a_trash_everything_in_it_goes_at_the_next_check(stack: Stack, trash_config: dict[str, Any]) -> None:
    stack.set_config(trash=trash_config)
    fresh, kept = upload(stack), upload(stack)
    trash(stack, fresh)
    stack.enqueue(NewJob(JobName.ASSET_DELETE_CHECK))
    stack.drain()
    assert remaining(stack) == {kept}


def test_a_path_that_another_row_names_is_kept(stack: Stack) -> None:
    asset_id, other = upload(stack), upload(stack)
    shared = stack.asset(other).original_path
    stack.change(asset_id, original_path=shared)
    delete(stack, asset_id)
    assert Path(shared).exists()


def test_more_files_than_a_statement_takes_go_at_once(stack: Stack) -> None:
    last = stack.media / "last.jpg"
    stack.media.mkdir(parents=True, exist_ok=True)
    last.write_bytes(b"x")
    stack.enqueue(delete_files([*(f"/never/{number}" for number in range(40_000)), str(last)]))
    stack.drain()
    assert stack.failed() == {}
    assert not last.exists()


def test_the_job_carries_immich_s_payload_and_waits_once(stack: Stack) -> None:
    job = delete_asset("some-id", delete_on_disk=True)
    assert job.payload == {"id": "some-id", "deleteOnDisk": True}
    stack.enqueue(job, delete_asset("some-id", delete_on_disk=True))
    stack.drain()
    assert names_seen(stack, "some-id") == [JobName.ASSET_DELETE]


def test_the_chain_of_a_deleted_asset_ends_quietly(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.enqueue(delete_asset(asset_id, delete_on_disk=True))
    stack.drain()
    assert stack.failed() == {}
    assert remaining(stack) == set()
    assert [path for path in (stack.media / "thumbs").rglob("*") if path.is_file()] == []
