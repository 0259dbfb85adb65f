"""What clients have remembered of assets, what one asset takes over from another, and the largest files, over HTTP on
both databases."""

import uuid

import pytest
from sqlalchemy import select

from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.job import Job
from tests.api_stack import ApiStack, AppClient, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add, add_album, add_asset


def test_metadata_from_its_putting_to_its_end(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    first, second = add_asset(stack, ann), add_asset(stack, ann)
    path = f"/assets/{first}/metadata"
    put = as_ann.put(path, items=[{"key": "app", "value": {"a": 1}}, {"key": "app", "value": {"a": 2}}])
    assert [(one["key"], one["value"]) for one in put] == [("app", {"a": 2})]
    assert as_ann.get(f"{path}/app")["value"] == {"a": 2}
    many = [{"assetId": one, "key": "other", "value": {"of": one}} for one in (first, second)]
    assert {(one["assetId"], one["key"]) for one in as_ann.put("/assets/metadata", items=many)} == {
        (first, "other"),
        (second, "other"),
    }
    assert [one["key"] for one in as_ann.get(path)] == ["app", "other"]
    as_ann.delete(f"{path}/app")
    missing = f'Metadata with key "app" not found for asset with id "{first}"'
    assert as_ann.refused("GET", f"{path}/app") == (400, missing)
    as_ann.delete(f"{path}/app")
    as_ann.delete("/assets/metadata", items=[{"assetId": second, "key": "other"}])
    assert (as_ann.get(f"/assets/{second}/metadata"), len(as_ann.get(path))) == ([], 1)


def test_nobody_else_reads_or_writes_metadata(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    asset_id, bens = add_asset(stack, ann), add_asset(stack, ben)
    add_album(stack, ann, asset_id, shared_with=ben)
    path = f"/assets/{asset_id}/metadata"
    as_ann.put(path, items=[{"key": "app", "value": {}}])
    no_update = (400, "Not found or no asset.update access")
    item = {"assetId": asset_id, "key": "app"}
    assert as_ben.refused("GET", f"{path}/app") == (400, "Not found or no asset.read access")
    assert as_ben.refused("PUT", path, json={"items": [{"key": "app", "value": {}}]}) == no_update
    assert as_ben.refused("DELETE", f"{path}/app") == no_update
    both = [{**item, "value": {"x": 1}}, {**item, "assetId": bens, "value": {"x": 1}}]
    assert as_ben.refused("PUT", "/assets/metadata", json={"items": both}) == no_update
    assert as_ben.refused("DELETE", "/assets/metadata", json={"items": [item]}) == no_update
    assert as_ben.get(f"/assets/{bens}/metadata") == []
    assert as_ann.get(f"{path}/app")["value"] == {}


def test_an_asset_takes_over_what_people_made_of_another(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    source, target = add_asset(stack, ann, is_favorite=True), add_asset(stack, ann)
    album_id = add_album(stack, ann, source)
    others = [add_asset(stack, ann) for _ in range(3)]
    stack_id = as_ann.post("/stacks", assetIds=[source, others[0]])["id"]
    as_ann.post("/stacks", assetIds=[target, *others[1:]])
    link = as_ann.post("/shared-links", type="INDIVIDUAL", assetIds=[source])
    as_ann.put("/assets/copy", sourceId=source, targetId=target)
    seen = as_ann.get(f"/assets/{target}")
    assert (seen["isFavorite"], seen["stack"]["id"], seen["stack"]["assetCount"]) == (True, stack_id, 5)
    assert as_ann.get(f"/albums/{album_id}")["assetCount"] == 2
    assert len(as_ann.get(f"/shared-links/{link['id']}")["assets"]) == 2
    assert [one["id"] for one in as_ann.get("/stacks")] == [stack_id]


def test_only_what_is_asked_for_is_taken_over(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    source, target = add_asset(stack, ann, is_favorite=True), add_asset(stack, ann)
    album_id = add_album(stack, ann, source)
    as_ann.put("/assets/copy", sourceId=source, targetId=target, albums=False, favorite=False)
    assert as_ann.get(f"/assets/{target}")["isFavorite"] is False
    assert as_ann.get(f"/albums/{album_id}")["assetCount"] == 1


def test_a_sidecar_is_copied_and_read(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    folder = stack.services.layout.media_root / "upload"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.jpg.xmp").write_text("<x/>")
    source = add_asset(stack, ann, original_path=str(folder / "a.jpg"))
    target = add_asset(stack, ann, original_path=str(folder / "b.jpg"))
    times = {"created_at": NOON, "updated_at": NOON}
    add(stack, AssetFile, asset_id=source, type="sidecar", path=str(folder / "a.jpg.xmp"), **times)
    as_ann.put("/assets/copy", sourceId=source, targetId=target)
    assert (folder / "b.jpg.xmp").read_text() == "<x/>"
    with stack.services.database.reader() as session:
        assert session.scalar(select(AssetFile.path).where(AssetFile.asset_id == target)) == str(folder / "b.jpg.xmp")
        assert [(job.name, job.asset_id) for job in session.scalars(select(Job))] == [("AssetExtractMetadata", target)]


@pytest.mark.parametrize("outside", ["/etc/passwd", "/etc/b.jpg"])
def test_a_sidecar_outside_of_the_media_folder_is_neither_read_nor_written(
    stack: ApiStack, ann: Person, as_ann: CheckedClient, outside: str
) -> None:
    source, target = add_asset(stack, ann), add_asset(stack, ann, original_path=outside)
    add(stack, AssetFile, asset_id=source, type="sidecar", path="/etc/passwd", created_at=NOON, updated_at=NOON)
    as_ann.put("/assets/copy", sourceId=source, targetId=target)
    with stack.services.database.reader() as session:
        assert session.scalar(select(AssetFile).where(AssetFile.asset_id == target)) is None


def test_what_is_not_ones_own_or_locked_is_not_copied(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    mine, bens, locked = add_asset(stack, ann), add_asset(stack, ben), add_asset(stack, ann, visibility="locked")
    for source, target in ((mine, bens), (bens, mine), (mine, locked), (mine, str(uuid.uuid4()))):
        body = {"sourceId": source, "targetId": target}
        assert as_ann.refused("PUT", "/assets/copy", json=body) == (400, "Not found or no asset.copy access")
    same = as_ann.refused("PUT", "/assets/copy", json={"sourceId": mine, "targetId": mine})
    assert same == (400, "Source and target id must be distinct")
    with stack.services.database.reader() as session:
        assert session.get_one(Asset, bens).updated_at == NOON


def test_the_largest_come_first(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    sizes = {add_asset(stack, ann, file_size_bytes=size, make="Canon"): size for size in (5, 50, 500)}
    add_asset(stack, ben, file_size_bytes=5000)
    add_asset(stack, ann, file_size_bytes=5000, visibility="locked")
    add_asset(stack, ann)

    def largest(**asked: object) -> list[int]:
        response = as_ann.request("POST", "/search/large-assets", params=asked)
        assert response.status_code == 200, response.text
        return [sizes[one["id"]] for one in response.json()]

    assert largest(minFileSize=1) == [500, 50, 5]
    assert largest(minFileSize=50, size=1) == [500]
    assert largest(minFileSize=50, isFavorite="false", make="Canon", withExif="true") == [500, 50]
    assert largest(minFileSize=501) == largest(minFileSize=1, isFavorite="true") == []
    for wrong in ({"minFileSize": -1}, {"size": 0}, {"rating": 6}, {"isFavorite": "x"}):
        assert as_ann.request("POST", "/search/large-assets", params=wrong).status_code == 400
    assert as_ann.request("POST", "/search/large-assets?visibility=locked").status_code == 401


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_copying_puts_nothing_where_one_may_not(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient, role: str
) -> None:
    source, target = add_asset(stack, ben), add_asset(stack, ben)
    with_it, left = (add_album(stack, ann, source, shared_with=one) for one in (ben, None))
    as_ann.put(f"/albums/{with_it}/user/{ben.user_id}", role=role)
    as_ben.post("/partners", sharedWithId=ann.user_id)
    link = as_ann.post("/shared-links", type="INDIVIDUAL", assetIds=[source])
    as_ben.put("/assets/copy", sourceId=source, targetId=target)
    assert as_ann.get(f"/albums/{with_it}")["assetCount"] == (2 if role == "editor" else 1)
    assert as_ann.get(f"/albums/{left}")["assetCount"] == 1, "ben sees it no more"
    assert [one["id"] for one in as_ann.get(f"/shared-links/{link['id']}")["assets"]] == [source]


@pytest.mark.parametrize(
    "value",
    ['{"a": ' + "[" * 300 + "]" * 300 + "}", '{"a": "\\ud800"}', '{"\\udc00": 1}', '{"a": NaN}', '{"a": 1e999}'],
    ids=["deep", "half a character", "half a key", "no number", "endless"],
)
def test_what_no_answer_can_say_is_not_remembered(
    stack: ApiStack, client: AppClient, ann: Person, as_ann: CheckedClient, value: str
) -> None:
    path = f"/assets/{add_asset(stack, ann)}/metadata"
    body = f'{{"items": [{{"key": "app", "value": {value}}}]}}'
    answer = client.request("PUT", path, content=body, headers={"content-type": "application/json", **ann.headers})
    assert answer.status_code == 400, answer.text
    assert as_ann.get(path) == []
