"""Originals, sidecars and motion parts where the storage template wants them, on both databases, without Ray."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.user import User
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob, asset_job
from cluster.queue.store import Finish
from tasks.jobs import migrate_library
from tests.move_stack import TAKEN, MoveStack, move_stack

LIBRARY = NewJob(JobName.STORAGE_TEMPLATE_MIGRATION, {})
SINGLE = JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[MoveStack]:
    with move_stack(database_url, tmp_path / "media") as opened:
        yield opened


def test_an_upload_moves_with_its_sidecar_before_its_thumbnails(stack: MoveStack) -> None:
    stack.set_template()
    ann = stack.add_user("ann")
    photo = stack.add_asset(ann, "IMG_1.JPEG", b"a photo", sidecar=b"<xmp/>")
    stack.enqueue(asset_job(SINGLE, photo, source="upload"))

    stack.run()

    assert stack.place(photo) == "library/ann/2021/2021-07-14/IMG_1.jpg"
    assert stack.path(photo).read_bytes() == b"a photo"
    assert stack.files(photo)["sidecar"].read_bytes() == b"<xmp/>"
    assert (
        stack.on_disk()
        == stack.named()
        == {
            "library/ann/2021/2021-07-14/IMG_1.jpg",
            "library/ann/2021/2021-07-14/IMG_1.jpg.xmp",
        }
    )
    assert stack.moves() == []
    assert [job.name for job in stack.waiting(QueueName.THUMBNAIL_GENERATION)] == [JobName.ASSET_GENERATE_THUMBNAILS]


def test_without_a_template_nothing_moves_and_the_chain_goes_on(stack: MoveStack) -> None:
    photo = stack.add_asset(stack.add_user(), "a.jpg")
    stack.enqueue(asset_job(SINGLE, photo, source="upload"), LIBRARY)

    stack.run()

    assert stack.place(photo).startswith("upload/")
    assert len(stack.waiting(QueueName.THUMBNAIL_GENERATION)) == 1


def test_a_live_photo_takes_its_motion_part_along(stack: MoveStack) -> None:
    stack.set_template("{{album}}/{{filename}}")
    ann = stack.add_user()
    video = stack.add_asset(ann, "OTHER.MOV", type="VIDEO", visibility="hidden")
    photo = stack.add_asset(ann, "IMG_2.HEIC", live_photo_video_id=video)
    stack.add_album(ann, "At the sea.", photo)
    stack.enqueue(asset_job(SINGLE, video, source="upload"))
    stack.run()
    assert stack.place(video).startswith("upload/")
    assert stack.waiting(QueueName.THUMBNAIL_GENERATION) == []  # as specified: a hidden one's chain ends

    stack.enqueue(asset_job(SINGLE, photo, source="upload"))
    stack.run()

    assert stack.place(photo) == f"library/{ann}/At the sea/IMG_2.heic"
    assert stack.place(video) == f"library/{ann}/At the sea/IMG_2.mov"
    assert stack.on_disk() == stack.named()


@pytest.mark.parametrize("whole", [True, False])
def test_files_of_one_name_get_numbers_and_keep_them(stack: MoveStack, whole: bool) -> None:
    stack.set_template()
    ann, bob = stack.add_user("ann"), stack.add_user("bob")
    assets = [stack.add_asset(ann, "IMG.jpg", sidecar=b"s" if number == 1 else None) for number in range(4)]
    of_bob = stack.add_asset(bob, "IMG.jpg")

    for _ in range(2):  # a second run finds all in place
        stack.enqueue(*([LIBRARY] if whole else [asset_job(SINGLE, one) for one in [*assets, of_bob]]))
        stack.run()

        places = {stack.place(one) for one in assets}
        assert places == {f"library/ann/2021/2021-07-14/IMG{number}.jpg" for number in ("", "+1", "+2", "+3")}
        assert stack.place(of_bob) == "library/bob/2021/2021-07-14/IMG.jpg"
        assert stack.on_disk() == stack.named()
        assert stack.files(assets[1])["sidecar"] == Path(f"{stack.path(assets[1])}.xmp")
    assert stack.failed() == []


def test_what_no_row_knows_is_never_overwritten(stack: MoveStack) -> None:
    stack.set_template()
    ann = stack.add_user("ann")
    folder = stack.library / "ann/2021/2021-07-14"
    folder.mkdir(parents=True)
    strangers = {folder / name: name.encode() for name in ("a.jpg", "a+1.jpg", "a+3.jpg", "b.jpg.xmp", "c.jpg")}
    for path, content in strangers.items():
        path.write_bytes(content)
    first, second = stack.add_asset(ann, "a.jpg"), stack.add_asset(ann, "b.jpg", sidecar=b"mine")
    same = stack.add_asset(ann, "c.jpg", b"c.jpg")  # a whole copy lies there: an earlier server's move, cut short

    stack.enqueue(LIBRARY)
    stack.run()

    assert stack.place(first) == "library/ann/2021/2021-07-14/a+4.jpg"
    assert stack.place(second) == "library/ann/2021/2021-07-14/b+1.jpg"
    assert stack.files(second)["sidecar"].name == "b+1.jpg.xmp"
    assert stack.place(same) == "library/ann/2021/2021-07-14/c.jpg"
    assert {path: path.read_bytes() for path in strangers} == strangers
    assert stack.on_disk() == stack.named() | {str(path.relative_to(stack.media)) for path in strangers}


def test_a_place_that_a_row_names_is_not_given_away_though_its_file_is_missing(stack: MoveStack) -> None:
    stack.set_template()
    ann = stack.add_user("ann")
    missing = str(stack.library / "ann/2021/2021-07-14/a.jpg")
    stack.add_asset(ann, "a.jpg", original_path=missing)
    other = stack.add_asset(ann, "a.jpg")

    stack.enqueue(asset_job(SINGLE, other))
    stack.run()

    assert stack.place(other) == "library/ann/2021/2021-07-14/a+1.jpg"


def test_a_whole_run_moves_what_is_shown_and_removes_empty_folders(
    stack: MoveStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_library, "PAGE", 3)
    monkeypatch.setattr(migrate_library, "OLD_NAMES_PAGE", 2)
    ann = stack.add_user("ann")
    stack.set_template("old/{{filename}}")
    shown = [stack.add_asset(ann, f"{number}.jpg") for number in range(8)]
    stack.enqueue(LIBRARY)
    stack.run()
    assert {stack.place(one) for one in shown} == {f"library/ann/old/{number}.jpg" for number in range(8)}
    hidden = stack.add_asset(ann, "hidden.jpg", visibility="hidden")
    trashed = stack.add_asset(ann, "trashed.jpg", deleted_at=datetime.now(UTC))
    external = stack.add_asset(ann, "external.jpg", is_external=True)
    sizeless = stack.add_asset(ann, "sizeless.jpg", exif={"file_size_bytes": None})
    (stack.library / "ann/empty/deep").mkdir(parents=True)
    before = {one: stack.place(one) for one in (hidden, trashed, external, sizeless)}

    stack.set_template("new/{{filename}}")
    stack.enqueue(LIBRARY)
    stack.run()

    assert {stack.place(one) for one in shown} == {f"library/ann/new/{number}.jpg" for number in range(8)}
    assert {one: stack.place(one) for one in before} == before
    assert stack.on_disk() == stack.named()
    assert [path.name for path in (stack.library / "ann").iterdir()] == ["new"]
    assert (stack.moves(), stack.failed()) == ([], [])


def test_a_new_label_takes_the_whole_library_along(stack: MoveStack) -> None:
    stack.set_template("{{filename}}")
    ann = stack.add_user()
    photo = stack.add_asset(ann, "a.jpg")
    stack.enqueue(LIBRARY)
    stack.run()
    assert stack.place(photo) == f"library/{ann}/a.jpg"

    with stack.database.session() as session:
        session.execute(update(User).values(storage_label="annie"))
    stack.enqueue(LIBRARY)
    stack.run()

    assert stack.place(photo) == "library/annie/a.jpg"
    assert [path.name for path in stack.library.iterdir()] == ["annie"]


def test_the_old_name_stays_while_a_job_may_still_read_it(stack: MoveStack) -> None:
    stack.set_template()
    photo = stack.add_asset(stack.add_user("ann"), "a.jpg")
    old = stack.path(photo)
    reading = asset_job(JobName.ASSET_EXTRACT_METADATA, photo)
    stack.enqueue(reading)
    with stack.store.transaction() as tx:  # somebody has it in hand
        [lease] = stack.store.lease(tx, QueueName.METADATA_EXTRACTION, 1, 600, "other", "1")
    stack.enqueue(asset_job(SINGLE, photo))

    for _ in range(6):
        stack.tick()
    assert stack.path(photo) != old
    assert old.is_file()
    stack.set_template("elsewhere/{{filename}}")
    stack.enqueue(asset_job(SINGLE, photo))
    for _ in range(6):
        stack.tick()
    assert stack.place(photo).startswith("library/ann/2021")  # it waits for the reader, too

    with stack.store.transaction() as tx:
        stack.store.settle(tx, [Finish(lease)])
    stack.run()
    assert stack.place(photo) == "library/ann/elsewhere/a.jpg"
    assert stack.on_disk() == stack.named()


def test_an_old_name_that_nobody_was_told_to_take_away_goes_before_the_next_move(stack: MoveStack) -> None:
    stack.set_template()
    photo = stack.add_asset(stack.add_user("ann"), "a.jpg")
    stack.enqueue(asset_job(SINGLE, photo))
    stack.tick()
    assert [state for state, _ in stack.moves()] == ["placed"]
    with stack.store.transaction() as tx:  # as a person does who clears the queue
        stack.store.promote_due(tx)
        stack.clock.sleep(30)
        stack.store.promote_due(tx)
        stack.store.empty(tx, QueueName.STORAGE_TEMPLATE_MIGRATION)
    stack.set_template("{{y}}/{{filename}}")
    stack.enqueue(asset_job(SINGLE, photo))

    stack.run(10)

    assert stack.place(photo) == "library/ann/2021/a.jpg"
    assert stack.on_disk() == stack.named()
    assert stack.moves() == []


def test_what_cannot_move_stays_with_a_warning_and_the_chain_goes_on(
    stack: MoveStack, caplog: pytest.LogCaptureFixture
) -> None:
    stack.set_template("{{album-startDate-y}}/{{filename}}")
    ann = stack.add_user("ann")
    without_album = stack.add_asset(ann, "a.jpg")
    missing = stack.add_asset(ann, "missing.jpg")
    stack.add_album(ann, "x", missing)
    stack.path(missing).unlink()
    stack.enqueue(*(asset_job(SINGLE, one, source="upload") for one in (without_album, missing)))

    stack.run()

    assert stack.place(without_album).startswith("upload/")
    assert "there is no album" in caplog.text
    assert "is not on disk" in caplog.text
    assert len(stack.waiting(QueueName.THUMBNAIL_GENERATION)) == 2
    assert (stack.moves(), stack.failed()) == ([], [])


def test_the_first_album_of_the_owner_counts(stack: MoveStack) -> None:
    stack.set_template(
        "{{#if album}}{{album-startDate-y}}-{{album-endDate-y}}/{{album}}{{else}}none{{/if}}/{{filename}}"
    )
    ann, bob = stack.add_user("ann"), stack.add_user("bob")
    photo = stack.add_asset(ann, "a.jpg")
    other = stack.add_asset(ann, "b.jpg", file_created_at=TAKEN - timedelta(days=800))
    now = datetime.now(UTC)
    stack.add_album(ann, "late", photo, created_at=now)
    stack.add_album(ann, "ear/ly", photo, other, created_at=now - timedelta(days=2))
    stack.add_album(bob, "bob's", photo, created_at=now - timedelta(days=9))

    stack.enqueue(LIBRARY)
    stack.run()

    assert stack.place(photo) == "library/ann/2019-2021/early/a.jpg"
    assert stack.place(other) == "library/ann/2019-2021/early/b.jpg"


def test_an_asset_deleted_on_the_way_leaves_nothing_behind(stack: MoveStack) -> None:
    stack.set_template()
    photo = stack.add_asset(stack.add_user("ann"), "a.jpg")
    old = stack.path(photo)

    def delete_asset(call: object) -> None:
        old.unlink()
        with stack.database.session() as session:
            for table in (AssetFile, AssetExif):
                session.execute(delete(table).where(table.asset_id == photo))
            session.execute(delete(Asset).where(Asset.id == photo))
        stack.runner.before = lambda call: None

    real = os.link

    def link(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        delete_asset(None)

    stack.enqueue(asset_job(SINGLE, photo))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", link)
        stack.run()

    assert stack.on_disk() == set()
    assert stack.moves() == []


def test_moves_that_were_begun_are_ended_whatever_the_template_says_by_now(stack: MoveStack) -> None:
    stack.set_template("first/{{filename}}")
    photo = stack.add_asset(stack.add_user("ann"), "a.jpg")
    hidden = stack.add_asset(stack.add_user("bob"), "b.jpg")
    stack.enqueue(*(asset_job(SINGLE, one) for one in (photo, hidden)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", _refuse)
        stack.tick()
    assert [state for state, _ in stack.moves()] == ["intended", "intended"]
    stack.change(hidden, visibility="hidden")
    stack.config.clear()  # disabled meanwhile
    stack.clock.sleep(1)

    stack.enqueue(LIBRARY)
    stack.run()

    assert {stack.place(photo), stack.place(hidden)} == {"library/ann/first/a.jpg", "library/bob/first/b.jpg"}
    assert stack.moves() == []
    assert stack.on_disk() == stack.named()


def _refuse(*args: object) -> None:
    raise OSError(5, "Input/output error")


def test_a_history_row_of_nobody_goes(stack: MoveStack) -> None:
    stack.set_template()
    now = datetime.now(UTC)
    stamps = {"created_at": now, "updated_at": now}
    paths = [str(stack.library / name) for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg")]
    for path in paths:
        Path(path).write_bytes(b"x")
    with stack.database.session() as session:
        rows = [("1", "intended", "original", *paths[:2]), ("2", "placed", "sidecar", *paths[2:])]
        for entity, state, kind, old, new in rows:
            session.add(
                MoveHistory(
                    id=entity, entity_id=entity, path_type=kind, state=state, old_path=old, new_path=new, **stamps
                )
            )

    stack.enqueue(LIBRARY)
    stack.run()

    assert stack.moves() == []
    assert stack.on_disk() == {"library/1.jpg"}  # where a move began is not ours to judge
    with stack.database.reader() as session:
        assert session.scalars(select(Asset.id)).all() == []


@pytest.mark.parametrize(("zone", "folder"), [("America/New_York", "2021-07-14T12"), ("Asia/Tokyo", "2021-07-15T01")])
def test_dates_are_those_of_the_servers_zone(
    sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, folder: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with move_stack(sqlite_database_url, tmp_path / "media") as stack:
            stack.set_template("{{y}}-{{MM}}-{{dd}}T{{HH}}/{{filename}}")
            photo = stack.add_asset(stack.add_user("ann"), "a.jpg")
            stack.enqueue(LIBRARY)
            stack.run()
            assert stack.place(photo) == f"library/ann/{folder}/a.jpg"
    finally:
        monkeypatch.undo()
        time.tzset()
