"""External libraries on both databases: found, looked after, never taken for gone while their disk is away."""

import hashlib
import os
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from cluster.db.queries.libraries import add_files
from cluster.db.tables.asset import Asset, Library
from cluster.names import JobName as J
from cluster.names import QueueName
from cluster.queue.job import NewJob
from cluster.queue.states import JobState
from cluster.queue.store import JobRecord
from tasks import libraries
from tasks.jobs import check_library, crawl_library
from tasks.jobs.import_library_files import FoundFile, asset_row
from tasks.libraries import delete_job, import_jobs, scan_jobs
from tests.camera import photo
from tests.inline_stack import Stack, inline_stack, names_seen

LIBRARY, SIDECAR = QueueName.LIBRARY, QueueName.SIDECAR
SEEN_AT_S = 1_600_000_000.25


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def stack(stack: Stack) -> Stack:
    """Files are found and looked after, and their chain waits."""
    with stack.store.transaction() as tx:
        stack.store.pause(tx, SIDECAR)
    return stack


def add(folder: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (SEEN_AT_S, SEEN_AT_S))


def new_library(stack: Stack, *import_paths: Path, patterns: Sequence[str] = ()) -> str:
    now = datetime.now(UTC)
    library = Library(
        id=str(uuid.uuid4()),
        owner_id=stack.owner,
        name="Disk",
        import_paths=[str(path) for path in import_paths],
        exclusion_patterns=list(patterns),
        created_at=now,
        updated_at=now,
    )
    with stack.database.session() as session:
        session.add(library)
    return library.id


def change(stack: Stack, library_id: str, **columns: Any) -> None:
    with stack.database.session() as session:
        session.execute(update(Library).where(Library.id == library_id).values(**columns))


def run_library_queue(stack: Stack, timeout_s: float = 60) -> None:
    """Until nothing of it waits or runs; what is delayed stays so."""
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        stack.dispatcher.tick()
        stack.settler.tick()
        with stack.store.transaction(reading=True) as tx:
            count = stack.store.counts(tx)[LIBRARY]
        if not count.waiting + count.active:
            return
    raise AssertionError(f"not done after {timeout_s} s")


def scan(stack: Stack, library_id: str) -> None:
    stack.enqueue(*scan_jobs(library_id))
    run_library_queue(stack)


def assets(stack: Stack, library_id: str) -> list[Asset]:
    with stack.database.reader() as session:
        found = select(Asset).where(Asset.library_id == library_id).order_by(Asset.original_path)
        return list(session.scalars(found))


def online(stack: Stack, library_id: str, root: Path) -> list[str]:
    return [_below(one, root) for one in assets(stack, library_id) if not one.is_offline]


def offline(stack: Stack, library_id: str, root: Path) -> list[str]:
    return [_below(one, root) for one in assets(stack, library_id) if one.is_offline]


def _below(asset: Asset, root: Path) -> str:
    return str(Path(asset.original_path).relative_to(root))


def jobs(stack: Stack, queue: QueueName, *states: JobState) -> list[JobRecord]:
    with stack.store.transaction(reading=True) as tx:
        return stack.store.jobs(tx, queue, states or tuple(JobState), 1000)


def forget_sidecar_jobs(stack: Stack) -> None:
    with stack.store.transaction() as tx:
        stack.store.empty(tx, SIDECAR)


def test_a_scan_adds_files_in_place(stack: Stack, photos: Path) -> None:
    add(photos, "2024 (ü) & more/[a] #1.JPG", "b.mp4", "notes.txt", ".hidden.jpg")
    library_id = new_library(stack, photos)

    scan(stack, library_id)

    picture, clip = assets(stack, library_id)
    path = str(photos / "2024 (ü) & more/[a] #1.JPG")
    assert (picture.original_path, picture.original_file_name, picture.type) == (path, "[a] #1.JPG", "IMAGE")
    assert (clip.original_file_name, clip.type) == ("b.mp4", "VIDEO")
    assert picture.checksum == hashlib.sha1(f"path:{path}".encode()).digest()
    assert (picture.checksum_algorithm, picture.is_external, picture.owner_id) == ("sha1-path", True, stack.owner)
    seen_at = datetime.fromtimestamp(SEEN_AT_S, UTC)
    assert picture.file_created_at == picture.file_modified_at == picture.local_date_time == seen_at
    assert {(job.name, job.payload["source"], job.asset_id) for job in jobs(stack, SIDECAR)} == {
        (J.SIDECAR_CHECK, "upload", picture.id),
        (J.SIDECAR_CHECK, "upload", clip.id),
    }
    with stack.database.reader() as session:
        assert session.get_one(Library, library_id).refreshed_at is not None


