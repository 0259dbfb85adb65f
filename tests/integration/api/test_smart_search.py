"""POST /search/smart, on both databases: the order, the pages, what is refused, and texts through the tiny CLIP."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.names import QueueName
from serve_app.text_points import REMEMBERED, LocalTexts, Point, RememberedTexts, Text
from tests.api_stack import ApiStack, AppClient, Person
from tests.checked_client import CheckedClient
from tests.library_rows import add_album, add_asset, add_tag, embed
from tests.tiny_models import put_clip


def alike(who: CheckedClient, **wanted: Any) -> list[str]:
    return [item["id"] for item in who.post("/search/smart", **wanted)["assets"]["items"]]


def test_the_nearest_come_first_and_ties_go_by_id(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    same, twin, near, far = (add_asset(stack, ann) for _ in range(4))
    embed(stack, {same: (1, 0), twin: (1, 0), near: (1, 0.5), far: (-1, 0)})
    unseen = add_asset(stack, ann)  # without an embedding

    assert alike(as_ann, queryAssetId=same) == [*sorted([same, twin]), near, far]
    assert alike(as_ann, queryAssetId=far) == [far, near, *sorted([same, twin])]
    refused = as_ann.refused("POST", "/search/smart", json={"queryAssetId": unseen})
    assert refused == (400, f"Asset {unseen} has no embedding")


def test_filters_and_pages_go_together(stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient) -> None:
    ids = [add_asset(stack, ann) for _ in range(7)]
    embed(stack, {asset_id: (1, 0.1 * index) for index, asset_id in enumerate(ids)})
    embed(stack, {add_asset(stack, ben): (1, 0)})
    tag, album = add_tag(stack, ann, "Sea", *ids[1:6]), add_album(stack, ann, *ids)

    pages = [
        as_ann.post("/search/smart", queryAssetId=ids[0], tagIds=[tag], albumIds=[album], size=2, page=page)["assets"]
        for page in (1, 2, 3, 4)
    ]

    assert [[item["id"] for item in page["items"]] for page in pages] == [ids[1:3], ids[3:5], ids[5:6], []]
    assert [page["nextPage"] for page in pages] == ["2", "3", None, None]
    assert [page["total"] for page in pages] == [2, 2, 1, 0]
    assert alike(as_ann, queryAssetId=ids[0], page=2**53 - 1) == []
    bare, whole = (as_ann.post("/search/smart", queryAssetId=ids[0], withExif=exif) for exif in (False, True))
    assert "exifInfo" not in bare["assets"]["items"][0]
    assert "exifInfo" in whole["assets"]["items"][0]


def test_what_is_wrong_is_refused(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_nobody: CheckedClient
) -> None:
    def refusal(**wanted: Any) -> tuple[int, str]:
        return as_ann.refused("POST", "/search/smart", json=wanted)

    theirs = add_asset(stack, ben)
    embed(stack, {theirs: (1, 0)})
    assert refusal() == (400, "Either `query` or `queryAssetId` must be set")
    assert refusal(query="") == (400, "Either `query` or `queryAssetId` must be set")
    assert refusal(queryAssetId=theirs) == (400, "Not found or no asset.read access")
    assert refusal(queryAssetId=theirs, size=1001) == (400, "Validation failed")
    assert refusal(queryAssetId=theirs, visibility="locked") == (401, "Elevated permission is required")
    assert as_nobody.refused("POST", "/search/smart", json={"query": "a"}) == (401, "Authentication required")
    status, message = refusal(query="a red circle")  # the model folder is empty
    assert status == 503
    assert str(stack.services.settings.model_folder) in message


def test_it_can_be_switched_off(stack: ApiStack, client: AppClient) -> None:
    admin = stack.add_person("root", is_admin=True)
    as_admin = CheckedClient(client, admin)
    config = as_admin.get("/system-config")
    config["machineLearning"]["clip"]["enabled"] = False
    as_admin.put("/system-config", **config)
    assert as_admin.refused("POST", "/search/smart", json={"query": "a"}) == (400, "Smart search is not enabled")


def test_points_of_another_model_are_not_found(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    ours, old = add_asset(stack, ann), add_asset(stack, ann)
    embed(stack, {ours: (1, 0)})
    embed(stack, {old: (1, 0)}, model="ViT-B-16__openai")

    assert alike(as_ann, queryAssetId=ours) == [ours]
    refused = as_ann.refused("POST", "/search/smart", json={"queryAssetId": old})
    assert refused == (400, f"Asset {old} has no embedding")


def test_another_model_is_chosen_by_a_name_that_is_known(stack: ApiStack, ann: Person, client: AppClient) -> None:
    as_admin = CheckedClient(client, stack.add_person("root", is_admin=True))
    embed(stack, {add_asset(stack, ann): (1, 0)})
    config = as_admin.get("/system-config")

    def save(name: str) -> int:
        """Jobs that wait in the queue after it."""
        config["machineLearning"]["clip"]["modelName"] = name
        as_admin.put("/system-config", **config)
        with stack.services.store.transaction(reading=True) as tx:
            return stack.services.store.counts(tx)[QueueName.SMART_SEARCH].waiting

    assert save("ViT-B-32__openai") == 0
    assert save("immich-app/ViT-B-32:_openai") == 0  # the same
    assert save("ViT-B-32__laion2b_e16") == 1
    assert save("ViT-B-16__openai") == 1  # one job deletes what neither made
    config["machineLearning"]["clip"]["modelName"] = "ViT-B-33__openai"
    assert as_admin.refused("PUT", "/system-config", json=config) == (
        400,
        "Unknown CLIP model: ViT-B-33__openai. Please check the model name for typos and confirm this is a supported "
        "model.",
    )


def test_a_text_finds_what_lies_near_its_point(stack: ApiStack, ann: Person, as_ann: CheckedClient) -> None:
    pytest.importorskip("torch")
    model_folder = stack.services.settings.model_folder
    put_clip(model_folder)
    texts = {words: LocalTexts().points(model_folder, "ViT-B-32__openai", [words])[0] for words in ("red ring", "star")}
    ids = {words: add_asset(stack, ann) for words in texts}
    embed(stack, {ids[words]: point.tolist() for words, point in texts.items()})

    assert alike(as_ann, query="red ring")[0] == ids["red ring"]
    assert alike(as_ann, query="  STAR ", language="en", size=1) == [ids["star"]]


def test_the_last_texts_are_remembered() -> None:
    class Counted:
        asked = 0

        def point(self, text: Text) -> Point:
            self.asked += 1
            return np.array([self.asked], np.float32)

    behind = Counted()
    remembered = RememberedTexts(behind)

    def ask(words: str, model: str = "m", language: str | None = None) -> float:
        return float(remembered.point(Text(Path("/models"), model, words, language))[0])

    assert [ask("a"), ask("a"), ask("b"), ask("a")] == [1, 1, 2, 1]
    assert [ask("a", "other"), ask("a", language="de"), ask("a")] == [3, 4, 1]
    for index in range(REMEMBERED - 1):
        ask(str(index))
    assert ask("a") == 1  # asked last before all those
    assert ask("b") > REMEMBERED  # forgotten
