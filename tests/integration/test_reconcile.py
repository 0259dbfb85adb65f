"""What is missing is enqueued once, and a whole library adds nothing, however often and by how many it is asked for."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import delete, event, select, update

from cluster.db.queries.jobs import with_keys
from cluster.db.tables.asset import Asset, AssetFile, AssetJobStatus, AssetVideo
from cluster.db.tables.job import Job
from cluster.db.tables.person import AssetFace, Person
from cluster.db.tables.video import VideoEncoding
from cluster.names import JobName, QueueName
from cluster.queue.job import asset_job
from cluster.queue.states import JobState
from serve_app import cli_reconcile
from serve_app.cli_reconcile import run_reconciliation
from serve_app.services.reconcile import ask_for_reconciliation, last_reconciliation
from serve_app.services.start_queue import start_queue
from tasks.integrity import Presence
from tasks.jobs import reconcile
from tasks.pipeline import picture_person
from tests.inline_server import InlineServer, inline_server
from tests.programs import program

METADATA, THUMBNAILS = JobName.ASSET_EXTRACT_METADATA, JobName.ASSET_GENERATE_THUMBNAILS
QUEUE_ALL = {JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL, JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL}
BUTTONS = (QueueName.METADATA_EXTRACTION, QueueName.THUMBNAIL_GENERATION)
PHOTOS = 12


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[InlineServer]:
    program("exiftool")
    (tmp_path / "media").mkdir()
    with inline_server(database_url, tmp_path / "media") as running:
        yield running


@pytest.fixture
def assets(server: InlineServer) -> list[str]:
    """A finished library."""
    ids = [server.add_asset(f"{number}.jpg", photo(number), chain=True) for number in range(PHOTOS)]
    server.drain()
    assert server.jobs() == []
    return sorted(ids)


def photo(number: int) -> bytes:
    content = BytesIO()
    Image.new("RGB", (64, 48), (number * 9 % 256, 40, 90)).save(content, "JPEG")
    return content.getvalue()


def look(server: InlineServer) -> dict[str, int]:
    """Reconcile, let everything run, and say what was enqueued."""
    ask_for_reconciliation(server.services)
    server.drain()
    found = last_reconciliation(server.services)
    assert found is not None
    return found.enqueued


def test_a_whole_library_lacks_nothing(server: InlineServer, assets: list[str]) -> None:
    before = server.ended()

    assert look(server) == {}

    assert server.ended_since(before) == {JobName.RECONCILE: 1}
    found = last_reconciliation(server.services)
    assert found is not None
    assert (found.assets, found.people, found.broken_files) == (PHOTOS, 0, 0)


def test_exactly_what_is_missing_is_made(
    server: InlineServer, assets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAGE", 5)
    files = {asset_id: server.files(asset_id) for asset_id in assets}
    gone, empty, no_row, no_hash, unread, trashed, hidden = assets[:7]
    files[gone]["preview"].unlink()
    files[empty]["thumbnail"].write_bytes(b"")
    files[trashed]["preview"].unlink()
    files[hidden]["preview"].unlink()
    with server.database.session() as session:
        session.execute(delete(AssetFile).where(AssetFile.asset_id == no_row, AssetFile.type == "preview"))
        session.execute(update(Asset).where(Asset.id == no_hash).values(thumbhash=None))
        session.execute(delete(AssetJobStatus).where(AssetJobStatus.asset_id == unread))
        session.execute(update(Asset).where(Asset.id == trashed).values(deleted_at=server.clock.now()))
        session.execute(update(Asset).where(Asset.id == hidden).values(visibility="hidden"))
    files[unread]["preview"].unlink()
    before = server.ended()

    assert look(server) == {METADATA: 1, THUMBNAILS: 4}

    ended = server.ended_since(before)
    assert (ended[METADATA], ended[THUMBNAILS]) == (1, 5)  # the unread one went through its whole chain
    for asset_id in assets[:5]:
        assert all(path.stat().st_size > 0 for path in server.files(asset_id).values())
        assert set(server.files(asset_id)) == {"thumbnail", "preview"}
    assert look(server) == {}


def test_what_is_on_its_way_or_has_failed_is_left_alone(server: InlineServer, assets: list[str]) -> None:
    waiting, chained, plain, failed, free = assets[:5]
    with server.database.session() as session:
        session.execute(update(Asset).where(Asset.id.in_(assets[:5])).values(thumbhash=None))
    store = server.services.store
    with store.transaction() as tx:
        store.pause(tx, QueueName.THUMBNAIL_GENERATION)
        store.pause(tx, QueueName.METADATA_EXTRACTION)
        store.enqueue(tx, [asset_job(THUMBNAILS, waiting), asset_job(METADATA, chained, source="upload")])
        store.enqueue(tx, [asset_job(METADATA, plain), asset_job(THUMBNAILS, failed)])
        refused = {"state": "failed", "attempts": 3, "last_error": "no good"}
        tx.execute(update(Job).where(Job.asset_id == failed).values(**refused))

    ask_for_reconciliation(server.services)
    for _ in range(30):
        server.dispatcher.tick()
        server.settler.tick()

    found = last_reconciliation(server.services)
    assert found is not None
    assert found.enqueued == {THUMBNAILS: 2}
    waits = {job.asset_id for job in server.jobs(JobState.WAITING) if job.name is THUMBNAILS}
    assert waits == {waiting, plain, free}  # metadata without a source leads to no thumbnails
    assert [job.asset_id for job in server.jobs(JobState.FAILED)] == [failed]


def test_a_video_that_is_being_encoded_in_parts_is_left_alone(server: InlineServer) -> None:
    now = server.clock.now()
    names = {"format_name": "matroska", "format_long_name": "Matroska", "codec": "vp8", "pixel_format": "yuv420p"}
    numbers = {"index": 0, "width_px": 64, "height_px": 48, "orientation": 1, "fps": 25.0, "bitrate": 0}
    unsaid = dict.fromkeys(("profile", "level", "duration_ms"))
    dolby = dict.fromkeys(f"dolby_vision_{part}" for part in ("profile", "level", "compatibility"))
    colors = {"color_primaries": 2, "color_transfer": 2, "color_matrix": 2}
    facts = {**names, **numbers, **unsaid, **dolby, **colors, "frame_count": 0, "time_base": "1/1000"}
    ids = [server.add_asset(f"{number}.mkv", bytes([number]), type="VIDEO", thumbhash=b"1") for number in range(2)]
    with server.database.session() as session:
        for asset_id in ids:
            session.add(AssetJobStatus(asset_id=asset_id, metadata_extracted_at=now))
            session.add(AssetVideo(asset_id=asset_id, facts=facts))
            for kind in ("thumbnail", "preview"):
                path = server.services.layout.thumbnail_path(server.owner, asset_id, kind, "jpeg")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"1")
                times = {"created_at": now, "updated_at": now}
                session.add(AssetFile(id=str(uuid.uuid4()), asset_id=asset_id, type=kind, path=str(path), **times))
        session.add(VideoEncoding(asset_id=ids[0], fingerprint="x", plan={}, created_at=now, updated_at=now))

    with server.services.store.transaction() as tx:
        server.services.store.pause(tx, QueueName.VIDEO_CONVERSION)
    ask_for_reconciliation(server.services)
    for _ in range(20):
        server.dispatcher.tick()
        server.settler.tick()

    waits = [job.asset_id for job in server.jobs() if job.name is JobName.ASSET_ENCODE_VIDEO]
    assert waits == [ids[1]]


def test_a_damaged_photo_fails_once_and_not_every_night(server: InlineServer) -> None:
    server.add_asset("broken.jpg", b"this is no picture", chain=True)
    server.drain()
    (failed,) = server.jobs()
    assert failed.state is JobState.FAILED
    before = server.ended()

    assert look(server) == {}
    assert server.ended_since(before) == {JobName.RECONCILE: 1}
    start_queue(server.services, QueueName.THUMBNAIL_GENERATION, False)  # a person may still say so
    server.drain()
    assert server.ended_since(before)[THUMBNAILS] == 1


def test_people_without_a_picture_get_one(server: InlineServer, assets: list[str]) -> None:
    now = server.clock.now()
    times = {"created_at": now, "updated_at": now}
    size = {"image_width_px": 64, "image_height_px": 48, "box_x2_px": 30, "box_y2_px": 30}
    with server.database.session() as session:
        for name in ("ann", "bob", "eve"):
            session.add(Person(id=name, owner_id=server.owner, name=name, **times))
        session.flush()
        session.add(AssetFace(id="face-ann", asset_id=assets[0], person_id="ann", **size, **times))
        session.add(AssetFace(id="face-bob", asset_id=assets[1], person_id="bob", **size, **times))
        session.flush()
        session.execute(update(Person).where(Person.id == "ann").values(face_asset_id="face-ann"))

    assert look(server) == {JobName.PERSON_GENERATE_THUMBNAIL: 2}  # nobody knows a face of eve
    with server.database.reader() as session:
        pictures = {person.id: person.thumbnail_path for person in session.scalars(select(Person))}
    assert Path(pictures["ann"]).is_file()
    assert Path(pictures["bob"]).is_file()
    Path(pictures["ann"]).unlink()
    assert server.enqueue(picture_person("eve")) == 1  # stands in the queue: nothing is added
    assert look(server) == {JobName.PERSON_GENERATE_THUMBNAIL: 1}
    assert Path(pictures["ann"]).is_file()


def test_a_media_folder_that_is_away_lacks_nothing(
    server: InlineServer, assets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = server.media.with_name("elsewhere")
    real = Presence

    def unmount_first() -> Presence:
        if server.media.exists():
            server.media.rename(away)
        return real()

    monkeypatch.setattr(reconcile, "Presence", unmount_first)
    ask_for_reconciliation(server.services)
    for _ in range(12):
        server.dispatcher.tick()
        server.settler.tick()

    assert [(job.name, job.state) for job in server.jobs()] == [(JobName.RECONCILE, JobState.DELAYED)]
    away.rename(server.media)


def at_once(times: int, do: Callable[[], object]) -> None:
    """In so many threads, all at the same moment."""
    start, errors = threading.Barrier(times), list[Exception]()

    def run() -> None:
        start.wait()
        try:
            do()
        except Exception as error:
            if "already running" not in str(error):
                errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


class Running:
    """The server works in a thread of its own meanwhile."""

    def __init__(self, server: InlineServer) -> None:
        self._server, self._stop = server, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        self._thread.join()
        self._server.drain()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._server.dispatcher.tick()
            self._server.settler.tick()


@pytest.mark.parametrize("times", [2, 10])
def test_missing_pressed_many_times_at_once_adds_nothing_to_a_whole_library(
    server: InlineServer, assets: list[str], times: int
) -> None:
    before = server.ended()

    with Running(server):
        for queue in BUTTONS:
            at_once(times, lambda queue=queue: start_queue(server.services, queue, False))  # type: ignore[misc]
        at_once(times, lambda: ask_for_reconciliation(server.services))

    ended = server.ended_since(before)
    assert set(ended) == {*QUEUE_ALL, JobName.RECONCILE}
    assert all(1 <= count <= times for count in ended.values())
    assert server.jobs() == []
    found = last_reconciliation(server.services)
    assert found is not None
    assert found.enqueued == {}


def test_missing_pressed_again_and_again_while_photos_come_in_does_nothing_twice(server: InlineServer) -> None:
    before = server.ended()

    with Running(server):
        for number in range(30):
            server.add_asset(f"{number}.jpg", photo(number), chain=True)
            if number % 3 == 0:
                for queue in BUTTONS:
                    at_once(3, lambda queue=queue: start_queue(server.services, queue, False))  # type: ignore[misc]
                ask_for_reconciliation(server.services)

    ended = server.ended_since(before)
    assert (ended[METADATA], ended[THUMBNAILS]) == (30, 30)
    assert look(server) == {}


def test_a_job_that_is_leased_while_one_looks_for_it_is_seen(server: InlineServer) -> None:
    server.enqueue(reconcile.reconcile_asked())

    def lease(*_: object) -> None:
        with server.database.session() as other:
            other.execute(update(Job).values(state=JobState.ACTIVE))

    with server.database.reader() as session:
        event.listen(session.connection(), "after_cursor_execute", lease)
        seen = with_keys(session, [str(JobName.RECONCILE)])

    assert [job.name for job in seen] == [JobName.RECONCILE]


def test_the_command_says_what_was_missing(server: InlineServer, assets: list[str]) -> None:
    server.files(assets[0])["preview"].unlink()
    said = list[str]()

    for _ in range(2):
        with Running(server):
            run_reconciliation(server.services, True, said.append)

    assert said[:3] == [
        f"{PHOTOS} assets and 0 people looked at, 1 files broken.",
        f"{1:8d} {THUMBNAILS}",
        "1 jobs enqueued.",
    ]
    assert said[3:] == [f"{PHOTOS} assets and 0 people looked at, 0 files broken.", "Nothing is missing."]


def test_the_command_says_for_which_server_it_waits(server: InlineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_reconcile, "PATIENT_S", 0.0)
    said = list[str]()
    with ExitStack() as working:

        def tell(words: str) -> None:
            said.append(words)
            if words.startswith("Waiting"):
                working.enter_context(Running(server))

        run_reconciliation(server.services, True, tell)

    assert said[0].startswith(f"Waiting for the server of {server.services.settings.media_root}: ")
    assert said[-1] == "Nothing is missing."
