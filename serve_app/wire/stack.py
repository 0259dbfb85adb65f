"""Stacks in Immich's spelling. Source: spec/openapi.json."""

from typing import Annotated

from pydantic import Field

from serve_app.services.stacks import SeenStack
from serve_app.wire.asset import AssetResponse, seen_asset
from serve_app.wire.common import Wire, WireId
from serve_app.wire.search import NOT_GIVEN


class NewStack(Wire):
    """The first asset leads."""

    asset_ids: Annotated[list[WireId], Field(min_length=2)]


class UpdateStack(Wire):
    """Another asset leads."""

    primary_asset_id: WireId = NOT_GIVEN


class StackResponse(Wire):
    """A stack, its primary asset first."""

    id: str
    primary_asset_id: str
    assets: list[AssetResponse]


def stack_response(stack: SeenStack) -> StackResponse:
    return StackResponse(
        id=stack.stack_id,
        primary_asset_id=stack.primary_asset_id,
        assets=[seen_asset(seen) for seen in stack.assets],
    )
