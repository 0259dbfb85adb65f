"""What becomes of the rows of faces when a model looks at a picture again, on both databases."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import insert, select, update

from cluster.db.queries import embeddings, faces, people
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.queries.faces import SeenFace
from cluster.db.tables.learned import FaceSearch
from cluster.db.tables.person import AssetFace
from cluster.db.tables.person import Person as PersonRow
from tests.api_stack import ApiStack, Person, api_stack
from tests.library_rows import NOON, add, add_asset, add_person

MODEL, SIZE = "tiny", (1000, 500)
LATER = datetime(2025, 1, 1, tzinfo=UTC)
LEFT, RIGHT = (100, 100, 200, 200), (600, 100, 700, 200)
FACE = EmbeddingKind.FACE_SEARCH


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[ApiStack]:
    with api_stack(database_url, tmp_path / "media") as built:
        yield built


@pytest.fixture
def ann(stack: ApiStack) -> Person:
    return stack.add_person("ann")


@pytest.fixture
def asset_id(stack: ApiStack, ann: Person) -> str:
    return add_asset(stack, ann)


def point(number: int) -> NDArray[np.float32]:
    return np.eye(512, dtype=np.float32)[number]


def look(
    stack: ApiStack, asset_id: str, *boxes: tuple[int, int, int, int], model: str = MODEL, first: int = 0
) -> list[str]:
    """A model sees faces in these boxes, whose embeddings are numbered from `first`; returns new ids."""
    seen = [SeenFace(box, point(first + index)) for index, box in enumerate(boxes)]
    with stack.services.database.session() as session:
        return faces.replace_found_faces(session, asset_id, seen, SIZE, model, LATER)


def add_face(stack: ApiStack, asset_id: str, box: tuple[int, int, int, int], **columns: Any) -> str:
    names = ("box_x1_px", "box_y1_px", "box_x2_px", "box_y2_px")
    size = {"image_width_px": SIZE[0], "image_height_px": SIZE[1]}
    times = {"created_at": NOON, "updated_at": NOON}
    return add(stack, AssetFace, asset_id=asset_id, **(size | times | dict(zip(names, box, strict=True)) | columns))


def known(stack: ApiStack, asset_id: str) -> dict[str, AssetFace]:
    with stack.services.database.reader() as session:
        return {face.id: face for face in session.scalars(select(AssetFace).where(AssetFace.asset_id == asset_id))}


def number_of(stack: ApiStack, face_id: str) -> int | None:
    with stack.services.database.reader() as session:
        found = embeddings.embedding_of(session, FACE, face_id)
    return None if found is None else int(found.argmax())


def test_a_face_that_nobody_knew_gets_a_row_and_an_embedding(stack: ApiStack, asset_id: str) -> None:
    new = look(stack, asset_id, LEFT, RIGHT)
    rows = known(stack, asset_id)
    assert list(rows) != []
    assert set(new) == set(rows)
    face = rows[new[0]]
    assert (face.box_x1_px, face.box_y2_px, face.image_width_px, face.source_type) == (
        100,
        200,
        1000,
        "machine-learning",
    )
    assert (face.person_id, face.assigned_by) == (None, None)
    assert [number_of(stack, one) for one in new] == [0, 1]


def test_a_known_face_keeps_its_row_its_person_and_its_embedding(stack: ApiStack, ann: Person, asset_id: str) -> None:
    [face_id] = look(stack, asset_id, LEFT)
    ada = add_person(stack, ann, "Ada")
    with stack.services.database.session() as session:
        faces.give_to_person(session, [face_id], ada, LATER)
    assert look(stack, asset_id, (105, 98, 204, 203), first=7) == []
    assert known(stack, asset_id)[face_id].person_id == ada
    assert number_of(stack, face_id) == 0


def test_another_model_gives_a_known_face_another_embedding(stack: ApiStack, asset_id: str) -> None:
    [face_id] = look(stack, asset_id, LEFT)
    assert look(stack, asset_id, LEFT, model="large", first=7) == []
    assert number_of(stack, face_id) == 7


def test_a_face_elsewhere_is_another_and_the_old_one_goes(stack: ApiStack, asset_id: str) -> None:
    [old] = look(stack, asset_id, LEFT)
    [new] = look(stack, asset_id, (150, 100, 250, 200))  # a third of both together
    assert set(known(stack, asset_id)) == {new}
    assert old != new


def test_boxes_are_compared_in_shares_of_the_picture(stack: ApiStack, asset_id: str) -> None:
    small = add_face(stack, asset_id, (50, 50, 100, 100), image_width_px=500, image_height_px=250)
    assert look(stack, asset_id, LEFT) == []
    assert number_of(stack, small) == 0


@pytest.mark.parametrize("source", ["exif", "manual"])
def test_a_face_that_others_named_gets_the_embedding_and_stays_when_unseen(
    stack: ApiStack, asset_id: str, source: str
) -> None:
    named = add_face(stack, asset_id, LEFT, source_type=source, assigned_by=source)
    assert look(stack, asset_id, LEFT) == []
    assert number_of(stack, named) == 0
    assert look(stack, asset_id) == []
    assert set(known(stack, asset_id)) == {named}


def test_two_boxes_on_one_known_face_make_no_second(stack: ApiStack, asset_id: str) -> None:
    [face_id] = look(stack, asset_id, LEFT)
    assert look(stack, asset_id, LEFT, (104, 104, 204, 204), first=5) == []
    assert set(known(stack, asset_id)) == {face_id}
    assert number_of(stack, face_id) == 6  # a second match leaves its embedding


def test_what_a_person_took_away_or_assigned_stays(stack: ApiStack, asset_id: str) -> None:
    removed = add_face(stack, asset_id, LEFT, deleted_at=NOON)
    assigned = add_face(stack, asset_id, RIGHT, assigned_by="manual")
    add_face(stack, asset_id, (300, 300, 400, 400))
    assert look(stack, asset_id, LEFT) == []  # not found anew
    assert set(known(stack, asset_id)) == {removed, assigned}


def test_reset_forgets_what_models_found_page_by_page(stack: ApiStack, ann: Person, asset_id: str) -> None:
    look(stack, asset_id, LEFT, RIGHT)
    kept = {add_face(stack, asset_id, LEFT, source_type="exif"), add_face(stack, asset_id, RIGHT, assigned_by="manual")}
    counts = []
    while not counts or counts[-1]:
        with stack.services.database.session() as session:
            counts.append(faces.forget_found_faces(session, 1))
    assert counts == [1, 1, 0]
    assert set(known(stack, asset_id)) == kept
    with stack.services.database.reader() as session:
        assert session.scalars(select(FaceSearch.face_id)).all() == []


def test_a_model_moves_no_face_that_somebody_spoke_of(stack: ApiStack, ann: Person, asset_id: str) -> None:
    free = add_face(stack, asset_id, LEFT)
    spoken = [add_face(stack, asset_id, RIGHT, assigned_by=by) for by in ("manual", "exif")]
    ada = add_person(stack, ann, "Ada")
    with stack.services.database.session() as session:
        faces.give_to_person(session, [free, *spoken], ada, LATER)
    owners = {face_id: face.person_id for face_id, face in known(stack, asset_id).items()}
    assert owners == {free: ada, **dict.fromkeys(spoken)}


def test_comparable_are_faces_to_be_seen_of_one_owner_and_model(stack: ApiStack, ann: Person, asset_id: str) -> None:
    ben = stack.add_person("ben")
    shown = look(stack, asset_id, LEFT, RIGHT)
    look(stack, add_asset(stack, ann), LEFT, model="large")
    look(stack, add_asset(stack, ben), LEFT)
    look(stack, add_asset(stack, ann, deleted_at=NOON), LEFT)
    hidden = add_face(stack, asset_id, (10, 10, 60, 60), is_visible=False)
    unborn = str(uuid.uuid4())
    times = {"created_at": NOON, "updated_at": NOON}
    with stack.services.database.session() as session:
        embeddings.put(session, FACE, MODEL, {hidden: point(9)})
        row = {"id": unborn, "owner_id": ann.user_id, "birth_date": (NOON + timedelta(days=9)).date(), **times}
        session.execute(insert(PersonRow).values(**row))
        faces.give_to_person(session, [shown[1]], unborn, LATER)

    def ids(**more: Any) -> set[str]:
        with stack.services.database.reader() as session:
            return set(session.scalars(faces.comparable_faces(ann.user_id, MODEL, **more)))

    assert ids() == set(shown)
    assert ids(taken_on=NOON.date()) == {shown[0]}
    assert ids(taken_on=(NOON + timedelta(days=10)).date(), known=True) == {shown[1]}


def test_a_picture_in_the_timeline_shows_somebody_and_none_that_is_put_away(stack: ApiStack, ann: Person) -> None:
    ada = add_person(stack, ann, "Ada")
    places = {
        visibility: add_asset(stack, ann, visibility=visibility) for visibility in ("locked", "archive", "timeline")
    }
    places["trash"] = add_asset(stack, ann, deleted_at=NOON)
    of = {place: {add_face(stack, asset, LEFT, person_id=ada) for _ in range(5)} for place, asset in places.items()}

    def chosen() -> str | None:
        with stack.services.database.reader() as session:
            return people.first_faces(session, [ada]).get(ada)

    for place in ("timeline", "archive"):
        assert chosen() == min(of[place])
        with stack.services.database.session() as session:
            session.execute(update(AssetFace).where(AssetFace.id.in_(of[place])).values(is_visible=False))
    assert chosen() is None
