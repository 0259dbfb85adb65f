"""The whole way of faces on both databases: photos of drawn people are uploaded, and the people gather by themselves.

Detector, recogniser, loops and database are real; the models are the tiny ones.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select, update

from cluster.db.queries import people
from cluster.db.tables.asset import AssetFile, AssetJobStatus
from cluster.db.tables.learned import FaceSearch
from cluster.db.tables.person import AssetFace, MergeProposal, Person
from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from tasks.pipeline import recognize_face, recognize_faces
from tests.drawn_faces import Look, backdrop, group_photo, random_look
from tests.inline_stack import Stack, inline_stack
from tests.tiny_models import put_faces

DETECT, RECOGNIZE = JobName.ASSET_DETECT_FACES_QUEUE_ALL, JobName.FACIAL_RECOGNITION_QUEUE_ALL
PEOPLE, PHOTOS = 5, 14
FACES_ON = {"machineLearning": {"enabled": True, "clip": {"enabled": False}, "ocr": {"enabled": False}}}


def adjusted_rand_index(one: Sequence[object], other: Sequence[object]) -> float:
    """How far two groupings agree: 1 when they are the same, about 0 by chance. Source: Hubert and Arabie, 1985."""
    pairs = [sum(n * (n - 1) / 2 for n in Counter(of).values()) for of in (zip(one, other, strict=True), one, other)]
    both, first, second = pairs
    by_chance = first * second / (len(one) * (len(one) - 1) / 2)
    return (both - by_chance) / ((first + second) / 2 - by_chance)


@dataclass
class Album:
    """Photos of people who are known to the test. `truth`: asset → (box, number of the person)."""

    stack: Stack
    truth: dict[str, list[tuple[tuple[float, ...], int]]]

    def run(self, *jobs: NewJob) -> None:
        """Until nothing waits, whatever was put off."""
        self.stack.enqueue(*jobs)
        for _ in range(50):
            self.stack.drain(leave_delayed=True)
            with self.stack.store.transaction(reading=True) as tx:
                if not any(count.delayed for count in self.stack.store.counts(tx).values()):
                    return
            self.stack.end_delays()
        raise AssertionError("something is put off for ever")

    def faces(self) -> list[AssetFace]:
        with self.stack.database.reader() as session:
            return list(session.scalars(select(AssetFace).order_by(AssetFace.id)))

    def people(self) -> dict[str, Person]:
        with self.stack.database.reader() as session:
            return {person.id: person for person in session.scalars(select(Person))}

    def who(self, face: AssetFace) -> int:
        """The number of the person who was drawn there."""
        x, y = (face.box_x1_px + face.box_x2_px) / 2, (face.box_y1_px + face.box_y2_px) / 2
        return next(who for box, who in self.truth[face.asset_id] if box[0] <= x <= box[2] and box[1] <= y <= box[3])

    def agreement(self) -> float:
        """Of the groups with the truth. Whoever is nobody's is a group alone."""
        found = self.faces()
        return adjusted_rand_index([face.person_id or face.id for face in found], [self.who(face) for face in found])

    def purity(self) -> float:
        """Share of the faces that somebody has, whose person is mostly who was drawn there."""
        owned = [(face.person_id, self.who(face)) for face in self.faces() if face.person_id is not None]
        most = {one: Counter(who for owner, who in owned if owner == one).most_common(1)[0][1] for one, _ in owned}
        return sum(most.values()) / len(owned)

    def groups(self) -> set[frozenset[str]]:
        """Who is together, whatever they are called."""
        of: dict[str, set[str]] = {}
        for face in self.faces():
            if face.person_id is not None:
                of.setdefault(face.person_id, set()).add(face.id)
        return {frozenset(ids) for ids in of.values()}

    def most_of(self, number: int) -> str:
        """The person who has most faces of that number."""
        return Counter(face.person_id for face in self.faces() if self.who(face) == number).most_common(1)[0][0] or ""


