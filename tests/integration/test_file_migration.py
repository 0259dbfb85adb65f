"""Derived files find their way to where the layout wants them, on both databases, without Ray."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from cluster.db.tables.asset import AssetFile
from cluster.db.tables.person import Person
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob, asset_job
from tasks.jobs import migrate_files
from tests.move_stack import MoveStack, move_stack

ALL = NewJob(JobName.FILE_MIGRATION_QUEUE_ALL, {})
QUEUES = frozenset({QueueName.MIGRATION, QueueName.BACKGROUND_TASK})


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[MoveStack]:
    with move_stack(database_url, tmp_path / "media", QUEUES) as opened:
        yield opened


def add_file(
    stack: MoveStack, asset_id: str, kind: str, path: str, content: bytes | None = None, **flags: bool
) -> Path:
    """A derived file and its row; `path` below the media folder."""
    whole = stack.media / path
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_bytes(content if content is not None else kind.encode())
    now = stack.clock.now()
    with stack.database.session() as session:
        ids = {"id": str(uuid.uuid4()), "asset_id": asset_id}
        session.add(AssetFile(**ids, type=kind, path=str(whole), created_at=now, updated_at=now, **flags))
    return whole


def add_person(stack: MoveStack, owner: str, path: str) -> str:
    whole = stack.media / path
    whole.parent.mkdir(parents=True, exist_ok=True)
    whole.write_bytes(b"a face")
    person_id, now = str(uuid.uuid4()), stack.clock.now()
    with stack.database.session() as session:
        session.add(Person(id=person_id, owner_id=owner, thumbnail_path=str(whole), created_at=now, updated_at=now))
    return person_id


def derived(stack: MoveStack) -> set[str]:
    """Everything below thumbs and encoded-video."""
    tops = [stack.media / top for top in ("thumbs", "encoded-video")]
    return {str(path.relative_to(stack.media)) for top in tops for path in top.rglob("*") if path.is_file()}


def test_every_derived_file_moves_to_its_place_and_its_old_name_goes(stack: MoveStack) -> None:
    owner = stack.add_user()
    asset = stack.add_asset(owner, "a.heic")
    for kind, path in {
        "thumbnail": "thumbs/old/1.webp",
        "preview": "thumbs/old/1.jpeg",
        "fullsize": "thumbs/old/1.full",
        "encoded_video": "encoded-video/old/1.mp4",
        "sidecar": "upload/1.xmp",
    }.items():
        add_file(stack, asset, kind, path)
    add_file(stack, asset, "preview", "thumbs/old/1-edit.jpg", b"edited", is_edited=True)
    person = add_person(stack, owner, "thumbs/old/face.jpg")

    for _ in range(2):
        stack.enqueue(ALL)
        stack.run()

        start = f"{owner}/{asset[:2]}/{asset[2:4]}/{asset}"
        face = f"thumbs/{owner}/{person[:2]}/{person[2:4]}/{person}.jpeg"
        assert derived(stack) == {
            f"thumbs/{start}_thumbnail.webp",
            f"thumbs/{start}_preview.jpeg",
            f"thumbs/{start}_preview_edited.jpeg",
            f"thumbs/{start}_fullsize.jpeg",
            f"encoded-video/{start}.mp4",
            face,
        }
        with stack.database.reader() as session:
            rows = list(session.scalars(select(AssetFile)))
            assert session.scalars(select(Person.thumbnail_path)).one() == str(stack.media / face)
        for row in rows:
            assert Path(row.path).read_bytes() == (b"edited" if row.is_edited else row.type.encode())
        assert stack.files(asset)["sidecar"] == stack.media / "upload/1.xmp"
    assert stack.failed() == []


def test_the_format_that_is_set_gives_the_extension(stack: MoveStack) -> None:
    asset = stack.add_asset(stack.add_user(), "a.jpg")
    add_file(stack, asset, "preview", "thumbs/x.jpeg")
    stack.config["image"] = {"preview": {"format": "webp"}}

    stack.enqueue(asset_job(JobName.ASSET_FILE_MIGRATION, asset))
    stack.run()

    assert stack.files(asset)["preview"].name == f"{asset}_preview.webp"


def test_what_is_deleted_is_left_out_and_what_is_missing_stays(
    stack: MoveStack, caplog: pytest.LogCaptureFixture
) -> None:
    owner = stack.add_user()
    gone = stack.add_asset(owner, "a.jpg", deleted_at=stack.clock.now())
    missing = stack.add_asset(owner, "b.jpg")
    kept = add_file(stack, gone, "preview", "thumbs/gone.jpeg")
    add_file(stack, missing, "preview", "thumbs/missing.jpeg").unlink()

    stack.enqueue(ALL)
    stack.run()

    assert kept.is_file()
    assert stack.files(missing)["preview"].name == "missing.jpeg"
    assert "is not on disk" in caplog.text
    assert stack.failed() == []


def test_what_a_killed_run_left_at_the_new_place_makes_room(stack: MoveStack) -> None:
    owner = stack.add_user()
    assets = [stack.add_asset(owner, f"{number}.jpg") for number in range(2)]
    for number, asset in enumerate(assets):
        add_file(stack, asset, "preview", f"thumbs/{number}.jpeg", b"right")
        place = stack.media / f"thumbs/{owner}/{asset[:2]}/{asset[2:4]}/{asset}_preview.jpeg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes([b"right", b"wrong"][number])  # linked and not yet saved; of an older run

    stack.enqueue(ALL)
    stack.run()

    for asset in assets:
        path = stack.files(asset)["preview"]
        assert (path.name, path.read_bytes()) == (f"{asset}_preview.jpeg", b"right")
    assert len(derived(stack)) == 2


def test_all_are_walked_page_by_page_and_quiet_empty_folders_go(
    stack: MoveStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_files, "PAGE", 2)
    owner = stack.add_user()
    assets = [stack.add_asset(owner, f"{number}.jpg") for number in range(5)]
    people = [add_person(stack, owner, f"thumbs/{number}.jpg") for number in range(3)]
    old, young = stack.media / "thumbs/old/er", stack.media / "thumbs/young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    for folder in (old, old.parent):
        os.utime(folder, (0, time.time() - 1000))

    stack.enqueue(ALL)
    stack.run()

    ran = [name for name, _ in stack.seen]
    assert ran.count(JobName.ASSET_FILE_MIGRATION) == len(assets)
    assert ran.count(JobName.PERSON_FILE_MIGRATION) == len(people)
    assert (old.exists(), young.exists()) == (False, True)
    assert (stack.media / "thumbs").is_dir()
