"""People and their faces: named by pictures themselves, listed, merged, deleted by who owns them.

Source: spec/jobs-media.md §1.6, spec/api.md §6.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, delete, exists, func, insert, or_, select, true, update
from sqlalchemy.orm import Session

from cluster.db.dialects import contains_text
from cluster.db.queries.assets import ARCHIVE, LOCKED, TIMELINE, in_pages
from cluster.db.tables.asset import Asset
from cluster.db.tables.person import AssetFace, MergeProposal, Person
from cluster.db.upsert import upsert

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
    """People who have no face that stands for them get this one: person → face. Not one in a locked picture."""
    for person_id, face_id in faces.items():
        locked = exists().where(AssetFace.id == face_id, Asset.id == AssetFace.asset_id, Asset.visibility == LOCKED)
        session.execute(
            update(Person)
            .where(Person.id == person_id, Person.face_asset_id.is_(None), ~locked)
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
    """Person → a face that can stand for them, of a picture in the timeline where there is one, else in the archive;
    those without a visible one are left out. What is locked or in the trash shows itself in no list of people."""
    in_timeline = case((Asset.visibility == TIMELINE, "0"), else_="1")
    found: dict[str, str] = {}
    for page in in_pages(person_ids):
        first = func.min(in_timeline + AssetFace.id)  # the least of both; ids are all of one length
        rows = session.execute(
            select(AssetFace.person_id, first.label("first"))
            .join(Asset, Asset.id == AssetFace.asset_id)
            .where(
                AssetFace.person_id.in_(page),
                AssetFace.deleted_at.is_(None),
                AssetFace.is_visible,
                Asset.deleted_at.is_(None),
                Asset.visibility.in_([TIMELINE, ARCHIVE]),
            )
            .group_by(AssetFace.person_id)
        )
        found |= {row.person_id: row.first[1:] for row in rows}
    return found


def person_of(session: Session, owner_id: str, person_id: str) -> Person | None:
    """The person, if they are the user's."""
    return session.scalar(select(Person).where(Person.id == person_id, Person.owner_id == owner_id))


@dataclass(frozen=True, slots=True)
class PeopleCount:
    """How many people a list has, hidden ones too, and how many of them are hidden."""

    total: int
    hidden: int


def _faces_on_timeline() -> Select[*tuple[Any, ...]]:
    """(person, number of faces that can be seen in their owner's timeline)."""
    return (
        select(AssetFace.person_id.label("person_id"), func.count().label("faces"))
        .join(Asset, Asset.id == AssetFace.asset_id)
        .where(
            AssetFace.person_id.is_not(None),
            AssetFace.deleted_at.is_(None),
            AssetFace.is_visible,
            Asset.deleted_at.is_(None),
            Asset.visibility == TIMELINE,
        )
        .group_by(AssetFace.person_id)
    )


def _listed(owner_id: str, minimum_faces: int, with_hidden: bool) -> tuple[Any, Select[Any]]:
    """The number of faces, and the ids of those who are worth a place in a list."""
    seen = _faces_on_timeline().join(Person, Person.id == AssetFace.person_id).where(Person.owner_id == owner_id)
    counted = seen.subquery()
    faces = func.coalesce(counted.c.faces, 0)
    wanted = (
        select(Person.id)
        .outerjoin(counted, counted.c.person_id == Person.id)
        .where(Person.owner_id == owner_id, or_(Person.name != "", faces >= minimum_faces))
    )
    return faces, wanted if with_hidden else wanted.where(Person.is_hidden.is_(False))


def count_listed(session: Session, owner_id: str, minimum_faces: int) -> PeopleCount:
    """Of those who are listed, hidden ones among them."""
    _, wanted = _listed(owner_id, minimum_faces, with_hidden=True)
    listed = wanted.add_columns(Person.is_hidden).subquery()
    rows = session.execute(select(listed.c.is_hidden, func.count()).group_by(listed.c.is_hidden)).all()
    return PeopleCount(sum(count for _, count in rows), sum(count for is_hidden, count in rows if is_hidden))


def listed_ids(session: Session, owner_id: str, minimum_faces: int, *, with_hidden: bool) -> list[str]:
    """Whoever has a name, or that many faces in the timeline: those who are shown first, then favourites, those with a
    name, those with many faces. Source: spec/jobs-ml.md §7."""
    faces, wanted = _listed(owner_id, minimum_faces, with_hidden)
    ordered = wanted.order_by(
        Person.is_hidden, Person.is_favorite.desc(), Person.name == "", faces.desc(), Person.name, Person.created_at,
        Person.id,
    )  # fmt: skip
    return list(session.scalars(ordered))


def people_by_id(session: Session, owner_id: str, person_ids: Collection[str]) -> dict[str, Person]:
    """Of these, those that are the user's."""
    return {
        person.id: person
        for page in in_pages(person_ids)
        for person in session.scalars(select(Person).where(Person.id.in_(page), Person.owner_id == owner_id))
    }


def people_named_like(session: Session, owner_id: str, name: str, *, with_hidden: bool, limit: int) -> list[Person]:
    """Whose name has `name` somewhere, whatever the accents and the case."""
    wanted = [Person.owner_id == owner_id, Person.name != "", contains_text(Person.name, name)]
    if not with_hidden:
        wanted.append(Person.is_hidden.is_(False))
    return list(session.scalars(select(Person).where(*wanted).order_by(Person.name, Person.id).limit(limit)))


