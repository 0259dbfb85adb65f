"""Tags over HTTP on both databases: made, renamed, deleted, put on assets; and what that leaves for the sidecars."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.db.tables.asset import AssetExif
from cluster.db.tables.job import Job
from cluster.names import JobName
from tests.api_client import ApiClient, api_client

WHEN = "2024-01-02T03:04:05.678Z"
NOBODY = str(uuid.uuid4())


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media") as api:
        yield api


@pytest.fixture
def ada(api: ApiClient) -> ApiClient:
    return api.sign_up()


def upload(client: ApiClient, content: bytes) -> str:
    times = {"fileCreatedAt": WHEN, "fileModifiedAt": WHEN}
    answer = client.request("POST", "/assets", data=times, files={"assetData": ("a.jpg", content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def make(client: ApiClient, *paths: str) -> list[str]:
    return [tag["id"] for tag in client.put("/tags", {"tags": list(paths)}).json()]


def values(client: ApiClient) -> list[str]:
    return [tag["value"] for tag in client.get("/tags").json()]


def noted(api: ApiClient, asset_id: str) -> tuple[list[str] | None, list[str]]:
    """What the asset's metadata says of tags, and what is locked."""
    with api.services.database.reader() as session:
        exif = session.get_one(AssetExif, asset_id)
        return exif.tags, exif.locked_properties


def sidecar_writes(api: ApiClient) -> set[str | None]:
    with api.services.database.reader() as session:
        return set(session.scalars(select(Job.asset_id).where(Job.name == JobName.SIDECAR_WRITE)))


def test_tags_are_made_shown_and_found_again(ada: ApiClient) -> None:
    parent = ada.post("/tags", {"name": "Places", "color": "0a0"})
    assert parent.status_code == 201
    assert parent.json() | {"id": "", "createdAt": "", "updatedAt": ""} == {
        **{"id": "", "createdAt": "", "updatedAt": "", "name": "Places", "value": "Places"},
        **{"color": "#0a0", "assetCount": 0},
    }
    child = ada.post("/tags", {"name": "Rome", "parentId": parent.json()["id"], "description": "eternal"}).json()
    assert (child["value"], child["parentId"], child["description"]) == (
        "Places/Rome",
        parent.json()["id"],
        "eternal",
    )
    assert ada.get(f"/tags/{child['id']}").json() == child
    again = make(ada, "Places/Rome", "Places/Rome/Forum", "Sea")
    assert again[0] == child["id"]
    assert values(ada) == ["Places", "Places/Rome", "Places/Rome/Forum", "Sea"]
    assert ada.post("/tags", {"name": "Rome", "parentId": parent.json()["id"]}).json() == {
        "message": "A tag with that name already exists"
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": ""}, "Validation failed"),
        ({"name": "/"}, "Tag name must not be empty"),
        ({"name": "x", "color": "red"}, "Validation failed"),
        ({"name": "x" * 1001}, "Tag name must have at most 1000 bytes"),
        ({"name": "a\0b"}, "Validation failed"),
        ({"name": "x", "parentId": NOBODY}, "Not found or no tag.read access"),
    ],
)
def test_what_cannot_be_a_tag_is_refused(ada: ApiClient, body: dict[str, Any], message: str) -> None:
    answer = ada.post("/tags", body)
    assert (answer.status_code, answer.json()["message"]) == (400, message)
    assert values(ada) == []


