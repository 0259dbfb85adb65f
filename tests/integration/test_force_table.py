"""What "All", "Missing" and "Refresh" queue, by counts on a library of 42 assets on both databases.

The table is spec/queues.md §5, its rows for metadataExtraction, sidecar and thumbnailGeneration. "Refresh" (no flag)
means "Missing" there.
"""

from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import delete, func, select, update

from cluster.db.tables.asset import Asset, AssetFile, AssetJobStatus
from cluster.db.tables.person import AssetFace, Person
from cluster.names import JobName
from cluster.queue.job import NewJob
from tests.inline_stack import Stack

PLAIN, HIDDEN, TRASHED, PEOPLE = 34, 3, 5, 4
ASSETS = PLAIN + HIDDEN + TRASHED
THUMBNAILS, METADATA, SIDECAR = (
    JobName.ASSET_GENERATE_THUMBNAILS,
    JobName.ASSET_EXTRACT_METADATA,
    JobName.SIDECAR_CHECK,
)
QUEUE_ALL = {
    THUMBNAILS: JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL,
    METADATA: JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL,
    SIDECAR: JobName.SIDECAR_QUEUE_ALL,
}
PERSON = JobName.PERSON_GENERATE_THUMBNAIL
ALL, MISSING, REFRESH = True, False, None


def picture(number: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (48, 36), (number, 90, 200)).save(buffer, "JPEG")
    return buffer.getvalue()


@dataclass
class Library:
    """A finished library, and what runs on it queue."""

    stack: Stack
    plain: list[str]
    hidden: list[str]
    trashed: list[str]
    people: list[str]

    def run(self, job: JobName, force: bool | None) -> Counter[JobName]:
        """The per-asset and per-person jobs that ran for one press of a button."""
        self.stack.seen.clear()
        payload = {} if force is None else {"force": force}
        self.stack.enqueue(NewJob(QUEUE_ALL[job], payload))
        self.stack.drain()
        assert self.stack.failed() == {}
        counted = Counter(name for name, _ in self.stack.seen)
        return Counter({name: counted[name] for name in (job, PERSON) if counted[name]})

    def ran_for(self, job: JobName) -> set[str | None]:
        return {asset_id for name, asset_id in self.stack.seen if name is job}

    def count(self, table: type, *conditions: object) -> int:
        with self.stack.database.reader() as session:
            return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0  # type: ignore[arg-type]


@pytest.fixture
def library(stack: Stack) -> Library:
    plain = [stack.upload(f"{number}.jpg", picture(number)) for number in range(PLAIN)]
    hidden = [stack.upload(f"h{number}.jpg", picture(99), visibility="hidden") for number in range(HIDDEN)]
    trashed = [stack.upload(f"t{number}.jpg", picture(150)) for number in range(TRASHED)]
    stack.drain()
    now = stack.clock.now()
    for asset_id in trashed:
        stack.change(asset_id, deleted_at=now, status="trashed")
    people = [f"person-{number}" for number in range(PEOPLE)]
    times = {"created_at": now, "updated_at": now}
    box = {
        "image_width_px": 48,
        "image_height_px": 36,
        "box_x1_px": 9,
        "box_y1_px": 9,
        "box_x2_px": 30,
        "box_y2_px": 30,
    }
    with stack.database.session() as session:
        for person, asset_id in zip(people, plain, strict=False):
            session.add(Person(id=person, owner_id=stack.owner, name=person, **times))
            session.flush()
            session.add(AssetFace(id=f"face-of-{person}", asset_id=asset_id, person_id=person, **box, **times))
    return Library(stack, plain, hidden, trashed, people)


def test_every_button_queues_what_it_says(library: Library) -> None:
    """One library for all, since making it is what takes time; each part leaves it finished."""
    check_thumbnails(library)
    check_metadata(library)
    check_sidecars(library)
    check_ten_presses_at_once(library)


