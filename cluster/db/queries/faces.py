"""Faces that models find: rows kept where they were known, and what recognition asks of them.

Source: spec/jobs-ml.md §6, §7.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, delete, exists, insert, not_, or_, select, update
from sqlalchemy.orm import Session

from cluster.db.queries import embeddings
from cluster.db.queries.assets import TIMELINE, in_pages
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.queries.people import MANUAL
from cluster.db.tables.asset import Asset
from cluster.db.tables.learned import FaceSearch
from cluster.db.tables.person import AssetFace, Person

MACHINE_LEARNING = "machine-learning"
"""A face's `source_type` and `assigned_by`: a model."""

SAME_FACE_IOU = 0.5
"""Boxes that share more than this of what they cover together are of one face."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class SeenFace:
    """`box`: left, top, right, bottom in pixels of the picture that was looked at. `embedding`: float32 (512,)."""

    box: tuple[int, int, int, int]
    embedding: NDArray[np.float32]


def replace_found_faces(
    session: Session, asset_id: str, seen: Sequence[SeenFace], size: tuple[int, int], model: str, now: datetime
) -> list[str]:
    """The asset's faces of source machine-learning become these, found by `model` in a picture of `size` (width,
    height); returns the ids of those that nobody knew before.

    Where one was known its row stays, and with it whose it is. Of those that are not seen any more, the ones stay that
    a person spoke of: said whose they are, or that they are none.
    """
    known = session.scalars(
        select(AssetFace).where(AssetFace.asset_id == asset_id).order_by(AssetFace.created_at, AssetFace.id)
    ).all()
    fresh = set(
        session.scalars(
            select(FaceSearch.face_id).where(
                FaceSearch.face_id.in_([face.id for face in known]), FaceSearch.model == model
            )
        )
    )
    kept: set[str] = set()
    rows, points = list[dict[str, object]](), dict[str, NDArray[np.float32]]()
    for one in seen:
        match = next(
            (face for face in known if _iou(_box_in(face, one.box, size), _box_of(face)) > SAME_FACE_IOU), None
        )
        if match is None:
            rows.append({"id": str(uuid.uuid4()), **_columns(asset_id, one.box, size), **_times(now)})
            points[str(rows[-1]["id"])] = one.embedding
        elif match.source_type == MACHINE_LEARNING and match.id not in kept and match.id in fresh:
            kept.add(match.id)
        else:
            kept.add(match.id)
            points[match.id] = one.embedding
    gone = [face.id for face in known if face.id not in kept and _is_disposable(face)]
    session.execute(delete(AssetFace).where(AssetFace.id.in_(gone)).execution_options(synchronize_session=False))
    if rows:
        session.execute(insert(AssetFace), rows)
    embeddings.put(session, EmbeddingKind.FACE_SEARCH, model, points)
    return [str(row["id"]) for row in rows]


def _columns(asset_id: str, box: tuple[int, int, int, int], size: tuple[int, int]) -> dict[str, object]:
    names = ("box_x1_px", "box_y1_px", "box_x2_px", "box_y2_px")
    return {
        "asset_id": asset_id,
        "image_width_px": size[0],
        "image_height_px": size[1],
        **dict(zip(names, box, strict=True)),
        "source_type": MACHINE_LEARNING,
    }


def _times(now: datetime) -> dict[str, object]:
    return {"created_at": now, "updated_at": now}


def _is_disposable(face: AssetFace) -> bool:
    return face.source_type == MACHINE_LEARNING and face.assigned_by != MANUAL and face.deleted_at is None


def _box_of(face: AssetFace) -> Box:
    return face.box_x1_px, face.box_y1_px, face.box_x2_px, face.box_y2_px


def _box_in(face: AssetFace, box: Box, size: tuple[int, int]) -> Box:
    """The box in the pixels that the face's are in."""
    x, y = face.image_width_px / size[0], face.image_height_px / size[1]
    return box[0] * x, box[1] * y, box[2] * x, box[3] * y


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def forget_found_faces(session: Session, limit: int) -> int:
    """Delete up to `limit` faces that models found and of which nobody spoke; returns how many. Those that stay lose
    what models made of them."""
    found = session.scalars(
        select(AssetFace.id)
        .where(
            AssetFace.source_type == MACHINE_LEARNING,
            AssetFace.deleted_at.is_(None),
            or_(AssetFace.assigned_by.is_(None), AssetFace.assigned_by != MANUAL),
        )
        .limit(limit)
    ).all()
    for page in in_pages(found):
        session.execute(delete(AssetFace).where(AssetFace.id.in_(page)).execution_options(synchronize_session=False))
    if len(found) < limit:
        session.execute(delete(FaceSearch).execution_options(synchronize_session=False))
    return len(found)