def test_a_scan_of_everything_leads_to_thumbnails(stack: Stack, photos: Path) -> None:
    add(photos, "a.jpg", content=photo(400, 300))
    (photos / "a.jpg.xmp").write_text(XMP)
    before = (photos / "a.jpg").read_bytes()
    library_id = new_library(stack, photos)
    gone = new_library(stack, photos / "gone")
    change(stack, gone, deleted_at=datetime.now(UTC))
    with stack.store.transaction() as tx:
        stack.store.resume(tx, SIDECAR)

    stack.enqueue(NewJob(J.LIBRARY_SCAN_QUEUE_ALL))
    stack.drain()

    [asset] = assets(stack, library_id)
    assert names_seen(stack, asset.id)[:4] == [
        J.SIDECAR_CHECK,
        J.ASSET_EXTRACT_METADATA,
        J.STORAGE_TEMPLATE_MIGRATION_SINGLE,
        J.ASSET_GENERATE_THUMBNAILS,
    ]
    assert stack.failed() == {}
    assert (stack.exif(asset.id).make, asset.width_px, asset.original_path) == ("Pen", 400, str(photos / "a.jpg"))
    assert set(stack.files(asset.id)) == {"sidecar", "thumbnail", "preview"}
    assert (photos / "a.jpg").read_bytes() == before
    with stack.database.reader() as session:
        assert session.get(Library, gone) is None

    stack.seen.clear()
    scan(stack, library_id)  # extraction has noted the time that the file has
    stack.drain()
    assert names_seen(stack, asset.id) == []


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="Pen" rdf:about=""/>'
    "</rdf:RDF></x:xmpmeta>"
)


def test_a_second_scan_looks_after_what_is_known(stack: Stack, photos: Path) -> None:
    add(photos, "same.jpg", "changed.jpg", "lost.jpg", "trashed.jpg", "new_later.txt")
    library_id = new_library(stack, photos)
    scan(stack, library_id)
    forget_sidecar_jobs(stack)
    by_name = {asset.original_file_name: asset for asset in assets(stack, library_id)}
    trashed_at = datetime(2024, 1, 1, tzinfo=UTC)
    stack.change(by_name["trashed.jpg"].id, status="trashed", deleted_at=trashed_at)

    scan(stack, library_id)
    assert jobs(stack, SIDECAR) == []

    (photos / "lost.jpg").rename(photos / "lost.bak")
    (photos / "trashed.jpg").rename(photos / "trashed.bak")
    os.utime(photos / "changed.jpg", (SEEN_AT_S, SEEN_AT_S + 1))
    add(photos, "added.jpg")
    scan(stack, library_id)

    assert offline(stack, library_id, photos) == ["lost.jpg", "trashed.jpg"]
    now = {asset.original_file_name: asset for asset in assets(stack, library_id)}
    assert (now["lost.jpg"].status, now["trashed.jpg"].deleted_at) == ("active", trashed_at)
    assert now["lost.jpg"].deleted_at is not None
    assert {job.asset_id for job in jobs(stack, SIDECAR)} == {now["added.jpg"].id, now["changed.jpg"].id}

    (photos / "lost.bak").rename(photos / "lost.jpg")
    (photos / "trashed.bak").rename(photos / "trashed.jpg")
    scan(stack, library_id)

    back = {asset.original_file_name: asset for asset in assets(stack, library_id)}
    assert offline(stack, library_id, photos) == []
    assert (back["lost.jpg"].deleted_at, back["trashed.jpg"].deleted_at) == (None, trashed_at)
    assert back["lost.jpg"].id == by_name["lost.jpg"].id


def test_what_waits_for_deletion_does_not_come_back(stack: Stack, photos: Path) -> None:
    add(photos, "a.jpg", "b.jpg")
    library_id = new_library(stack, photos)
    scan(stack, library_id)
    first = assets(stack, library_id)[0]
    stack.change(first.id, status="deleted", is_offline=True, deleted_at=datetime.now(UTC))

    scan(stack, library_id)

    assert offline(stack, library_id, photos) == ["a.jpg"]


