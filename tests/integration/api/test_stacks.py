"""Stacks over HTTP, on both databases."""

import uuid
from datetime import timedelta
from typing import Any

from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_asset


def assets(stack: ApiStack, owner: Person, count: int) -> list[str]:
    return [add_asset(stack, owner, NOON + timedelta(hours=hour)) for hour in range(count)]


def members(made: dict[str, Any]) -> list[str]:
    return [asset["id"] for asset in made["assets"]]


def test_a_stack_from_its_making_to_its_end(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    a, b, c = assets(stack, ann, 3)
    made = as_ann.post("/stacks", assetIds=[b, a, c])
    assert (made["primaryAssetId"], members(made)) == (b, [b, a, c])
    path = f"/stacks/{made['id']}"
    assert as_ann.get(path) == made
    assert as_ann.get("/stacks", primaryAssetId=b) == as_ann.get("/stacks") == [made]
    assert as_ann.get("/stacks", primaryAssetId=a) == []
    assert members(as_ann.put(path, primaryAssetId=c)) == [c, a, b]
    as_ann.delete(f"{path}/assets/{a}")
    assert members(as_ann.get(path)) == [c, b]
    assert as_ann.get(f"/assets/{b}")["stack"]["assetCount"] == 2
    as_ann.delete(path)
    assert as_ann.refused("GET", path) == (400, "Not found or no stack.read access")
    assert as_ann.get(f"/assets/{b}")["stack"] is None


def test_the_last_but_one_that_leaves_ends_the_stack(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    a, b = assets(stack, ann, 2)
    path = f"/stacks/{as_ann.post('/stacks', assetIds=[a, b])['id']}"
    assert as_ann.refused("DELETE", f"{path}/assets/{a}")[0] == 400
    assert as_ann.refused("DELETE", f"{path}/assets/{uuid.uuid4()}") == (400, "Asset not in stack")
    as_ann.delete(f"{path}/assets/{b}")
    assert as_ann.get("/stacks") == []


def test_a_stack_joins_another_with_all_that_it_has(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    a, b, c, d = assets(stack, ann, 4)
    as_ann.post("/stacks", assetIds=[b, a])
    joined = as_ann.post("/stacks", assetIds=[c, b])
    assert members(joined) == [c, a, b]
    taken = as_ann.post("/stacks", assetIds=[d, a])
    assert members(taken) == [d, a]
    assert {stack["id"] for stack in as_ann.get("/stacks")} == {joined["id"], taken["id"]}
    last = as_ann.post("/stacks", assetIds=[a, b])
    assert {stack["id"] for stack in as_ann.get("/stacks")} == {last["id"]}


def test_many_stacks_end_at_once(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    ids = [as_ann.post("/stacks", assetIds=assets(stack, ann, 2))["id"] for _ in range(2)]
    refused = as_ann.refused("DELETE", "/stacks", json={"ids": [*ids, str(uuid.uuid4())]})
    assert refused == (400, "Not found or no stack.delete access")
    as_ann.delete("/stacks", ids=ids)
    assert as_ann.get("/stacks") == []


def test_stacks_are_their_owners_alone(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    a, b = assets(stack, ann, 2)
    path = f"/stacks/{as_ann.post('/stacks', assetIds=[a, b])['id']}"
    assert as_ben.get("/stacks") == []
    for method, below in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("DELETE", f"/assets/{b}")):
        status, message = as_ben.refused(method, path + below, json={})
        assert (status, message[:12]) == (400, "Not found or")
    (his,) = assets(stack, ben, 1)
    assert as_ben.refused("POST", "/stacks", json={"assetIds": [his, a]}) == (
        400,
        "Not found or no asset.update access",
    )
    assert as_ann.refused("PUT", path, json={"primaryAssetId": his}) == (400, "Primary asset must be in the stack")
    assert as_ann.refused("POST", "/stacks", json={"assetIds": [a]}) == (400, "Validation failed")
    assert as_ann.refused("POST", "/stacks", json={"assetIds": [a, a]})[0] == 400
