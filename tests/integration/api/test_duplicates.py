"""Groups of duplicates over HTTP, on both databases: listed, put aside, resolved with what was known of the others."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from cluster.db.queries import system
from cluster.db.tables.album import AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.job import Event, Job
from cluster.db.tables.tag import TagAsset
from cluster.names import JobName
from cluster.system_config import defaults, merge
from serve_app.services import duplicates
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_album, add_asset, add_tag


def add_group(stack: ApiStack, owner: Person, *members: dict[str, Any]) -> tuple[str, list[str]]:
    """Its id, and its members' in the order in which they were taken."""
    group_id = str(uuid.uuid4())
    return group_id, [
        add_asset(stack, owner, NOON + timedelta(hours=hour), duplicate_id=group_id, **columns)
        for hour, columns in enumerate(members)
    ]


def resolve(who: CheckedClient, group_id: str, keep: list[str], trash: list[str]) -> dict[str, Any]:
    groups = [{"duplicateId": group_id, "keepAssetIds": keep, "trashAssetIds": trash}]
    (answer,) = who.post("/duplicates/resolve", groups=groups)
    assert answer["id"] == group_id
    return dict(answer)


def asset(stack: ApiStack, asset_id: str) -> Asset:
    with stack.services.database.reader() as session:
        return session.get_one(Asset, asset_id)


def exif(stack: ApiStack, asset_id: str) -> AssetExif:
    with stack.services.database.reader() as session:
        return session.get_one(AssetExif, asset_id)


def jobs(stack: ApiStack, name: JobName) -> list[str | None]:
    with stack.services.database.reader() as session:
        return list(session.scalars(select(Job.asset_id).where(Job.name == name)))


def events(stack: ApiStack, kind: str) -> list[Any]:
    with stack.services.database.reader() as session:
        return list(session.scalars(select(Event.data).where(Event.type == kind)))


