"""Shared links in Immich's spelling. Source: spec/openapi.json."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from serve_app.services.outcomes import Outcome
from serve_app.services.shared_links import NewLink, SeenLink
from serve_app.wire.album import AlbumResponse, album_response
from serve_app.wire.asset import AssetResponse, Date, bare_asset, parse_date, seen_asset
from serve_app.wire.common import LARGEST, STORABLE, PlainText, WhenKnown, Wire, WireId, WireTime

LinkType = Literal["ALBUM", "INDIVIDUAL"]
Milliseconds = Annotated[StrictInt, Field(ge=0, le=LARGEST)]

HIDDEN = "********"
"""Stands for a password of which we keep the hash alone. Clients send it back when they change something else."""


class LinkFields(Wire):
    """What both bodies have. An empty text or null: none."""

    allow_download: StrictBool = True
    allow_upload: StrictBool = True
    description: PlainText | None = None
    expires_at: Date | None = None
    password: PlainText | None = None
    show_metadata: StrictBool = True
    slug: Annotated[StrictStr, Field(max_length=255), STORABLE] | None = None
    start_offset_ms: Milliseconds | None = None
    start_page_id: WireId | None = None


class CreateLink(LinkFields):
    """A new one."""

    type: LinkType
    album_id: WireId | None = None
    asset_ids: list[WireId] = Field(default_factory=list)

    def link(self) -> NewLink:
        return NewLink(
            type=self.type,
            album_id=self.album_id if self.type == "ALBUM" else None,
            asset_ids=self.asset_ids,
            slug=self.slug or None,
            description=self.description or None,
            password=self.password or None,
            expires_at=parse_date(self.expires_at) if self.expires_at else None,
            allow_upload=self.allow_upload,
            allow_download=self.allow_download,
            show_metadata=self.show_metadata,
            start_offset_ms=self.start_offset_ms,
            start_page_id=self.start_page_id,
        )


class UpdateLink(LinkFields):
    """What is not named stays; a default is never read."""

    def changes(self) -> dict[str, Any]:
        """Our column → value, of what the client named."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        changes = {name: None if value == "" else value for name, value in named.items()}
        if changes.get("password") == HIDDEN:
            del changes["password"]
        if self.expires_at:
            changes["expires_at"] = parse_date(self.expires_at)
        return changes


class LinkPassword(Wire):
    """What a visitor knows."""

    password: PlainText


class AssetIds(Wire):
    """Any assets."""

    asset_ids: list[WireId]


class AssetOutcome(Wire):
    """What became of one of many."""

    asset_id: str
    success: bool
    error: WhenKnown[Literal["duplicate", "no_permission", "not_found"]] = None


class LinkResponse(Wire):
    """A link. `assets`: what it shows by itself; those of an album are in the timeline."""

    id: str
    type: LinkType
    user_id: str
    key: str
    slug: str | None
    description: str | None
    password: str | None
    album: WhenKnown[AlbumResponse] = None
    assets: list[AssetResponse]
    allow_download: bool
    allow_upload: bool
    show_metadata: bool
    start_offset_ms: int | None
    start_page_id: str | None
    created_at: WireTime
    expires_at: WireTime | None


def link_response(seen: SeenLink) -> LinkResponse:
    """As its owner sees it."""
    return _response(seen, [seen_asset(one) for one in seen.assets])


def visited_link(seen: SeenLink) -> dict[str, Any]:
    """As whoever has it sees it, in JSON: where it shows no metadata, assets are bare."""
    if seen.link.show_metadata:
        return link_response(seen).model_dump(mode="json", by_alias=True)
    bare = [bare_asset(one.asset).model_dump(mode="json", by_alias=True) for one in seen.assets]
    return {**_response(seen, []).model_dump(mode="json", by_alias=True), "assets": bare}


def asset_outcome(outcome: Outcome) -> AssetOutcome:
    return AssetOutcome(asset_id=outcome.id, success=outcome.refusal is None, error=outcome.refusal)  # type: ignore[arg-type]


def _response(seen: SeenLink, assets: list[AssetResponse]) -> LinkResponse:
    link = seen.link
    return LinkResponse(
        id=link.id,
        type=link.type,  # type: ignore[arg-type]  # the column knows these words alone
        user_id=link.user_id,
        key=link.key,
        slug=link.slug,
        description=link.description,
        password=None if link.password is None else HIDDEN,
        album=None if seen.album is None else album_response(seen.album, link.user_id),
        assets=assets,
        allow_download=link.allow_download,
        allow_upload=link.allow_upload,
        show_metadata=link.show_metadata,
        start_offset_ms=link.start_offset_ms,
        start_page_id=link.start_page_id,
        created_at=link.created_at,
        expires_at=link.expires_at,
    )