def jpeg(picture: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    models = tmp_path / "models"
    put_faces(models)
    with inline_stack(database_url, tmp_path, HELIOSTAT_MODEL_FOLDER=str(models)) as running:
        running.set_config(**FACES_ON)
        yield running


@pytest.fixture
def album(stack: Stack) -> Album:
    """Uploaded, and all done."""
    rng = np.random.default_rng(5)
    looks, album = [random_look(rng) for _ in range(PEOPLE)], Album(stack, {})
    for number in range(PHOTOS):
        add_photo(album, looks, [number % PEOPLE, (number + 1 + number // PEOPLE) % PEOPLE], rng)
    album.run()
    assert stack.failed() == {}
    return album


def add_photo(album: Album, looks: list[Look], who: list[int], rng: np.random.Generator) -> str:
    picture, drawn = group_photo([looks[one] for one in who], rng, 720, 480)
    asset_id = album.stack.upload(f"{len(album.truth)}.jpg", jpeg(picture))
    album.truth[asset_id] = [(face.box, one) for face, one in zip(drawn, who, strict=True)]
    return asset_id


def test_people_gather_by_themselves_and_stay_who_they_are(album: Album, report: Callable[[str], None]) -> None:
    """One album for all, since its photos are what takes time."""
    check_everybody_was_found(album, report)
    check_reset_depends_on_the_faces_alone(album, report)
    check_all_are_looked_at_though_some_wait(album)
    check_names_survive_and_what_a_person_said_stays(album)
    check_two_with_names_are_proposed(album)
    check_refresh_keeps_rows(album)
    check_missing_looks_at_what_was_never_looked_at(album)
    check_reset_of_detection_begins_anew(album)


def check_everybody_was_found(album: Album, report: Callable[[str], None]) -> None:
    found = album.faces()
    assert len(found) == 2 * PHOTOS
    report(f"{len(found)} drawn faces, one after the other: agreement (ARI) {album.agreement():.3f}")
    assert album.purity() > 0.9  # who stays alone for now depends on the order; who is together belongs together
    assert sum(face.person_id is not None for face in found) > len(found) / 2
    shown = album.people()
    assert all(Path(person.thumbnail_path).stat().st_size > 0 for person in shown.values())
    with album.stack.database.reader() as session:
        looked = session.scalars(select(AssetJobStatus.faces_recognized_at)).all()
    assert len(looked) == PHOTOS
    assert None not in looked


def check_reset_depends_on_the_faces_alone(album: Album, report: Callable[[str], None]) -> None:
    album.run(NewJob(RECOGNIZE, {"force": True}))
    together = album.groups()
    report(f"{2 * PHOTOS} drawn faces, all together: agreement (ARI) {album.agreement():.3f}")
    assert album.agreement() > 0.85
    with album.stack.database.reader() as session:
        assert people.count_listed(session, album.stack.owner, 3).total == PEOPLE
    before = {face.id: face.person_id for face in album.faces()}
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert {face.id: face.person_id for face in album.faces()} == before
    scramble(album)
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert album.groups() == together
    assert set(album.people()) == {face.person_id for face in album.faces()} - {None}


def check_all_are_looked_at_though_some_wait(album: Album) -> None:
    """As while faces come in: the run for those that nobody has begins while one of them waits."""
    with album.stack.database.session() as session:
        session.execute(update(AssetFace).values(person_id=None))
    album.stack.seen.clear()
    first = album.faces()[0]
    album.run(recognize_faces(), recognize_face(first.id, first.asset_id))
    assert {asset_id for name, asset_id in album.stack.seen if name is JobName.FACIAL_RECOGNITION} == set(album.truth)
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert album.agreement() > 0.85


def scramble(album: Album) -> None:
    """As if the faces had come in another order: some are nobody's, some are somebody else's."""
    ids = sorted(album.people())
    with album.stack.database.session() as session:
        for index, face in enumerate(album.faces()):
            wrong = ids[index % len(ids)] if index % 3 else None
            session.execute(update(AssetFace).where(AssetFace.id == face.id).values(person_id=wrong))


def check_names_survive_and_what_a_person_said_stays(album: Album) -> None:
    ann, odd = album.most_of(0), next(face for face in album.faces() if album.who(face) == 1)
    with album.stack.database.session() as session:
        session.execute(update(Person).where(Person.id == ann).values(name="Ann"))
        session.execute(update(AssetFace).where(AssetFace.id == odd.id).values(person_id=ann, assigned_by="manual"))
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert album.people()[ann].name == "Ann"
    assert album.most_of(0) == ann
    after = next(face for face in album.faces() if face.id == odd.id)
    assert (after.person_id, after.assigned_by) == (ann, "manual")
    assert album.most_of(1) not in ("", ann)
    with album.stack.database.session() as session:
        session.execute(update(AssetFace).where(AssetFace.id == odd.id).values(assigned_by=None))
        session.execute(update(Person).where(Person.id == ann).values(name=""))


def check_two_with_names_are_proposed(album: Album) -> None:
    """Somebody is torn in two, and both halves get a name."""
    whole = album.most_of(2)
    half = [face.id for face in album.faces() if face.person_id == whole][::2]
    times = {"created_at": album.stack.clock.now(), "updated_at": album.stack.clock.now()}
    with album.stack.database.session() as session:
        session.add(Person(id="other-half", owner_id=album.stack.owner, name="Cleo", face_asset_id=half[0], **times))
        session.execute(update(Person).where(Person.id == whole).values(name="Cloe"))
        session.flush()
        session.execute(update(AssetFace).where(AssetFace.id.in_(half)).values(person_id="other-half"))
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert {face.person_id for face in album.faces() if face.id in half} == {"other-half"}
    with album.stack.database.session() as session:
        [proposal] = people.open_proposals(session, album.stack.owner)
        assert {proposal.first_id, proposal.second_id} == {whole, "other-half"}
        proposal.declined_at = album.stack.clock.now()
    album.run(NewJob(RECOGNIZE, {"force": True}))
    with album.stack.database.session() as session:
        assert people.open_proposals(session, album.stack.owner) == []
        assert session.scalar(select(func.count()).select_from(MergeProposal)) == 1
        people.merge_people(
            session, session.get_one(Person, whole), session.get_one(Person, "other-half"), album.stack.clock.now()
        )


def check_refresh_keeps_rows(album: Album) -> None:
    before = {face.id: face.person_id for face in album.faces()}
    album.run(NewJob(DETECT, {}))
    assert {face.id: face.person_id for face in album.faces()} == before
    assert looked_at(album) == set(album.truth)


def looked_at(album: Album) -> set[str | None]:
    seen = {asset_id for name, asset_id in album.stack.seen if name is JobName.ASSET_DETECT_FACES}
    album.stack.seen.clear()
    return seen


def check_missing_looks_at_what_was_never_looked_at(album: Album) -> None:
    album.run(NewJob(DETECT, {"force": False}))
    assert looked_at(album) == set()
    some = sorted(album.truth)[:3]
    with album.stack.database.session() as session:
        never = update(AssetJobStatus).where(AssetJobStatus.asset_id.in_(some)).values(faces_recognized_at=None)
        session.execute(never)
    album.run(NewJob(DETECT, {"force": False}))
    assert looked_at(album) == set(some)


def check_reset_of_detection_begins_anew(album: Album) -> None:
    before = {face.id for face in album.faces()}
    spoken = {face.id for face in album.faces() if face.assigned_by == "manual"}
    assert spoken
    album.run(NewJob(DETECT, {"force": True}))
    after = {face.id for face in album.faces()}
    assert len(after) == len(before)
    assert after & before == spoken  # what a person said outlives even this
    assert looked_at(album) == set(album.truth)
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert album.agreement() > 0.85
    with album.stack.database.reader() as session:
        assert session.scalar(select(func.count()).select_from(FaceSearch)) == len(after)


def test_what_is_not_looked_at_says_why_and_its_chain_goes_on(stack: Stack) -> None:
    rng, album = np.random.default_rng(6), Album(stack, {})
    hidden = stack.upload("hidden.jpg", jpeg(backdrop(rng, 300, 200)), visibility="hidden")
    nobody = stack.upload("nobody.jpg", jpeg(backdrop(rng, 300, 200)))
    album.run()
    assert (JobName.ASSET_DETECT_FACES, hidden) in stack.seen
    assert album.faces() == []
    with stack.database.reader() as session:
        rows = session.execute(select(AssetJobStatus.asset_id, AssetJobStatus.faces_recognized_at)).all()
    looked = {row[0] for row in rows if row[1] is not None}
    assert looked == {nobody}

    stack.set_config(machineLearning={"enabled": False})
    stack.seen.clear()
    later = stack.upload("later.jpg", jpeg(group_photo([random_look(rng)], rng, 300, 300)[0]))
    album.run(NewJob(DETECT, {"force": True}), NewJob(RECOGNIZE, {"force": True}))
    assert (JobName.ASSET_DETECT_FACES, later) in stack.seen
    assert album.faces() == []


def test_a_broken_preview_fails_alone_and_a_missing_one_says_what_to_do(stack: Stack) -> None:
    rng, album = np.random.default_rng(7), Album(stack, {})
    looks = [random_look(rng) for _ in range(2)]
    good, broken, bare = (add_photo(album, looks, [0, 1], rng) for _ in range(3))
    stack.set_config(machineLearning={"enabled": False})
    album.run()
    stack.set_config(**FACES_ON)
    stack.files(broken)["preview"].write_bytes(b"no picture")
    with stack.database.session() as session:
        session.delete(
            session.scalars(select(AssetFile).where(AssetFile.asset_id == bare, AssetFile.type == "preview")).one()
        )
    album.run(*(asset_job(JobName.ASSET_DETECT_FACES, one) for one in (good, broken, bare)))
    failed = stack.failed()
    assert set(failed) == {broken, bare}
    assert "make its thumbnails first" in str(failed[bare].error)
    assert {face.asset_id for face in album.faces()} == {good}


def test_the_nightly_run_rests_while_nothing_is_new(stack: Stack) -> None:
    rng, album = np.random.default_rng(8), Album(stack, {})
    add_photo(album, [random_look(rng)], [0], rng)
    album.run()
    nightly = NewJob(RECOGNIZE, {"force": False, "nightly": True})

    def gathered() -> int:
        stack.seen.clear()
        album.run(nightly)
        return Counter(name for name, _ in stack.seen)[JobName.GATHER_PEOPLE]

    assert gathered() == 1
    assert gathered() == 0
    stack.clock.sleep(1)
    add_photo(album, [random_look(rng)], [0], rng)
    album.run()
    assert gathered() == 1


def test_a_face_of_an_archived_picture_makes_nobody_but_joins(stack: Stack) -> None:
    rng, album = np.random.default_rng(9), Album(stack, {})
    look = random_look(rng)
    for _ in range(4):
        stack.change(add_photo(album, [look], [0], rng), visibility="archive")
    album.run()
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert album.people() == {}
    for _ in range(4):
        add_photo(album, [look], [0], rng)
    album.run()
    album.run(NewJob(RECOGNIZE, {"force": True}))
    assert len(album.people()) == 1
    assert {face.person_id for face in album.faces()} == set(album.people())