def test_assets_are_tagged_and_untagged_one_by_one(api: ApiClient, ada: ApiClient) -> None:
    bob = ada.other_user()
    mine, other, theirs = upload(ada, b"1"), upload(ada, b"2"), upload(bob, b"3")
    sea, rome = make(ada, "Sea", "Places/Rome")

    answer = ada.put(f"/tags/{sea}/assets", {"ids": [mine, theirs, NOBODY]}).json()
    assert answer == [
        {"id": mine, "success": True},
        {"id": theirs, "success": False, "error": "no_permission"},
        {"id": NOBODY, "success": False, "error": "no_permission"},
    ]
    assert ada.put(f"/tags/{sea}/assets", {"ids": [mine]}).json()[0]["error"] == "duplicate"
    assert ada.put("/tags/assets", {"tagIds": [sea, rome], "assetIds": [mine, other, theirs]}).json() == {"count": 3}

    assert noted(api, mine) == (["Places/Rome", "Sea"], ["tags"])
    assert noted(api, theirs) == (None, [])
    assert sidecar_writes(api) == {mine, other}
    assert ada.get(f"/tags/{sea}").json()["assetCount"] == 2

    answer = ada.request("DELETE", f"/tags/{sea}/assets", json={"ids": [mine, mine, theirs, NOBODY]}).json()
    assert [one.get("error") for one in answer] == [None, "not_found", "no_permission", "no_permission"]
    assert ada.request("DELETE", f"/tags/{sea}/assets", json={"ids": [mine]}).json()[0]["error"] == "not_found"
    assert noted(api, mine) == (["Places/Rome"], ["tags"])


def test_a_new_name_moves_what_is_below_and_goes_to_the_sidecars(api: ApiClient, ada: ApiClient) -> None:
    asset_id = upload(ada, b"1")
    places, rome, _ = make(ada, "Places", "Places/Rome", "Place")
    ada.put(f"/tags/{rome}/assets", {"ids": [asset_id]})

    renamed = ada.put(f"/tags/{places}", {"name": "Cities", "color": None}).json()

    assert (renamed["name"], renamed["value"]) == ("Cities", "Cities")
    assert values(ada) == ["Cities", "Cities/Rome", "Place"]
    assert noted(api, asset_id) == (["Cities/Rome"], ["tags"])
    for name, message in (("Place", "already exists"), ("a/b", "one part"), (" ", "one part")):
        assert message in ada.put(f"/tags/{places}", {"name": name}).json()["message"]
    assert ada.put(f"/tags/{rome}", {"color": "#abc", "description": "x"}).json()["color"] == "#abc"
    assert "color" not in ada.put(f"/tags/{rome}", {"color": None}).json()


def test_a_deleted_tag_takes_those_below_along(api: ApiClient, ada: ApiClient) -> None:
    asset_id = upload(ada, b"1")
    places, rome, _ = make(ada, "Places", "Places/Rome", "Place")
    ada.put(f"/tags/{rome}/assets", {"ids": [asset_id]})

    assert ada.delete(f"/tags/{places}").status_code == 204

    assert values(ada) == ["Place"]
    assert noted(api, asset_id) == ([], ["tags"])


def test_tags_of_others_do_not_exist(ada: ApiClient) -> None:
    bob = ada.other_user()
    (mine,) = make(ada, "Sea")
    asset_id = upload(bob, b"1")
    for answer in (
        bob.get(f"/tags/{mine}"),
        bob.put(f"/tags/{mine}", {"name": "x"}),
        bob.delete(f"/tags/{mine}"),
        bob.put(f"/tags/{mine}/assets", {"ids": [asset_id]}),
        bob.request("DELETE", f"/tags/{mine}/assets", json={"ids": [asset_id]}),
    ):
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("Not found or no tag.")
    assert bob.put("/tags/assets", {"tagIds": [mine], "assetIds": [asset_id]}).json() == {"count": 0}
    assert values(bob) == []


def test_each_route_asks_for_its_permission(ada: ApiClient) -> None:
    (tag,) = make(ada, "Sea")
    reader = ada.with_key("tag.read")
    assert reader.get("/tags").status_code == reader.get(f"/tags/{tag}").status_code == 200
    for answer in (
        reader.post("/tags", {"name": "x"}),
        reader.put("/tags", {"tags": ["x"]}),
        reader.put(f"/tags/{tag}", {"name": "x"}),
        reader.delete(f"/tags/{tag}"),
        reader.put("/tags/assets", {"tagIds": [], "assetIds": []}),
        reader.put(f"/tags/{tag}/assets", {"ids": []}),
    ):
        assert answer.status_code == 403