def test_a_walk_of_many_pages_finds_everything_once(
    stack: Stack, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crawl_library, "FILES_PER_PAGE", 7)
    monkeypatch.setattr(libraries, "FILES_PER_IMPORT", 3)
    monkeypatch.setattr(check_library, "FILES_PER_RANGE", 5)
    monkeypatch.setattr(check_library, "RANGES_PER_PAGE", 2)
    monkeypatch.setattr(check_library, "OFFLINE_PER_PAGE", 4)
    names = [f"{a}/{b}{c}.jpg" for a in ("a", "a-b", "a.b", "ä") for b in ("x", "x/y", "x y") for c in range(4)]
    add(photos, *names, "z.jpg")
    library_id = new_library(stack, photos, photos / "a")
    scan(stack, library_id)
    assert online(stack, library_id, photos) == sorted([*names, "z.jpg"])
    forget_sidecar_jobs(stack)

    for name in names[::3]:
        (photos / name).unlink()
    for name in names[1::3]:
        os.utime(photos / name, (1, 1))
    more = [f"{name}.late.jpg" for name in names[::5]]
    add(photos, *more)
    scan(stack, library_id)

    assert offline(stack, library_id, photos) == sorted(names[::3])
    assert len(jobs(stack, SIDECAR)) == len(names[1::3]) + len(more)
    assert jobs(stack, LIBRARY) == []

    change(stack, library_id, import_paths=[str(photos / "ä")])
    scan(stack, library_id)
    assert all(name.startswith("ä/") for name in online(stack, library_id, photos))
    assert len(assets(stack, library_id)) == len(names) + 1 + len(more)


def test_paths_and_patterns_decide_what_is_online(stack: Stack, photos: Path) -> None:
    add(photos, "one/a.jpg", "two/b.jpg", "two/raw/c.jpg")
    library_id = new_library(stack, photos / "one", photos / "two")
    scan(stack, library_id)
    assert len(online(stack, library_id, photos)) == 3

    change(stack, library_id, exclusion_patterns=["**/RAW/**"])
    scan(stack, library_id)
    assert offline(stack, library_id, photos) == ["two/raw/c.jpg"]

    change(stack, library_id, import_paths=[str(photos / "one")])
    scan(stack, library_id)
    assert offline(stack, library_id, photos) == ["two/b.jpg", "two/raw/c.jpg"]

    change(stack, library_id, import_paths=[str(photos)], exclusion_patterns=[])
    scan(stack, library_id)
    assert offline(stack, library_id, photos) == []
    assert len(assets(stack, library_id)) == 3


@pytest.mark.parametrize("left_behind", ["nothing", "an empty mount point"])
def test_a_disk_that_is_away_is_waited_for(stack: Stack, photos: Path, left_behind: str) -> None:
    here, away = photos / "here", photos / "away"
    add(photos, "here/a.jpg", "here/b.jpg", "away/c.jpg")
    library_id = new_library(stack, here, away)
    scan(stack, library_id)
    away.rename(photos / "unmounted")
    if left_behind != "nothing":
        away.mkdir()
    (here / "b.jpg").unlink()

    scan(stack, library_id)

    assert offline(stack, library_id, photos) == ["here/b.jpg"]
    [waits] = jobs(stack, LIBRARY)
    assert (waits.name, waits.state, waits.attempts) == (J.LIBRARY_SYNC_ASSETS, JobState.DELAYED, 0)
    assert "is its disk mounted?" in waits.error

    if away.exists():
        away.rmdir()
    (photos / "unmounted").rename(away)
    (away / "c.jpg").unlink()
    add(away, "d.jpg")
    scan(stack, library_id)  # brings the delayed look forward, too

    assert online(stack, library_id, photos) == ["away/d.jpg", "here/a.jpg"]
    assert jobs(stack, LIBRARY) == []


def test_without_any_usable_import_path_a_crawl_is_skipped(stack: Stack, photos: Path) -> None:
    library_id = new_library(stack, photos / "missing", stack.media)
    (stack.media / "upload").mkdir(parents=True)
    add(stack.media, "upload/a.jpg")

    scan(stack, library_id)

    assert assets(stack, library_id) == []
    with stack.database.reader() as session:
        assert session.get_one(Library, library_id).refreshed_at is None


def test_links_that_lead_out_are_never_followed(stack: Stack, photos: Path, tmp_path: Path) -> None:
    add(photos, "a.jpg", "sub/b.jpg")
    add(tmp_path / "secret", "b.jpg", "c.jpg")
    library_id = new_library(stack, photos)
    (photos / "out").symlink_to(tmp_path / "secret")
    scan(stack, library_id)
    assert online(stack, library_id, photos) == ["a.jpg", "sub/b.jpg"]

    (photos / "a.jpg").unlink()
    (photos / "a.jpg").symlink_to(tmp_path / "secret" / "c.jpg")
    shutil.rmtree(photos / "sub")
    (photos / "sub").symlink_to(tmp_path / "secret")
    stack.enqueue(*import_jobs(library_id, [f"{photos}/out/c.jpg", f"{photos}/../secret/c.jpg", "/etc/passwd"]))
    scan(stack, library_id)

    assert offline(stack, library_id, photos) == ["a.jpg", "sub/b.jpg"]
    assert online(stack, library_id, photos) == []


