"""People and faces over HTTP, on both databases: who is listed, what a person says of them, and what that leaves."""

import uuid
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, select, update

from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.job import Job
from cluster.db.tables.person import AssetFace, MergeProposal
from cluster.db.tables.person import Person as PersonRow
from cluster.names import JobName
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add, add_asset, add_person

NOBODY = str(uuid.uuid4())


def faces_of(stack: ApiStack, asset_id: str) -> list[AssetFace]:
    with stack.services.database.reader() as session:
        return list(session.scalars(select(AssetFace).where(AssetFace.asset_id == asset_id)))


def row(stack: ApiStack, person_id: str) -> PersonRow | None:
    with stack.services.database.reader() as session:
        return session.get(PersonRow, person_id)


def change(stack: ApiStack, table: Any, row_id: str, **columns: Any) -> None:
    with stack.services.database.session() as session:
        session.execute(update(table).where(table.id == row_id).values(**columns))


def queued(stack: ApiStack, name: JobName) -> list[dict[str, Any]]:
    with stack.services.database.reader() as session:
        return list(session.scalars(select(Job.payload).where(Job.name == name).order_by(Job.id)))


def shown_by(stack: ApiStack, person_id: str, face_id: str, picture: str = "") -> None:
    change(stack, PersonRow, person_id, face_asset_id=face_id, thumbnail_path=picture)


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer["people"]]