def check_thumbnails(library: Library) -> None:
    stack, lacks_preview, lacks_hash = library.stack, library.plain[:7], library.plain[7:9]
    assert library.run(THUMBNAILS, MISSING) == {PERSON: PEOPLE}  # the pictures are there, the people's are not
    assert library.count(Person, Person.thumbnail_path == "") == 0
    assert library.run(THUMBNAILS, MISSING) == library.run(THUMBNAILS, REFRESH) == {}

    with stack.database.session() as session:
        session.execute(delete(AssetFile).where(AssetFile.asset_id.in_(lacks_preview), AssetFile.type == "preview"))
        session.execute(update(Asset).where(Asset.id.in_(lacks_hash)).values(thumbhash=None))
        session.execute(update(Person).where(Person.id == library.people[0]).values(thumbnail_path=""))
        never_tried = delete(AssetJobStatus).where(AssetJobStatus.asset_id == lacks_preview[0])
        session.execute(never_tried)  # its metadata is still to come, and thumbnails after it
    assert library.count(AssetFile, AssetFile.type == "preview") == PLAIN + TRASHED - 7
    assert library.run(THUMBNAILS, REFRESH) == {THUMBNAILS: 6 + 2, PERSON: 1}
    assert library.ran_for(THUMBNAILS) == {*lacks_preview[1:], *lacks_hash}
    assert library.count(AssetFile, AssetFile.type == "preview") == PLAIN + TRASHED - 1
    assert library.run(THUMBNAILS, MISSING) == {}

    assert library.run(THUMBNAILS, ALL) == {THUMBNAILS: PLAIN, PERSON: PEOPLE}
    assert library.ran_for(THUMBNAILS) == set(library.plain)
    assert library.count(AssetFile, AssetFile.type == "preview") == PLAIN + TRASHED
    assert library.run(METADATA, MISSING) == {METADATA: 1}  # the one that was still to come


def check_metadata(library: Library) -> None:
    stack, never = library.stack, [*library.plain[:5], library.hidden[0], library.trashed[0]]
    assert library.run(METADATA, MISSING) == library.run(METADATA, REFRESH) == {}

    with stack.database.session() as session:
        status = update(AssetJobStatus).where(AssetJobStatus.asset_id.in_(never[:3]))
        session.execute(status.values(metadata_extracted_at=None))
        session.execute(delete(AssetJobStatus).where(AssetJobStatus.asset_id.in_(never[3:])))
    extracted = AssetJobStatus.metadata_extracted_at.is_not(None)
    assert library.count(AssetJobStatus, extracted) == ASSETS - 7
    assert library.run(METADATA, MISSING) == {METADATA: 6}
    assert library.ran_for(METADATA) == set(never[:-1])  # not what is in the trash
    assert library.count(AssetJobStatus, extracted) == ASSETS - 1
    assert library.run(METADATA, MISSING) == library.run(METADATA, REFRESH) == {}

    assert library.run(METADATA, ALL) == {METADATA: PLAIN + HIDDEN}
    assert library.ran_for(METADATA) == {*library.plain, *library.hidden}
    assert library.run(METADATA, MISSING) == {}


def check_sidecars(library: Library) -> None:
    stack, beside = library.stack, [*library.plain[:6], library.trashed[0]]
    for asset_id in beside:
        Path(f"{stack.asset(asset_id).original_path}.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    linked = AssetFile.type == "sidecar"
    assert library.count(AssetFile, linked) == 0

    assert library.run(SIDECAR, MISSING) == {SIDECAR: ASSETS}
    assert library.ran_for(METADATA) == {*library.plain, *library.hidden, *library.trashed}  # follows in any case
    assert library.count(AssetFile, linked) == 7
    assert library.run(SIDECAR, REFRESH) == {SIDECAR: ASSETS - 7}
    assert library.count(AssetFile, linked) == 7

    Path(f"{stack.asset(beside[0]).original_path}.xmp").unlink()
    assert library.run(SIDECAR, MISSING) == {SIDECAR: ASSETS - 7}
    assert library.count(AssetFile, linked) == 7
    assert library.run(SIDECAR, ALL) == {SIDECAR: ASSETS}
    assert library.count(AssetFile, linked) == 6
    assert library.run(SIDECAR, MISSING) == {SIDECAR: ASSETS - 6}


def check_ten_presses_at_once(library: Library) -> None:
    with library.stack.database.session() as session:
        session.execute(update(AssetJobStatus).values(metadata_extracted_at=None))
        session.execute(update(Person).values(thumbnail_path="x"))
    library.stack.seen.clear()

    library.stack.enqueue(*[NewJob(QUEUE_ALL[METADATA], {"force": False}) for _ in range(10)])
    library.stack.drain()

    assert library.ran_for(METADATA) == {*library.plain, *library.hidden}
    assert sum(name is METADATA for name, _ in library.stack.seen) == PLAIN + HIDDEN