def test_what_the_watcher_names_is_added_only_where_a_scan_finds_it(stack: Stack, photos: Path) -> None:
    add(photos, "a.jpg", "deep/b.jpg")
    add(stack.media, "upload/own.jpg")
    add(photos.parent / "elsewhere", "c.jpg")
    (photos / "folder_link").symlink_to(photos / "deep")
    (photos / "link.jpg").symlink_to(photos / "a.jpg")
    (photos / ".hidden").mkdir()
    add(photos / ".hidden", "d.jpg")
    (photos / "link_to_hidden.jpg").symlink_to(photos / ".hidden" / "d.jpg")
    add(stack.media, ".made/preview.jpg")
    (photos / "link_to_media.jpg").symlink_to(stack.media / ".made" / "preview.jpg")
    (photos.parent / "root_link").symlink_to(photos.parent / "elsewhere")
    library_id = new_library(stack, photos.parent)
    links = ["folder_link/b.jpg", "link.jpg", "link_to_hidden.jpg", "link_to_media.jpg"]
    too_long = "/".join([*(os.urandom(110).hex() for _ in range(12)), "e.jpg"])
    names = ["a.jpg", "deep/b.jpg", ".hidden/d.jpg", too_long, *links]
    add(photos, too_long)
    named = [
        *(str(photos / name) for name in names),
        f"{photos.parent}/root_link/c.jpg",
        f"{stack.media}/upload/own.jpg",
    ]

    stack.enqueue(*import_jobs(library_id, named))
    run_library_queue(stack)

    named_by_watcher = online(stack, library_id, photos)
    assert named_by_watcher == ["a.jpg", "deep/b.jpg", "link_to_hidden.jpg"]
    scan(stack, library_id)
    assert set(online(stack, library_id, photos.parent)) == {
        "elsewhere/c.jpg",
        *(f"photos/{name}" for name in named_by_watcher),
    }


def test_overlapping_scans_add_every_file_once(database_url: str, tmp_path: Path) -> None:
    names = [f"{folder}/{number}.jpg" for folder in range(20) for number in range(30)]
    add(tmp_path / "photos", *names)
    with inline_stack(database_url, tmp_path, threads=4) as stack:
        with stack.store.transaction() as tx:
            stack.store.pause(tx, SIDECAR)
        library_id = new_library(stack, tmp_path / "photos")

        # without their keys four scans of one library run side by side
        overlapping = [NewJob(job.name, job.payload) for _ in range(4) for job in scan_jobs(library_id)]
        stack.enqueue(*overlapping)
        run_library_queue(stack)

        found = Counter(asset.original_path for asset in assets(stack, library_id))
        assert len(found) == len(names)
        assert set(found.values()) == {1}
        assert len(jobs(stack, SIDECAR)) == len(names)
        assert jobs(stack, LIBRARY) == []


def test_a_file_that_the_watcher_names_again_is_looked_after(stack: Stack, photos: Path) -> None:
    add(photos, "a.jpg", "b.jpg")
    library_id = new_library(stack, photos)
    scan(stack, library_id)
    first, second = assets(stack, library_id)
    forget_sidecar_jobs(stack)
    os.utime(photos / "a.jpg", (5, 5))
    stack.change(second.id, is_offline=True, deleted_at=datetime.now(UTC))

    stack.enqueue(*import_jobs(library_id, [str(photos / name) for name in ("a.jpg", "b.jpg", "gone.jpg", "c.txt")]))
    run_library_queue(stack)

    assert [job.asset_id for job in jobs(stack, SIDECAR)] == [first.id]
    assert online(stack, library_id, photos) == ["a.jpg", "b.jpg"]
    assert assets(stack, library_id)[1].deleted_at is None


