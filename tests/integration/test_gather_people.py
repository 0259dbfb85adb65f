"""All faces of an owner gathered at once, on both databases: begun again after a death it ends the same, and what
people do meanwhile is not undone. Faces are rows with made-up embeddings."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from cluster.db.queries import embeddings, faces, people
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.asset import Asset
from cluster.db.tables.person import AssetFace, Person
from cluster.queue.job import Skipped, Snooze
from tasks.jobs import gather_people
from tasks.jobs.gather_people import Gathered, GatherInput, work
from tasks.tools import Tools
from tests.api_stack import ApiStack, api_stack
from tests.api_stack import Person as Caller
from tests.library_rows import NOON, asset_values

MODEL, PEOPLE, FACES_EACH = "tiny", 4, 6


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[ApiStack]:
    with api_stack(database_url, tmp_path / "media") as built:
        yield built


@pytest.fixture
def ann(stack: ApiStack) -> Caller:
    return stack.add_person("ann")


def add_faces(stack: ApiStack, owner: Caller) -> dict[str, int]:
    """Face → the number of who was drawn."""
    rng, truth = np.random.default_rng(3), dict[str, int]()
    with stack.services.database.session() as session:
        asset = asset_values(owner.user_id)
        session.execute(insert(Asset).values(**asset))
        for number in range(PEOPLE):
            for _ in range(FACES_EACH):
                face_id = str(uuid.uuid4())
                row = {"id": face_id, "asset_id": asset["id"], "created_at": NOON, "updated_at": NOON}
                session.execute(insert(AssetFace).values(**row))
                point = np.eye(512)[number] + rng.normal(0, 0.015, 512)
                embeddings.put(session, EmbeddingKind.FACE_SEARCH, MODEL, {face_id: point.astype(np.float32)})
                truth[face_id] = number
    return truth


def gather(stack: ApiStack, owner: Caller, tools: Tools | None = None) -> Any:
    given = GatherInput(owner.user_id, MODEL, 0.5, 3, NOON)
    return work(given, tools or Tools(stack.services.settings.database_url))


def owners(stack: ApiStack) -> dict[str, str | None]:
    with stack.services.database.reader() as session:
        return {face.id: face.person_id for face in session.scalars(select(AssetFace))}


def groups(stack: ApiStack) -> set[frozenset[str]]:
    by_person: dict[str | None, set[str]] = {}
    for face_id, person_id in owners(stack).items():
        by_person.setdefault(person_id, set()).add(face_id)
    return {frozenset(ids) for ids in by_person.values()}


def expected(truth: dict[str, int]) -> set[frozenset[str]]:
    return {frozenset(face for face, one in truth.items() if one == number) for number in set(truth.values())}


def test_faces_gather_and_once_more_changes_nothing(stack: ApiStack, ann: Caller) -> None:
    truth = add_faces(stack, ann)
    first = gather(stack, ann)
    assert isinstance(first, Gathered)
    assert (len(first.new_people), first.moved) == (PEOPLE, len(truth))
    assert groups(stack) == expected(truth)
    assert gather(stack, ann) == Gathered((), 0)


def test_a_run_that_dies_half_way_is_done_again_and_ends_the_same(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, given_away = add_faces(stack, ann), list[object]()
    monkeypatch.setattr(gather_people, "FACES_AT_ONCE", 2)
    give = faces.give_to_person

    def dies(*arguments: Any) -> None:
        if len(given_away) == 5:
            raise KeyboardInterrupt
        given_away.append(arguments)
        give(*arguments)

    monkeypatch.setattr(faces, "give_to_person", dies)
    with pytest.raises(KeyboardInterrupt):
        gather(stack, ann)
    monkeypatch.setattr(faces, "give_to_person", give)
    before = {person for person in owners(stack).values() if person is not None}
    assert before
    gather(stack, ann)
    assert groups(stack) == expected(truth)
    assert before <= set(owners(stack).values())  # who was begun goes on


def test_somebody_who_is_deleted_meanwhile_gets_no_faces(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = add_faces(stack, ann)
    gather(stack, ann)
    gone = next(iter(owners(stack).values()))
    with stack.services.database.session() as session:
        session.execute(update(AssetFace).where(AssetFace.person_id == gone).values(person_id=None))
        kept = next(face for face, number in truth.items() if number == truth[next(iter(truth))])
        session.execute(update(AssetFace).where(AssetFace.id == kept).values(person_id=gone))
    propose = people.propose_merges

    def deletes(session: Session, *arguments: Any) -> None:
        propose(session, *arguments)
        session.execute(delete(Person).where(Person.id == gone))

    monkeypatch.setattr(people, "propose_merges", deletes)
    gather(stack, ann)
    assert gone not in owners(stack).values()
    monkeypatch.setattr(people, "propose_merges", propose)
    gather(stack, ann)
    assert groups(stack) == expected(truth)


def test_a_clean_up_meanwhile_takes_nobody_who_is_about_to_get_faces(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, give = add_faces(stack, ann), faces.give_to_person

    def cleans_up(session: Session, *arguments: Any) -> None:
        give(session, *arguments)
        session.execute(
            delete(Person).where(Person.id.not_in(select(AssetFace.person_id).where(AssetFace.person_id.is_not(None))))
        )

    monkeypatch.setattr(faces, "give_to_person", cleans_up)
    gathered = gather(stack, ann)
    assert groups(stack) == expected(truth)
    assert set(gathered.new_people) == set(owners(stack).values())


def test_what_a_person_assigns_while_it_runs_stays(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, mine = add_faces(stack, ann), str(uuid.uuid4())
    chosen, plan = next(iter(truth)), gather_people.plan_people

    def meanwhile(*arguments: Any) -> Any:
        with stack.services.database.session() as session:
            row = {"id": mine, "owner_id": ann.user_id, "name": "Mine", "created_at": NOON, "updated_at": NOON}
            session.execute(insert(Person).values(**row))
            said = update(AssetFace).where(AssetFace.id == chosen).values(person_id=mine, assigned_by="manual")
            session.execute(said)
        return plan(*arguments)

    monkeypatch.setattr(gather_people, "plan_people", meanwhile)
    gather(stack, ann)
    assert owners(stack)[chosen] == mine


def test_a_name_that_is_given_while_it_runs_stays_with_its_faces(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = add_faces(stack, ann)
    gather(stack, ann)
    number = truth[next(iter(truth))]
    one, *_, few = sorted(face for face, who in truth.items() if who == number)
    mine = str(uuid.uuid4())
    with stack.services.database.session() as session:  # a model gave one of somebody's faces to somebody else
        row = {"id": mine, "owner_id": ann.user_id, "created_at": NOON, "updated_at": NOON}
        session.execute(insert(Person).values(**row))
        session.execute(update(AssetFace).where(AssetFace.id == few).values(person_id=mine))
    cluster = gather_people.cluster_faces

    def names_them(*arguments: Any) -> Any:
        with stack.services.database.session() as session:
            session.execute(update(Person).where(Person.id == mine).values(name="Mine"))
        return cluster(*arguments)

    monkeypatch.setattr(gather_people, "cluster_faces", names_them)
    gather(stack, ann)
    assert owners(stack)[few] == mine
    assert owners(stack)[one] == mine  # who has a name goes on


def test_who_is_deleted_with_pictures_while_it_runs_is_no_matter(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = add_faces(stack, ann)
    gather(stack, ann)
    face, other = next(iter(truth)), next(face for face, who in truth.items() if who != truth[next(iter(truth))])
    gone, cluster = owners(stack)[face], gather_people.cluster_faces

    def deletes(*arguments: Any) -> Any:
        with stack.services.database.session() as session:
            session.execute(update(AssetFace).where(AssetFace.id == other).values(person_id=gone))
            session.execute(update(AssetFace).where(AssetFace.person_id == gone).values(deleted_at=NOON))
            session.execute(delete(Person).where(Person.id == gone))
        return cluster(*arguments)

    before = owners(stack)
    monkeypatch.setattr(gather_people, "cluster_faces", deletes)
    assert gather(stack, ann) == Gathered((), 0)
    assert owners(stack) == {one: None if who == gone or one == other else who for one, who in before.items()}


def archive(stack: ApiStack, truth: dict[str, int]) -> set[str]:
    """Of each person two faces are in a picture of the archive now; returns them."""
    found = {face for number in range(PEOPLE) for face in [one for one, who in truth.items() if who == number][:2]}
    with stack.services.database.session() as session:
        face = session.get_one(AssetFace, next(iter(found)))
        asset = asset_values(session.get_one(Asset, face.asset_id).owner_id) | {"visibility": "archive"}
        session.execute(insert(Asset).values(**asset))
        session.execute(update(AssetFace).where(AssetFace.id.in_(found)).values(asset_id=asset["id"]))
    return found


def test_faces_in_the_archive_join_those_in_the_timeline(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather_people, "FOLLOWING_AT_ONCE", 3)
    truth = add_faces(stack, ann)
    archive(stack, truth)
    gather(stack, ann)
    assert groups(stack) == expected(truth)


def test_a_run_is_cancelled_also_while_the_archive_is_looked_at(
    stack: ApiStack, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(stack, add_faces(stack, ann))
    tools, cluster = Tools(stack.services.settings.database_url), gather_people.cluster_faces

    def then_nobody_waits(*arguments: Any) -> Any:
        found = cluster(*arguments)
        tools.cancelled.set()
        return found

    monkeypatch.setattr(gather_people, "cluster_faces", then_nobody_waits)
    assert isinstance(gather(stack, ann, tools), Snooze)
    assert set(owners(stack).values()) == {None}


def test_a_run_that_is_cancelled_moves_nothing(stack: ApiStack, ann: Caller) -> None:
    add_faces(stack, ann)
    tools = Tools(stack.services.settings.database_url)
    tools.cancelled = threading.Event()
    tools.cancelled.set()
    assert isinstance(gather(stack, ann, tools), Snooze)
    assert set(owners(stack).values()) == {None}


def test_nothing_of_others_or_of_another_model_is_touched(stack: ApiStack, ann: Caller) -> None:
    ben = stack.add_person("ben")
    add_faces(stack, ben)
    assert isinstance(gather(stack, ann), Skipped)
    given = GatherInput(ben.user_id, "another", 0.5, 3, NOON)
    assert isinstance(work(given, Tools(stack.services.settings.database_url)), Skipped)
    assert set(owners(stack).values()) == {None}
