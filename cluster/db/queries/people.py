"""People and their faces, as far as pictures name them themselves. Source: spec/jobs-media.md §1.6."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from cluster.db.queries.assets import in_pages
from cluster.db.tables.person import AssetFace, Person

EXIF, MANUAL = "exif", "manual"
"""A face's `source_type` and `assigned_by`: the picture's own metadata, a person."""


@dataclass(frozen=True, slots=True)
class FaceBox:
    """Where a face is: pixels of an upright picture of this size."""

    image_width_px: int
    image_height_px: int
    box_x1_px: int
    box_y1_px: int
    box_x2_px: int
    box_y2_px: int


def people_named(
    session: Session, owner_id: str, names: Collection[str], now: datetime
) -> tuple[dict[str, str], list[str]]:
    """(name in lower case → person, the people that were made for it). Hidden people count."""
    rows = session.execute(
        select(Person.name, Person.id)
        .where(Person.owner_id == owner_id, Person.name != "")
        .order_by(Person.created_at.desc(), Person.id)
    )
    # not in SQL: SQLite's lower() knows ASCII alone
    known = {row.name.lower(): row.id for row in rows}
    missing = {name.lower(): name for name in names if name.lower() not in known}
    times = {"created_at": now, "updated_at": now}
    made = {
        key: {"id": str(uuid.uuid4()), "owner_id": owner_id, "name": name, **times} for key, name in missing.items()
    }
    if made:
        session.execute(insert(Person), list(made.values()))
    new_ids = {key: str(row["id"]) for key, row in made.items()}
    return known | new_ids, list(new_ids.values())


def replace_named_faces(
    session: Session, asset_id: str, faces: Sequence[tuple[str, FaceBox]], now: datetime
) -> dict[str, str]:
    """The asset's faces of source `exif` become these (person, box). Those that are there already keep their ids, and
    what a person said of them: whose they are, or that they are none. Returns person → one of the new faces."""
    known = session.scalars(
        select(AssetFace).where(AssetFace.asset_id == asset_id, AssetFace.source_type == EXIF)
    ).all()
    wanted = {box: person_id for person_id, box in faces}
    kept: set[FaceBox] = set()
    for face in known:
        box = _box(face)
        said_by_hand = face.assigned_by == MANUAL or face.deleted_at is not None
        if box in wanted and box not in kept and (said_by_hand or face.person_id == wanted[box]):
            kept.add(box)
        else:
            session.delete(face)
    session.flush()
    rows = [
        {
            **{"id": str(uuid.uuid4()), "asset_id": asset_id, "person_id": person_id},
            **{name: getattr(box, name) for name in FaceBox.__slots__},
            **{"source_type": EXIF, "assigned_by": EXIF, "created_at": now, "updated_at": now},
        }
        for box, person_id in wanted.items()
        if box not in kept
    ]
    if rows:
        session.execute(insert(AssetFace), rows)
    return {str(row["person_id"]): str(row["id"]) for row in rows}


def _box(face: AssetFace) -> FaceBox:
    return FaceBox(**{name: getattr(face, name) for name in FaceBox.__slots__})


def give_first_face(session: Session, faces: dict[str, str], now: datetime) -> None:
    """People who have no face that stands for them get this one: person → face."""
    for person_id, face_id in faces.items():
        session.execute(
            update(Person)
            .where(Person.id == person_id, Person.face_asset_id.is_(None))
            .values(face_asset_id=face_id, updated_at=now)
        )


def without_face(session: Session, person_ids: Collection[str]) -> set[str]:
    """Of these people, those for whom no face stands yet."""
    return {
        person_id
        for page in in_pages(person_ids)
        for person_id in session.scalars(select(Person.id).where(Person.id.in_(page), Person.face_asset_id.is_(None)))
    }


def first_faces(session: Session, person_ids: Collection[str]) -> dict[str, str]:
    """Person → a face that can stand for them; those without a visible one are left out."""
    seen = AssetFace.deleted_at.is_(None) & AssetFace.is_visible
    return {
        row.person_id: row.id
        for page in in_pages(person_ids)
        for row in session.execute(
            select(AssetFace.person_id, func.min(AssetFace.id).label("id"))
            .where(AssetFace.person_id.in_(page), seen)
            .group_by(AssetFace.person_id)
        )
    }


def person_of(session: Session, owner_id: str, person_id: str) -> Person | None:
    """The person, if they are the user's."""
    return session.scalar(select(Person).where(Person.id == person_id, Person.owner_id == owner_id))