def test_files_that_were_deleted_while_watched_are_removed(stack: Stack, photos: Path) -> None:
    add(photos, "gone.jpg", "rewritten.jpg", "moved/away.jpg", "stays.jpg")
    library_id = new_library(stack, photos)
    scan(stack, library_id)
    gone = next(asset for asset in assets(stack, library_id) if asset.original_file_name == "gone.jpg")
    with stack.store.transaction() as tx:
        stack.store.pause(tx, QueueName.BACKGROUND_TASK)
    (photos / "gone.jpg").unlink()
    shutil.rmtree(photos / "moved")

    stack.enqueue(remove(library_id, photos, "gone.jpg", "rewritten.jpg", "moved", "unknown.jpg"))
    run_library_queue(stack)

    assert [(job.name, dict(job.payload)) for job in jobs(stack, QueueName.BACKGROUND_TASK)] == [
        (J.ASSET_DELETE, {"id": gone.id, "deleteOnDisk": False})
    ]
    assert offline(stack, library_id, photos) == ["gone.jpg", "moved/away.jpg"]


def test_nothing_is_removed_while_the_disk_is_away(stack: Stack, photos: Path) -> None:
    add(photos, "a.jpg")
    library_id = new_library(stack, photos)
    scan(stack, library_id)
    shutil.rmtree(photos)
    photos.mkdir()

    stack.enqueue(remove(library_id, photos, "a.jpg"))
    run_library_queue(stack)

    [waits] = jobs(stack, LIBRARY)
    assert (waits.name, waits.state) == (J.LIBRARY_REMOVE_ASSET, JobState.DELAYED)
    assert jobs(stack, QueueName.BACKGROUND_TASK) == []


def remove(library_id: str, root: Path, *names: str) -> NewJob:
    return NewJob(J.LIBRARY_REMOVE_ASSET, {"libraryId": library_id, "paths": [str(root / name) for name in names]})


def test_a_deleted_library_goes_after_its_assets(stack: Stack, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.jobs import delete_library

    monkeypatch.setattr(delete_library, "PAGE", 3)
    add(photos, *(f"{number}.jpg" for number in range(8)))
    library_id = new_library(stack, photos)
    scan(stack, library_id)
    with stack.store.transaction() as tx:
        stack.store.pause(tx, QueueName.BACKGROUND_TASK)

    stack.enqueue(delete_job(library_id))
    run_library_queue(stack)
    assert jobs(stack, QueueName.BACKGROUND_TASK) == []  # nobody deleted it
    assert [job.error for job in jobs(stack, LIBRARY, JobState.FAILED)] == ["the library Disk is in use"]

    change(stack, library_id, deleted_at=datetime.now(UTC))
    stack.enqueue(delete_job(library_id), *import_jobs(library_id, [str(photos / "late.jpg")]))
    run_library_queue(stack)
    wanted = {asset.id for asset in assets(stack, library_id)}
    assert {job.payload["id"] for job in jobs(stack, QueueName.BACKGROUND_TASK)} == wanted
    assert {job.payload["deleteOnDisk"] for job in jobs(stack, QueueName.BACKGROUND_TASK)} == {False}

    with stack.database.session() as session:
        for asset in assets(stack, library_id):
            session.delete(session.get_one(Asset, asset.id))
    stack.enqueue(NewJob(J.LIBRARY_DELETE_CHECK))
    run_library_queue(stack)

    with stack.database.reader() as session:
        assert session.get(Library, library_id) is None
    assert len(list(photos.iterdir())) == 8


def test_an_unreadable_answer_leaves_a_file_as_it_is(
    stack: Stack, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(photos, "a.jpg")
    library_id = new_library(stack, photos)
    scan(stack, library_id)

    def stale(path: str) -> os.stat_result:
        raise OSError(116, "Stale file handle", path)

    monkeypatch.setattr(os, "lstat", stale)
    scan(stack, library_id)

    assert online(stack, library_id, photos) == ["a.jpg"]


def test_of_transactions_that_add_the_same_files_one_does(stack: Stack, photos: Path) -> None:
    library_id, now = new_library(stack, photos), datetime.now(UTC)
    together = threading.Barrier(4)

    def rows() -> list[dict[str, Any]]:
        files = [FoundFile(f"{photos}/{number}.jpg", SEEN_AT_S) for number in range(300)]
        return [asset_row(library_id, stack.owner, file, now) for file in files]

    def add_all() -> list[str]:
        mine = rows()
        together.wait()
        with stack.database.session() as session:
            return add_files(session, mine)

    with ThreadPoolExecutor(4) as threads:
        added = [threads.submit(add_all) for _ in range(4)]

    ids = [asset_id for one in added for asset_id in one.result()]
    assert len(ids) == len(set(ids)) == 300
    assert {asset.id for asset in assets(stack, library_id)} == set(ids)