def test_groups_are_listed_with_what_to_keep(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    large, (small, big) = add_group(stack, ann, {"file_size_bytes": 10}, {"file_size_bytes": 20})
    known, (_, told) = add_group(
        stack, ann, {"file_size_bytes": 5, "make": ""}, {"file_size_bytes": 5, "make": "Canon", "model": "R5"}
    )
    add_group(stack, ben, {})

    listed = {group["duplicateId"]: group for group in as_ann.get("/duplicates")}

    assert set(listed) == {large, known}
    assert [one["id"] for one in listed[large]["assets"]] == [small, big]
    assert listed[large]["assets"][0]["exifInfo"]["fileSizeInByte"] == 10
    assert listed[large]["suggestedKeepAssetIds"] == [big]
    assert listed[known]["suggestedKeepAssetIds"] == [told]
    assert as_ben.get("/duplicates") == []


def test_what_is_left_alone_is_no_group(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    _, single = add_group(stack, ann, {})
    trashed = {"deleted_at": NOON, "status": "trashed"}
    _, with_trash = add_group(stack, ann, {}, trashed)
    _, with_locked = add_group(stack, ann, {}, {"visibility": "locked"})
    whole, members = add_group(stack, ann, {}, {"visibility": "archive"}, trashed)

    assert [group["duplicateId"] for group in as_ann.get("/duplicates")] == [whole]

    for asset_id in (*single, *with_trash, *with_locked):
        assert asset(stack, asset_id).duplicate_id is None
    assert {asset(stack, asset_id).duplicate_id for asset_id in members} == {whole}


def test_groups_are_put_aside_and_nothing_else(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    (one, first), (two, _), (three, _) = (add_group(stack, ann, {}, {}) for _ in range(3))
    as_ben.delete("/duplicates", ids=[one])
    as_ben.delete(f"/duplicates/{two}")
    assert len(as_ann.get("/duplicates")) == 3

    as_ann.delete("/duplicates", ids=[one, str(uuid.uuid4())])
    assert {group["duplicateId"] for group in as_ann.get("/duplicates")} == {two, three}
    as_ann.delete(f"/duplicates/{two}")
    assert [group["duplicateId"] for group in as_ann.get("/duplicates")] == [three]
    assert all(asset(stack, asset_id).deleted_at is None for asset_id in first)


def test_the_one_that_is_kept_learns_what_the_others_knew(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    group_id, (keeper, second, third) = add_group(
        stack,
        ann,
        {"description": "at the sea\nsunny", "rating": 2},
        {"description": "sunny\n\n with Eve ", "rating": 5, "is_favorite": True, "latitude": 43.5, "longitude": 4.5},
        {"description": "", "visibility": "archive"},
    )
    album = add_album(stack, ann, second)
    mine, theirs = add_tag(stack, ann, "sea", keeper), add_tag(stack, ann, "people/eve", third)

    assert resolve(as_ann, group_id, [keeper], [second, third]) == {"id": group_id, "success": True}

    kept, known = asset(stack, keeper), exif(stack, keeper)
    assert (kept.is_favorite, kept.visibility, kept.duplicate_id, kept.deleted_at) == (True, "archive", None, None)
    assert (known.description, known.rating) == ("at the sea\nsunny\nwith Eve", 5)
    assert (known.latitude, known.longitude) == (43.5, 4.5)
    assert {"description", "rating", "latitude", "longitude", "tags"} <= set(known.locked_properties)
    with stack.services.database.reader() as session:
        inside = session.scalars(select(AlbumAsset.asset_id).where(AlbumAsset.album_id == album)).all()
        tagged = session.scalars(select(TagAsset.tag_id).where(TagAsset.asset_id == keeper)).all()
    assert keeper in inside
    assert set(tagged) == {mine, theirs}
    assert jobs(stack, JobName.SIDECAR_WRITE) == [keeper]
    for gone in (second, third):
        assert (asset(stack, gone).status, asset(stack, gone).duplicate_id) == ("trashed", None)
    assert events(stack, "asset_trash") == [{"asset_ids": [second, third]}]
    assert events(stack, "album_update") == [{"album_id": album}]
    assert as_ann.get("/duplicates") == []


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_the_one_that_is_kept_joins_albums_that_one_may_add_to(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient, role: str
) -> None:
    group = str(uuid.uuid4())
    keep, other = (add_asset(stack, ann, duplicate_id=group) for _ in range(2))
    with_her, left = (add_album(stack, ben, other, shared_with=one) for one in (ann, None))
    as_ben.put(f"/albums/{with_her}/user/{ann.user_id}", role=role)
    one = {"duplicateId": group, "keepAssetIds": [keep], "trashAssetIds": [other]}
    assert [done["success"] for done in as_ann.post("/duplicates/resolve", groups=[one])] == [True]
    with stack.services.database.reader() as session:
        joined = set(session.scalars(select(AlbumAsset.album_id).where(AlbumAsset.asset_id == keep)))
    assert joined == ({with_her} if role == "editor" else set())
    assert left not in joined


def test_two_places_are_none_and_nothing_new_writes_no_sidecar(
    stack: ApiStack, ann: Person, as_ann: CheckedClient
) -> None:
    places = [{}, {"latitude": 1.0, "longitude": 2.0}, {"latitude": 3.0, "longitude": 4.0}]
    group_id, ids = add_group(stack, ann, *places)
    assert resolve(as_ann, group_id, ids[:1], ids[1:])["success"]
    assert exif(stack, ids[0]).latitude is None
    assert jobs(stack, JobName.SIDECAR_WRITE) == []


def test_two_that_are_kept_learn_nothing(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    group_id, (a, b, c) = add_group(stack, ann, {}, {}, {"rating": 5, "is_favorite": True})
    assert resolve(as_ann, group_id, [a, b], [c])["success"]
    assert not asset(stack, a).is_favorite
    assert exif(stack, b).rating is None
    assert asset(stack, c).status == "trashed"
    assert as_ann.get("/duplicates") == []


def test_all_may_go(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    group_id, ids = add_group(stack, ann, {}, {})
    assert resolve(as_ann, group_id, [], ids)["success"]
    assert {asset(stack, asset_id).status for asset_id in ids} == {"trashed"}


def test_without_a_trash_they_are_deleted(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    settings = stack.services.settings
    with stack.services.database.session() as session:
        system.write_config(session, settings, merge(defaults(settings), {"trash": {"enabled": False}}))
    group_id, (a, b) = add_group(stack, ann, {}, {})
    assert resolve(as_ann, group_id, [a], [b])["success"]
    assert asset(stack, b).status == "deleted"
    assert jobs(stack, JobName.ASSET_EMPTY_TRASH) == [None]
    assert events(stack, "asset_trash") == []


def test_a_decision_that_does_not_fit_changes_nothing(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    group_id, (a, b) = add_group(stack, ann, {}, {})
    stranger = add_asset(stack, ann)
    for keep, trash, message in (
        ([a], [], f"Neither kept nor trashed: {b}"),
        ([a], [b, stranger], f"Not in this group: {stranger}"),
        ([a, b], [b], "Each asset must be kept or trashed once"),
    ):
        answer = resolve(as_ann, group_id, keep, trash)
        assert (answer["success"], answer["error"], answer["errorMessage"]) == (False, "validation", message)
    assert resolve(as_ben, group_id, [a], [b])["error"] == "not_found"
    assert resolve(as_ann, str(uuid.uuid4()), [a], [b])["error"] == "not_found"
    with stack.services.database.reader() as session:
        assert session.scalar(select(func.count()).where(Asset.duplicate_id == group_id)) == 2
        assert session.scalar(select(func.count()).where(Asset.deleted_at.is_not(None))) == 0
    assert as_ann.refused("POST", "/duplicates/resolve", json={"groups": []})[0] == 400


def test_a_group_that_breaks_leaves_the_others_alone(
    stack: ApiStack, ann: Person, as_ann: CheckedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bad, bad_ids), (good, good_ids) = (add_group(stack, ann, {}, {}) for _ in range(2))
    merge = duplicates._merge_into

    def break_one(services: Any, session: Any, keeper: Any, others: Any) -> None:
        merge(services, session, keeper, others)
        if keeper[0].id == bad_ids[0]:
            raise RuntimeError("full")

    monkeypatch.setattr(duplicates, "_merge_into", break_one)
    groups = [
        {"duplicateId": group, "keepAssetIds": ids[:1], "trashAssetIds": ids[1:]}
        for group, ids in ((bad, bad_ids), (good, good_ids))
    ]
    answers = as_ann.post("/duplicates/resolve", groups=groups)
    assert [(one["success"], one.get("error")) for one in answers] == [(False, "unknown"), (True, None)]
    assert asset(stack, bad_ids[1]).status == "active"
    assert asset(stack, good_ids[1]).status == "trashed"
