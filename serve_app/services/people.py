"""A user's people: listed, made, changed, merged, deleted. What a person says of a face is never undone by a model.

Source: spec/api.md §6, spec/jobs-ml.md §7.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from cluster.db.queries import embeddings, faces, people, users
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.queries.people import MANUAL, PeopleCount
from cluster.db.tables.person import AssetFace, MergeProposal, Person
from cluster.errors import BadRequest
from cluster.queue.job import Priority
from serve_app.deps import Services
from serve_app.services.get_asset import no_access, require_unlocked
from serve_app.services.outcomes import Outcome, Refusal, done, one_by_one
from serve_app.services.users import preference
from tasks.jobs.delete_files import delete_files
from tasks.pipeline import picture_person

MOST_FOUND = 1000
MINIMUM_FACES = 3
"""Faces of somebody without a name who is worth a place in the list, unless the user says otherwise."""


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """Some of those who are listed. `count`: of all."""

    people: Sequence[Person]
    count: PeopleCount
    has_next: bool


def list_people(
    services: Services,
    user_id: str,
    *,
    page: int,
    size: int,
    with_hidden: bool,
    closest_person_id: str | None,
    closest_asset_id: str | None,
) -> PeoplePage:
    """`closest_*`: those who look like this person, or like a face of this asset, come first. Raises BadRequest.
    Blocks."""
    with services.database.reader() as session:
        user = users.by_id(session, user_id)
        assert user is not None
        minimum_faces = preference(user, "people", "minimumFaces", MINIMUM_FACES)
        ids = people.listed_ids(session, user_id, minimum_faces, with_hidden=with_hidden)
        face_id = _closest_face(session, user_id, closest_person_id, closest_asset_id)
        if face_id is not None:
            ids = _by_likeness(services, session, user_id, ids, face_id)
        wanted = ids[(page - 1) * size : page * size]
        found = people.people_by_id(session, user_id, wanted)
        count = people.count_listed(session, user_id, minimum_faces)
        return PeoplePage([found[one] for one in wanted], count, len(ids) > page * size)


def _closest_face(session: Session, user_id: str, person_id: str | None, asset_id: str | None) -> str | None:
    """Clients also give a face's id where an asset's is asked for."""
    if person_id is not None:
        return require_person(session, user_id, person_id, "person.read").face_asset_id
    if asset_id is None:
        return None
    face = people.face_of(session, user_id, asset_id)
    if face is not None:
        return face.id
    require_unlocked(session, user_id, [asset_id], "asset.read")
    return next((face.id for face in people.faces_in(session, asset_id)), None)


def _by_likeness(services: Services, session: Session, user_id: str, ids: Sequence[str], face_id: str) -> list[str]:
    """People whose face looks most like this one first; those without one that can be compared keep their order."""
    point = embeddings.embedding_of(session, EmbeddingKind.FACE_SEARCH, face_id)
    if point is None:
        return list(ids)
    person_of = faces.shown_faces(session, user_id)
    kind, among, most = EmbeddingKind.FACE_SEARCH, faces.standing_faces(user_id), max(1, len(person_of))
    near = services.vectors.nearest(session, kind, point, most, among, user_id)
    rank = {person_of[match.id]: index for index, match in enumerate(near)}
    return sorted(ids, key=lambda one: rank.get(one, len(rank)))


def get_person(services: Services, user_id: str, person_id: str) -> Person:
    """Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        return require_person(session, user_id, person_id, "person.read")


def find_people(services: Services, user_id: str, name: str, *, with_hidden: bool) -> list[Person]:
    """By a part of the name. Blocks."""
    with services.database.reader() as session:
        return people.people_named_like(session, user_id, name, with_hidden=with_hidden, limit=MOST_FOUND)


def count_pictures(services: Services, user_id: str, person_id: str) -> int:
    """Pictures in the timeline that the person is in. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_person(session, user_id, person_id, "person.statistics")
        return people.count_assets(session, person_id)


def create_person(services: Services, user_id: str, columns: Mapping[str, Any]) -> Person:
    """Somebody without a face yet. Raises BadRequest. Blocks."""
    now = services.clock.now()
    _check(services, columns)
    with services.database.session(durable=True) as session:
        person = Person(id=str(uuid.uuid4()), owner_id=user_id, created_at=now, updated_at=now, **columns)
        session.add(person)
        session.flush()
        return person


def update_person(
    services: Services, user_id: str, person_id: str, columns: Mapping[str, Any], feature_asset_id: str | None
) -> Person:
    """`feature_asset_id`: the asset whose picture of the person is to stand for them. Raises BadRequest. Blocks."""
    _check(services, columns)
    with services.database.session(durable=True) as session:
        person = require_person(session, user_id, person_id, "person.update")
        if feature_asset_id is not None:
            require_unlocked(session, user_id, [feature_asset_id], "asset.read")
            face = next(iter(people.faces_in(session, feature_asset_id, person_id)), None)
            if face is None:
                raise BadRequest("Invalid assetId for feature face")
            person.face_asset_id = face.id
            draw_anew(services, session, [person_id])
        for column, value in columns.items():
            setattr(person, column, value)
        person.updated_at = services.clock.now()
        session.flush()
        return person


def update_people(
    services: Services, user_id: str, wanted: Sequence[tuple[str, Mapping[str, Any], str | None]]
) -> list[Outcome]:
    """`wanted`: as `update_person`, for many; each may fail alone. Blocks."""
    outcomes = []
    for person_id, columns, feature_asset_id in wanted:
        try:
            update_person(services, user_id, person_id, columns, feature_asset_id)
            outcomes.append(Outcome(person_id))
        except BadRequest:
            outcomes.append(Outcome(person_id, Refusal.UNKNOWN))
    return outcomes


def delete_people(services: Services, user_id: str, person_ids: Sequence[str]) -> None:
    """All or none; their faces stay, as nobody's. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        if len(people.people_by_id(session, user_id, person_ids)) < len(set(person_ids)):
            raise no_access("person.delete")
        pictures = people.delete_people(session, person_ids, services.clock.now())
        if pictures:
            services.store.enqueue(session, [delete_files(pictures)])