def count_assets(session: Session, person_id: str) -> int:
    """Pictures of the timeline that the person is in."""
    return (
        session.scalar(
            select(func.count(AssetFace.asset_id.distinct()))
            .join(Asset, Asset.id == AssetFace.asset_id)
            .where(
                AssetFace.person_id == person_id,
                AssetFace.deleted_at.is_(None),
                AssetFace.is_visible,
                Asset.deleted_at.is_(None),
                Asset.visibility == TIMELINE,
            )
        )
        or 0
    )


def keep_person(session: Session, person_id: str) -> bool:
    """Keep the person from being deleted until the transaction ends; False when they are gone already."""
    kept = select(Person.id).where(Person.id == person_id).with_for_update(key_share=True)
    return session.scalar(kept) is not None


def face_of(session: Session, owner_id: str, face_id: str, *, with_locked: bool = False) -> AssetFace | None:
    """The face, if it is in a picture of the user's; locked for change where the database can."""
    return session.scalar(
        select(AssetFace)
        .join(Asset, Asset.id == AssetFace.asset_id)
        .where(
            AssetFace.id == face_id, Asset.owner_id == owner_id, true() if with_locked else Asset.visibility != LOCKED
        )
        .with_for_update(of=AssetFace)
    )


def faces_in(session: Session, asset_id: str, person_id: str | None = None) -> list[AssetFace]:
    """Faces of an asset that can be seen, of one person or of all, from left to right."""
    wanted = [AssetFace.asset_id == asset_id, AssetFace.deleted_at.is_(None), AssetFace.is_visible]
    if person_id is not None:
        wanted.append(AssetFace.person_id == person_id)
    return list(session.scalars(select(AssetFace).where(*wanted).order_by(AssetFace.box_x1_px, AssetFace.id)))


def merge_people(session: Session, into: Person, other: Person, now: datetime) -> None:
    """A person says that both are one: `other` goes, and what is known of them alone stays."""
    session.execute(
        update(AssetFace)
        .where(AssetFace.person_id == other.id)
        .values(person_id=into.id, assigned_by=MANUAL, updated_at=now)
        .execution_options(synchronize_session=False)
    )
    into.name, into.birth_date = into.name or other.name, into.birth_date or other.birth_date
    into.updated_at = now
    session.delete(other)
    session.flush()


def delete_people(session: Session, person_ids: Collection[str], now: datetime) -> list[str]:
    """Their faces are nobody's, as if nobody had spoken of them. Returns the paths of their pictures."""
    paths: list[str] = []
    for page in in_pages(person_ids):
        session.execute(
            update(AssetFace)
            .where(AssetFace.person_id.in_(page))
            .values(person_id=None, assigned_by=None, updated_at=now)
            .execution_options(synchronize_session=False)
        )
        gone = delete(Person).where(Person.id.in_(page)).returning(Person.thumbnail_path)
        paths += session.scalars(gone.execution_options(synchronize_session=False))
    return sorted(path for path in paths if path)


def propose_merges(session: Session, owner_id: str, proposals: Mapping[tuple[str, str], int], now: datetime) -> None:
    """These are the owner's proposals now: (smaller id, larger id) → faces. What was declined stays so."""
    mine = MergeProposal.first_id.in_(select(Person.id).where(Person.owner_id == owner_id))
    session.execute(
        delete(MergeProposal)
        .where(mine, MergeProposal.declined_at.is_(None))
        .execution_options(synchronize_session=False)
    )
    rows = [
        {"first_id": first, "second_id": second, "faces": faces, "proposed_at": now, "declined_at": None}
        for (first, second), faces in proposals.items()
    ]
    columns = ["faces", "proposed_at", "declined_at"]
    upsert(session, MergeProposal, rows, key=["first_id", "second_id"], keep=columns)


def open_proposals(session: Session, owner_id: str) -> list[MergeProposal]:
    """What nobody has answered, that with most faces first."""
    return list(
        session.scalars(
            select(MergeProposal)
            .join(Person, Person.id == MergeProposal.first_id)
            .where(Person.owner_id == owner_id, MergeProposal.declined_at.is_(None))
            .order_by(MergeProposal.faces.desc(), MergeProposal.first_id, MergeProposal.second_id)
        )
    )


def shown_by(session: Session, face_ids: Collection[str]) -> set[str]:
    """People for whom one of these faces stands."""
    return {
        person_id
        for page in in_pages(face_ids)
        for person_id in session.scalars(select(Person.id).where(Person.face_asset_id.in_(page)))
    }


def shown_in(session: Session, asset_ids: Collection[str]) -> set[str]:
    """People for whom a face in one of these assets stands."""
    return {
        person_id
        for page in in_pages(asset_ids)
        for person_id in session.scalars(
            select(Person.id).join(AssetFace, AssetFace.id == Person.face_asset_id).where(AssetFace.asset_id.in_(page))
        )
    }


def hide_pictures(session: Session, person_ids: Collection[str]) -> list[str]:
    """These people have no picture until it is made anew; returns the paths of what they had."""
    paths: set[str] = set()
    for page in in_pages(person_ids):
        shown = Person.id.in_(page), Person.thumbnail_path != ""
        paths.update(session.scalars(select(Person.thumbnail_path).where(*shown)))
        session.execute(update(Person).where(*shown).values(thumbnail_path=""))
    return sorted(paths)


def show_by(session: Session, faces: Mapping[str, str | None], now: datetime) -> None:
    """Person → the face that stands for them from now on."""
    for person_id, face_id in faces.items():
        session.execute(update(Person).where(Person.id == person_id).values(face_asset_id=face_id, updated_at=now))