@dataclass(frozen=True, slots=True)
class FaceFacts:
    """What recognition knows of a face and its picture. `model` None: it has no embedding."""

    face_id: str
    asset_id: str
    owner_id: str
    source_type: str
    person_id: str | None
    is_shown: bool
    model: str | None
    visibility: str
    taken_on: date


def face_facts(session: Session, face_id: str) -> FaceFacts | None:
    row = session.execute(
        select(AssetFace, Asset, FaceSearch.model)
        .join(Asset, Asset.id == AssetFace.asset_id)
        .outerjoin(FaceSearch, FaceSearch.face_id == AssetFace.id)
        .where(AssetFace.id == face_id)
    ).one_or_none()
    if row is None:
        return None
    face, asset, model = row
    return FaceFacts(
        face_id,
        asset.id,
        asset.owner_id,
        face.source_type,
        face.person_id,
        face.is_visible and face.deleted_at is None and asset.deleted_at is None,
        model,
        asset.visibility,
        asset.local_date_time.date(),
    )


def comparable_faces(owner_id: str, model: str, taken_on: date | None = None, *, known: bool = False) -> Select[Any]:
    """Ids of the owner's faces that can be seen and that `model` embedded; with `taken_on`, not those of people who
    were not born then; `known`: only those with a person."""
    wanted = _shown(owner_id, model)
    if known:
        wanted.append(AssetFace.person_id.is_not(None))
    if taken_on is not None:
        wanted.append(not_(exists().where(Person.id == AssetFace.person_id, Person.birth_date > taken_on)))
    return (
        select(AssetFace.id)
        .join(Asset, Asset.id == AssetFace.asset_id)
        .join(FaceSearch, FaceSearch.face_id == AssetFace.id)
        .where(*wanted)
    )


def _shown(owner_id: str, model: str) -> list[Any]:
    return [
        Asset.owner_id == owner_id,
        Asset.deleted_at.is_(None),
        AssetFace.deleted_at.is_(None),
        AssetFace.is_visible,
        FaceSearch.model == model,
    ]


def people_of_faces(session: Session, face_ids: Collection[str]) -> dict[str, str]:
    """Face → person, for those that have one."""
    return {
        row.id: row.person_id
        for page in in_pages(face_ids)
        for row in session.execute(
            select(AssetFace.id, AssetFace.person_id).where(AssetFace.id.in_(page), AssetFace.person_id.is_not(None))
        )
    }


def give_to_person(session: Session, face_ids: Collection[str], person_id: str | None, now: datetime) -> None:
    """A model says whose these faces are. Those that a person or the picture itself spoke of stay as they are."""
    for page in in_pages(face_ids):
        session.execute(
            update(AssetFace)
            .where(
                AssetFace.id.in_(page),
                AssetFace.source_type == MACHINE_LEARNING,
                or_(AssetFace.assigned_by.is_(None), AssetFace.assigned_by == MACHINE_LEARNING),
            )
            .values(person_id=person_id, assigned_by=None if person_id is None else MACHINE_LEARNING, updated_at=now)
            .execution_options(synchronize_session=False)
        )


