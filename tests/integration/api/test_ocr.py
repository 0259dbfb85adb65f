"""Text in pictures over HTTP, on both databases: shown line by line, and searched for."""

import uuid

from cluster.db.queries.printed_text import replace_text
from cluster.db.tables.learned import AssetOcr
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add_album, add_asset


def read(stack: ApiStack, asset_id: str, *texts: str, hidden: str | None = None) -> None:
    """As the job leaves it."""
    corners = dict.fromkeys(("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"), 0.25)
    with stack.services.database.session() as session:
        lines = [
            AssetOcr(
                id=str(uuid.uuid4()),
                asset_id=asset_id,
                number=number,
                text=text,
                box_score=0.5,
                text_score=0.75,
                is_visible=text != hidden,
                **corners,
            )
            for number, text in enumerate(texts)
        ]
        replace_text(session, asset_id, lines, NOON)


def found(who: CheckedClient, text: str) -> list[str]:
    return sorted(item["id"] for item in who.post("/search/metadata", ocr=text)["assets"]["items"])


def test_lines_are_shown_in_reading_order_to_who_sees_the_picture(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    asset_id = add_asset(stack, ann)
    read(stack, asset_id, "WAY OUT", "secret", "Platform 9", hidden="secret")
    path = f"/assets/{asset_id}/ocr"

    lines = as_ann.get(path)

    assert [line["text"] for line in lines] == ["WAY OUT", "Platform 9"]
    assert (lines[0]["assetId"], lines[0]["x3"], lines[0]["boxScore"], lines[0]["textScore"]) == (
        asset_id,
        0.25,
        0.5,
        0.75,
    )
    assert as_ben.refused("GET", path) == (400, "Not found or no asset.read access")
    add_album(stack, ann, asset_id, shared_with=ben)
    assert as_ben.get(path) == lines
    assert as_ann.get(f"/assets/{add_asset(stack, ann)}/ocr") == []


def test_pictures_are_found_by_their_text(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    sign, menu, theirs = add_asset(stack, ann), add_asset(stack, ann), add_asset(stack, ben)
    read(stack, sign, "Straße", "東京駅 ← 出口")
    read(stack, menu, "Crème brûlée 5.00", "Craft beer")
    read(stack, theirs, "Craft beer")
    assert found(as_ann, "craft beer") == found(as_ann, "CREME BRULEE") == found(as_ann, "craft beor") == [menu]
    assert found(as_ann, "東京") == found(as_ann, "strasse") == found(as_ann, "straße") == [sign]
    assert found(as_ben, "beer") == [theirs]
    assert found(as_ann, "5.00 %_'") == [menu]
    assert found(as_ann, "%_'") == found(as_ann, "wine") == found(as_ann, "") == []
    assert as_ann.post("/search/statistics", ocr="beer") == {"total": 1}
    read(stack, menu, "closed")
    assert found(as_ann, "craft beer") == []