def merge_people(services: Services, user_id: str, person_id: str, other_ids: Sequence[str]) -> list[Outcome]:
    """The others become the person. Raises BadRequest. Blocks."""
    if person_id in other_ids:
        raise BadRequest("Cannot merge a person into themselves")
    with services.database.session(durable=True) as session:
        into, now = require_person(session, user_id, person_id, "person.update"), services.clock.now()
        others = people.people_by_id(session, user_id, other_ids)
        outcomes = one_by_one(other_ids, lambda one: None, Refusal.NOT_FOUND, others)
        pictures = []
        for other_id in done(outcomes):
            pictures.append(others[other_id].thumbnail_path)
            people.merge_people(session, into, others[other_id], now)
        if into.face_asset_id is None:
            choose_faces(services, session, [person_id])
        if kept := sorted(path for path in pictures if path):
            services.store.enqueue(session, [delete_files(kept)])
        return outcomes


def reassign_faces(services: Services, user_id: str, person_id: str, wanted: Sequence[tuple[str, str]]) -> list[Person]:
    """Faces are this person's from now on. `wanted`: (asset, whose faces in it). One entry per face. Raises BadRequest.
    Blocks."""
    with services.database.session(durable=True) as session:
        person = require_person(session, user_id, person_id, "person.update")
        require_unlocked(session, user_id, [asset_id for asset_id, _ in wanted], "asset.read")
        moved = [face for asset_id, whose in wanted for face in people.faces_in(session, asset_id, whose)]
        give_faces(services, session, person, moved)
        return [person] * len(moved)


def give_faces(services: Services, session: Session, person: Person, given: Sequence[AssetFace]) -> None:
    """A person says whose these faces are. Whoever was shown by one of them gets another face."""
    now = services.clock.now()
    faceless = people.shown_by(session, [face.id for face in given]) - {person.id}
    for face in given:
        face.person_id, face.assigned_by, face.updated_at = person.id, MANUAL, now
    session.flush()
    if person.face_asset_id is None:
        faceless.add(person.id)
    choose_faces(services, session, faceless)


def choose_faces(services: Services, session: Session, person_ids: Collection[str]) -> None:
    """A face of theirs stands for these people from now on, none where there is none; their pictures are made anew."""
    chosen = people.first_faces(session, person_ids)
    people.show_by(session, {one: chosen.get(one) for one in person_ids}, services.clock.now())
    draw_anew(services, session, list(chosen))


def draw_anew(services: Services, session: Session, person_ids: Sequence[str]) -> None:
    """Somebody waits for these pictures."""
    jobs = [replace(picture_person(one), priority=Priority.PERSON_WAITS) for one in person_ids]
    services.store.enqueue(session, jobs)


@dataclass(frozen=True, slots=True)
class SeenProposal:
    """Two people who may be one, and how many faces speak for it."""

    first: Person
    second: Person
    faces: int


def list_proposals(services: Services, user_id: str) -> list[SeenProposal]:
    """What nobody has answered yet. Blocks."""
    with services.database.reader() as session:
        found = people.open_proposals(session, user_id)
        both = people.people_by_id(session, user_id, [one for row in found for one in (row.first_id, row.second_id)])
        return [SeenProposal(both[row.first_id], both[row.second_id], row.faces) for row in found]


def decline_proposal(services: Services, user_id: str, first_id: str, second_id: str) -> None:
    """They are two, and are not taken for one again. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        require_person(session, user_id, first_id, "person.update")
        row = session.get(MergeProposal, (min(first_id, second_id), max(first_id, second_id)))
        if row is None:
            raise BadRequest("No such proposal")
        row.declined_at = services.clock.now()


def require_person(session: Session, user_id: str, person_id: str, permission: str) -> Person:
    """Raises BadRequest unless the person is the user's."""
    person = people.person_of(session, user_id, person_id)
    if person is None:
        raise no_access(permission)
    return person


def _check(services: Services, columns: Mapping[str, Any]) -> None:
    born = columns.get("birth_date")
    if born is not None and born > services.clock.now().date():
        raise BadRequest("Birth date cannot be in the future")