def add_people(session: Session, owner_id: str, new_people: Mapping[str, str], now: datetime) -> None:
    """People without a name: person → the face that stands for them."""
    times = {"created_at": now, "updated_at": now}
    rows = [
        {"id": person_id, "owner_id": owner_id, "face_asset_id": face_id, **times}
        for person_id, face_id in new_people.items()
    ]
    if rows:
        session.execute(insert(Person), rows)


def unknown_faces_after(session: Session, face_id: str, limit: int) -> list[tuple[str, str]]:
    """(face, asset) of faces that models found and that nobody has, in the order of their ids."""
    rows = session.execute(
        select(AssetFace.id, AssetFace.asset_id)
        .where(
            AssetFace.source_type == MACHINE_LEARNING,
            AssetFace.person_id.is_(None),
            AssetFace.deleted_at.is_(None),
            AssetFace.is_visible,
            AssetFace.id > face_id,
        )
        .order_by(AssetFace.id)
        .limit(limit)
    )
    return [(row.id, row.asset_id) for row in rows]


def owners_of_faces(session: Session) -> list[str]:
    """Users in whose pictures models found faces."""
    found = select(Asset.owner_id).join(AssetFace, AssetFace.asset_id == Asset.id)
    return list(
        session.scalars(found.join(FaceSearch, FaceSearch.face_id == AssetFace.id).distinct().order_by("owner_id"))
    )


@dataclass(frozen=True, slots=True)
class GatheredFace:
    """A face that takes part when people are gathered anew. `is_settled`: a person, or the picture itself, said whose
    it is. `may_lead`: its picture is in the timeline."""

    face_id: str
    person_id: str | None
    is_settled: bool
    may_lead: bool
    taken_on: date


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """`is_marked`: a person gave a name or a birthday, or hid or favoured them. `age`: the smaller, the older."""

    is_marked: bool
    birth_date: date | None
    age: int


def known_people(session: Session, owner_id: str) -> dict[str, KnownPerson]:
    """Everybody of the owner by id."""
    rows = session.scalars(select(Person).where(Person.owner_id == owner_id).order_by(Person.created_at, Person.id))
    return {
        one.id: KnownPerson(bool(one.name or one.birth_date or one.is_hidden or one.is_favorite), one.birth_date, age)
        for age, one in enumerate(rows)
    }


def gathered_faces(session: Session, owner_id: str, model: str) -> Iterator[tuple[GatheredFace, bytes]]:
    """Every face of the owner that `model` embedded and that can be seen, with its packed embedding, by id."""
    rows = session.execute(
        select(AssetFace, Asset.visibility, Asset.local_date_time, FaceSearch.embedding)
        .join(Asset, Asset.id == AssetFace.asset_id)
        .join(FaceSearch, FaceSearch.face_id == AssetFace.id)
        .where(*_shown(owner_id, model))
        .order_by(AssetFace.id)
        .execution_options(yield_per=2000)
    )
    for face, visibility, taken_at, embedding in rows:
        is_settled = face.assigned_by not in (None, MACHINE_LEARNING) or face.source_type != MACHINE_LEARNING
        gathered = GatheredFace(face.id, face.person_id, is_settled, visibility == TIMELINE, taken_at.date())
        yield gathered, embedding


def standing_faces(owner_id: str) -> Select[Any]:
    """Ids of the faces that stand for the owner's people."""
    return select(AssetFace.id).join(Person, Person.face_asset_id == AssetFace.id).where(Person.owner_id == owner_id)


def shown_faces(session: Session, owner_id: str) -> dict[str, str]:
    """The same, face → person."""
    rows = session.execute(
        select(AssetFace.id, Person.id)
        .select_from(Person)
        .join(AssetFace, Person.face_asset_id == AssetFace.id)
        .where(Person.owner_id == owner_id)
    )
    return {row[0]: row[1] for row in rows}
