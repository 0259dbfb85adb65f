"""Groups of assets that look alike, in Immich's spelling. Source: spec/openapi.json."""

from typing import Annotated

from pydantic import Field

from serve_app.services.duplicates import Resolution, Resolved, SeenGroup
from serve_app.wire.asset import AssetResponse, seen_asset
from serve_app.wire.common import WhenKnown, Wire, WireId
from serve_app.wire.outcome import OutcomeResponse


class DuplicateResponse(Wire):
    """A group."""

    duplicate_id: str
    assets: list[AssetResponse]
    suggested_keep_asset_ids: list[str]


class ResolveGroup(Wire):
    """What a person decided for a group: each of its assets stands in one of the lists."""

    duplicate_id: WireId
    keep_asset_ids: list[WireId]
    trash_asset_ids: list[WireId]

    def resolution(self) -> Resolution:
        return Resolution(self.duplicate_id, self.keep_asset_ids, self.trash_asset_ids)


class ResolveDuplicates(Wire):
    """Any number of groups."""

    groups: Annotated[list[ResolveGroup], Field(min_length=1)]


class ResolvedResponse(OutcomeResponse):
    """What became of a group."""

    error_message: WhenKnown[str] = None


def duplicate_response(group: SeenGroup) -> DuplicateResponse:
    return DuplicateResponse(
        duplicate_id=group.group_id,
        assets=[seen_asset(seen) for seen in group.assets],
        suggested_keep_asset_ids=group.suggested,
    )


def resolved_response(resolved: Resolved) -> ResolvedResponse:
    return ResolvedResponse(
        id=resolved.group_id,
        success=resolved.refusal is None,
        error=resolved.refusal,
        error_message=resolved.message,
    )
