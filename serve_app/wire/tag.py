"""Tags in Immich's spelling. Source: spec/api.md §4.3."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from cluster.db.tables.tag import Tag
from serve_app.services.tags import SeenTag, TagChanges
from serve_app.services.update_asset import UNCHANGED
from serve_app.wire.common import STORABLE, PlainText, WhenKnown, Wire, WireId, WireTime

_COLOR = re.compile(r"#?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{4}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})")


def _color(text: str) -> str:
    if not _COLOR.fullmatch(text):
        raise PydanticCustomError("color", "Invalid hex color")
    return text if text.startswith("#") else f"#{text}"


def _unless_empty(text: Any) -> Any:
    return None if text == "" else text


Color = Annotated[Annotated[PlainText, AfterValidator(_color)] | None, BeforeValidator(_unless_empty)]
Description = Annotated[StrictStr, Field(max_length=2000), STORABLE]


class TagResponse(Wire):
    """A tag: `value` is the whole path like `Places/Rome`, `name` its last part."""

    id: str
    name: str
    value: str
    parent_id: WhenKnown[str] = None
    color: WhenKnown[str] = None
    description: WhenKnown[str] = None
    asset_count: WhenKnown[int] = None
    created_at: WireTime
    updated_at: WireTime


class NewTag(Wire):
    """A tag to make."""

    name: Annotated[StrictStr, Field(min_length=1), STORABLE]
    parent_id: WireId | None = None
    color: Color = None
    description: Description | None = None


class TagUpdate(Wire):
    """What is to change of a tag; what is not named stays."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=200), STORABLE] = ""
    color: Color = None
    description: Description | None = None

    def changes(self) -> TagChanges:
        """Only what the client named."""
        given = self.model_fields_set
        return TagChanges(
            name=self.name if "name" in given else UNCHANGED,
            color=self.color if "color" in given else UNCHANGED,
            description=self.description if "description" in given else UNCHANGED,
        )


class TagUpsert(Wire):
    """Paths of tags that are to exist."""

    tags: list[PlainText]


class TagIds(Wire):
    """Assets for one tag."""

    ids: list[WireId]


class BulkTag(Wire):
    """Every tag on every asset."""

    tag_ids: list[WireId]
    asset_ids: list[WireId]


class BulkTagged(Wire):
    """How many links are new."""

    count: int


def tag_response(tag: Tag, asset_count: int | None = None) -> TagResponse:
    return TagResponse(
        id=tag.id,
        name=tag.value.rpartition("/")[2],
        value=tag.value,
        parent_id=tag.parent_id,
        color=tag.color,
        description=tag.description,
        asset_count=asset_count,
        created_at=tag.created_at,
        updated_at=tag.updated_at,
    )


def seen_tag(seen: SeenTag) -> TagResponse:
    return tag_response(seen.tag, seen.asset_count)