def test_listed_is_who_has_a_name_or_faces_enough(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    assets = [add_asset(stack, ann) for _ in range(4)]
    archived = [add_asset(stack, ann, visibility="archive") for _ in range(3)]
    add_person(stack, ann, "Rare", assets[0])
    add_person(stack, ann, "")
    often = add_person(stack, ann, "", *assets[:3])
    add_person(stack, ann, "", *assets[:2])
    add_person(stack, ann, "", *archived)
    liked = add_person(stack, ann, "Liked")
    change(stack, PersonRow, liked, is_favorite=True)
    hidden = add_person(stack, ann, "Hidden", *assets)
    change(stack, PersonRow, hidden, is_hidden=True)
    add_person(stack, ann, "Frequent", *assets)

    answer = as_ann.get("/people")
    assert names(answer) == ["Liked", "Frequent", "Rare", ""]
    assert answer["people"][-1]["id"] == often
    assert (answer["total"], answer["hidden"], answer["hasNextPage"]) == (5, 1, False)
    assert names(as_ann.get("/people", withHidden="true")) == ["Liked", "Frequent", "Rare", "", "Hidden"]
    page = as_ann.get("/people", size=2, page=2)
    assert (names(page), page["hasNextPage"]) == (["Rare", ""], False)
    assert as_ann.get("/people", size=2)["hasNextPage"]


def test_how_many_faces_are_enough_is_for_the_user_to_say(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    add_person(stack, ann, "", add_asset(stack, ann))
    assert as_ann.get("/people")["total"] == 0
    as_ann.put("/users/me/preferences", people={"minimumFaces": 1})
    assert as_ann.get("/people")["total"] == 1


def test_people_who_look_alike_come_first(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    asset_id, points = add_asset(stack, ann), np.eye(512, dtype=np.float32)
    ids = {name: add_person(stack, ann, name, asset_id) for name in ("Ada", "Bea", "Cleo", "Dot")}
    likeness = {"Ada": points[0], "Cleo": points[0] + points[1], "Bea": points[2]}
    for face in faces_of(stack, asset_id):
        name = next(name for name, one in ids.items() if one == face.person_id)
        shown_by(stack, ids[name], face.id)
        if name in likeness:
            with stack.services.database.session() as session:
                embeddings.put(session, EmbeddingKind.FACE_SEARCH, "tiny", {face.id: likeness[name]})
    assert names(as_ann.get("/people", closestPersonId=ids["Ada"])) == ["Ada", "Cleo", "Bea", "Dot"]
    face_id = next(face.id for face in faces_of(stack, asset_id) if face.person_id == ids["Bea"])
    assert names(as_ann.get("/people", closestAssetId=face_id))[0] == "Bea"
    assert names(as_ann.get("/people", closestPersonId=ids["Dot"])) == ["Ada", "Bea", "Cleo", "Dot"]


def test_somebody_is_made_changed_and_deleted(stack: ApiStack, as_ann: CheckedClient, as_ben: CheckedClient) -> None:
    made = as_ann.post("/people", name="Ada", birthDate="1815-12-10", color="#ff0000", isFavorite=True)
    path = f"/people/{made['id']}"
    assert (made["name"], made["birthDate"], made["color"]) == ("Ada", "1815-12-10", "#ff0000")
    changed = as_ann.put(path, name="Ada L.", isHidden=True)
    assert (changed["name"], changed["isHidden"], changed["birthDate"]) == ("Ada L.", True, "1815-12-10")
    assert as_ann.patch(path, birthDate=None)["birthDate"] is None
    assert as_ann.get(path)["isFavorite"]
    assert as_ben.refused("GET", path) == (400, "Not found or no person.read access")
    assert as_ben.refused("PUT", path, json={"name": "x"}) == (400, "Not found or no person.update access")
    assert as_ben.refused("DELETE", path) == (400, "Not found or no person.delete access")
    as_ann.delete(path)
    assert as_ann.refused("GET", path) == (400, "Not found or no person.read access")


def test_nobody_is_born_tomorrow(stack: ApiStack, as_ann: CheckedClient) -> None:
    tomorrow = (stack.services.clock.now() + timedelta(days=2)).date().isoformat()
    status, message = as_ann.refused("POST", "/people", json={"birthDate": tomorrow})
    assert (status, message) == (400, "Birth date cannot be in the future")


def test_many_are_changed_and_each_may_fail_alone(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    ada, bea = add_person(stack, ann, "Ada"), add_person(stack, ann, "Bea")
    wanted = [{"id": ada, "isHidden": True}, {"id": NOBODY, "isHidden": True}, {"id": bea, "name": "Bea B."}]
    outcomes = as_ann.put("/people", people=wanted)
    assert [(one["id"], one["success"]) for one in outcomes] == [(ada, True), (NOBODY, False), (bea, True)]
    assert as_ann.get(f"/people/{bea}")["name"] == "Bea B."


def test_another_picture_can_stand_for_somebody(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    first, second, other = (add_asset(stack, ann) for _ in range(3))
    ada = add_person(stack, ann, "Ada", first, second)
    as_ann.put(f"/people/{ada}", featureFaceAssetId=second)
    person = row(stack, ada)
    assert person is not None
    assert person.face_asset_id == faces_of(stack, second)[0].id
    assert queued(stack, JobName.PERSON_GENERATE_THUMBNAIL) == [{"id": ada}]
    status, message = as_ann.refused("PUT", f"/people/{ada}", json={"featureFaceAssetId": other})
    assert (status, message) == (400, "Invalid assetId for feature face")


def test_faces_of_the_deleted_are_nobodys(
    stack: ApiStack, ann: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    asset_id = add_asset(stack, ann)
    ada = add_person(stack, ann, "Ada", asset_id)
    face = faces_of(stack, asset_id)[0]
    change(stack, AssetFace, face.id, assigned_by="manual")
    shown_by(stack, ada, face.id, "/media/thumbs/ada.jpeg")
    assert as_ben.refused("DELETE", "/people", json={"ids": [ada]}) == (400, "Not found or no person.delete access")
    as_ann.delete("/people", ids=[ada])
    face = faces_of(stack, asset_id)[0]
    assert (face.person_id, face.assigned_by) == (None, None)
    assert queued(stack, JobName.FILE_DELETE) == [{"files": ["/media/thumbs/ada.jpeg"]}]


def test_two_become_one(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    first, second = add_asset(stack, ann), add_asset(stack, ann)
    into, other = add_person(stack, ann, "", first), add_person(stack, ann, "Ada", second)
    change(stack, PersonRow, other, birth_date=NOON.date(), thumbnail_path="/media/thumbs/other.jpeg")
    stranger = add_person(stack, ben, "Ben")
    assert as_ann.refused("POST", f"/people/{into}/merge", json={"ids": [into]}) == (
        400,
        "Cannot merge a person into themselves",
    )
    outcomes = as_ann.post(f"/people/{into}/merge", ids=[other, stranger])
    assert [(one["success"], one.get("error")) for one in outcomes] == [(True, None), (False, "no_permission")]
    merged = as_ann.get(f"/people/{into}")
    assert (merged["name"], merged["birthDate"]) == ("Ada", "2024-03-05")
    assert [(face.person_id, face.assigned_by) for face in faces_of(stack, second)] == [(into, "manual")]
    assert row(stack, other) is None
    assert row(stack, stranger) is not None
    assert queued(stack, JobName.FILE_DELETE) == [{"files": ["/media/thumbs/other.jpeg"]}]


def test_faces_in_a_picture_are_given_to_somebody_else(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    asset_id, another = add_asset(stack, ann), add_asset(stack, ann)
    wrong, right = add_person(stack, ann, "Wrong", asset_id, another), add_person(stack, ann, "Right")
    shown_by(stack, wrong, faces_of(stack, asset_id)[0].id)
    moved = as_ann.put(f"/people/{right}/reassign", data=[{"assetId": asset_id, "personId": wrong}])
    assert [one["id"] for one in moved] == [right]
    face = faces_of(stack, asset_id)[0]
    assert (face.person_id, face.assigned_by) == (right, "manual")
    shown = {one: row(stack, one) for one in (wrong, right)}
    assert shown[right] is not None
    assert shown[right].face_asset_id == face.id
    assert shown[wrong] is not None
    assert shown[wrong].face_asset_id == faces_of(stack, another)[0].id
    assert {one["id"] for one in queued(stack, JobName.PERSON_GENERATE_THUMBNAIL)} == {wrong, right}


def test_statistics_count_pictures_of_the_timeline(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    asset_id = add_asset(stack, ann)
    ada = add_person(stack, ann, "Ada", asset_id, asset_id, add_asset(stack, ann, visibility="archive"))
    assert as_ann.get(f"/people/{ada}/statistics") == {"assets": 1}


def test_people_are_found_by_a_part_of_their_name(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    for name in ("Zoë Ávila", "Zoe", "Ada"):
        add_person(stack, ann, name)
    hidden = add_person(stack, ann, "Zoey")
    change(stack, PersonRow, hidden, is_hidden=True)
    assert [one["name"] for one in as_ann.get("/search/person", name="avila")] == ["Zoë Ávila"]
    assert len(as_ann.get("/search/person", name="zoe")) == 2
    assert len(as_ann.get("/search/person", name="zoe", withHidden="true")) == 3
    assert as_ann.get("/search/person", name="%") == []


def test_a_face_is_drawn_shown_given_away_and_deleted(
    stack: ApiStack, ann: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    asset_id = add_asset(stack, ann)
    ada, bea = add_person(stack, ann, "Ada"), add_person(stack, ann, "Bea")
    box = {"imageWidth": 1000, "imageHeight": 500, "x": 100, "y": 50, "width": 40, "height": 60}
    as_ann.post("/faces", assetId=asset_id, personId=ada, **box)
    [face] = as_ann.get("/faces", id=asset_id)
    corners = [face[f"boundingBox{name}"] for name in ("X1", "Y1", "X2", "Y2")]
    assert (corners, face["sourceType"], face["person"]["id"]) == ([100, 50, 140, 110], "manual", ada)
    assert queued(stack, JobName.PERSON_GENERATE_THUMBNAIL) == [{"id": ada}]
    assert as_ann.put(f"/faces/{bea}", id=face["id"])["name"] == "Bea"
    assert as_ann.get("/faces", id=asset_id)[0]["person"]["name"] == "Bea"
    assert as_ben.refused("GET", "/faces", params={"id": asset_id}) == (400, "Not found or no asset.read access")
    assert as_ben.refused("DELETE", f"/faces/{face['id']}", json={"force": True}) == (
        400,
        "Not found or no face.delete access",
    )
    as_ann.delete(f"/faces/{face['id']}", force=False)
    assert as_ann.get("/faces", id=asset_id) == []
    assert [one.deleted_at is not None for one in faces_of(stack, asset_id)] == [True]
    person = row(stack, bea)
    assert person is not None
    assert person.face_asset_id is None
    as_ann.delete(f"/faces/{face['id']}", force=True)
    assert faces_of(stack, asset_id) == []


@pytest.mark.parametrize("change", [{"x": -1}, {"width": 0}, {"y": 460}, {"imageWidth": 0}, {"imageWidth": 2**31}])
def test_a_face_lies_inside_of_its_picture(
    stack: ApiStack, ann: Person, as_ann: CheckedClient, change: dict[str, int]
) -> None:
    asset_id, ada = add_asset(stack, ann), add_person(stack, ann, "Ada")
    box = {"imageWidth": 1000, "imageHeight": 500, "x": 100, "y": 50, "width": 40, "height": 60} | change
    status, message = as_ann.refused("POST", "/faces", json={"assetId": asset_id, "personId": ada, **box})
    assert (status, message) == (400, "The face lies outside of the picture")


def test_a_key_does_what_it_was_granted(stack: ApiStack, client: Any, ann: Person) -> None:
    limited = CheckedClient(client, stack.add_person("lea", permissions=("person.read",)))
    assert limited.get("/people")["total"] == 0
    wanted = {
        ("POST", "/people"): "person.create",
        ("PUT", f"/people/{NOBODY}"): "person.update",
        ("DELETE", f"/people/{NOBODY}"): "person.delete",
        ("POST", f"/people/{NOBODY}/merge"): "person.merge",
        ("PUT", f"/people/{NOBODY}/reassign"): "person.reassign",
        ("GET", f"/people/{NOBODY}/statistics"): "person.statistics",
        ("GET", f"/faces?id={NOBODY}"): "face.read",
        ("PUT", f"/faces/{NOBODY}"): "face.update",
    }
    for (method, path), permission in wanted.items():
        given = {} if method == "GET" else {"json": {"ids": [], "data": [], "id": NOBODY}}
        assert limited.refused(method, path, **given) == (403, f"Missing required permission: {permission}")


def test_a_proposal_is_shown_until_it_is_answered(
    stack: ApiStack, ann: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    ada, bea, cleo = (add_person(stack, ann, name) for name in ("Ada", "Bea", "Cleo"))
    with stack.services.database.session() as session:
        for other in (bea, cleo):
            first, second = sorted((ada, other))
            session.execute(insert(MergeProposal).values(first_id=first, second_id=second, faces=4, proposed_at=NOON))
    seen = as_ann.get("/merge-proposals")
    assert {frozenset(one["name"] for one in pair["people"]) for pair in seen} == {
        frozenset({"Ada", "Bea"}),
        frozenset({"Ada", "Cleo"}),
    }
    assert as_ben.get("/merge-proposals") == []
    assert as_ben.refused("DELETE", f"/merge-proposals/{ada}/{bea}")[0] == 400
    as_ann.delete(f"/merge-proposals/{bea}/{ada}")
    assert len(as_ann.get("/merge-proposals")) == 1
    as_ann.post(f"/people/{ada}/merge", ids=[cleo])
    assert as_ann.get("/merge-proposals") == []


def test_the_picture_of_somebody_without_one_is_not_found(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    assert as_ann.refused("GET", f"/people/{add_person(stack, ann, 'Ada')}/thumbnail")[0] == 404


def test_a_face_of_somebody_elses_picture_is_not_given_away(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    theirs, ada = add_asset(stack, ben), add_person(stack, ann, "Ada")
    face_id = add(stack, AssetFace, asset_id=theirs, created_at=NOON, updated_at=NOON)
    assert as_ann.refused("PUT", f"/faces/{ada}", json={"id": face_id}) == (400, "Not found or no face.update access")
