"""Albums in Immich's spelling. Source: spec/api.md §9."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool

from serve_app.services.albums import AlbumStatistics, SeenAlbum
from serve_app.services.outcomes import Refusal
from serve_app.wire.common import PlainText, WhenKnown, Wire, WireId, WireTime
from serve_app.wire.user import UserSeen, user_seen

Role = Literal["editor", "owner", "viewer"]
Order = Literal["asc", "desc"]


class NewMember(Wire):
    """Somebody who is to see an album."""

    user_id: WireId
    role: Role


class AddedMember(Wire):
    """The same, for an album that is there."""

    user_id: WireId
    role: Role = "editor"


class AddMembers(Wire):
    """At least one."""

    album_users: Annotated[list[AddedMember], Field(min_length=1)]


class ChangeRole(Wire):
    """What somebody may do from now on."""

    role: Role


class NewAlbum(Wire):
    """What an album begins with."""

    album_name: PlainText
    description: PlainText = ""
    album_users: list[NewMember] = Field(default_factory=list)
    asset_ids: list[WireId] = Field(default_factory=list)


class UpdateAlbum(Wire):
    """What is not named stays; a default is never read."""

    album_name: PlainText = ""
    description: PlainText = ""
    album_thumbnail_asset_id: WireId = ""
    is_activity_enabled: StrictBool = True
    order: Order = "desc"

    def changes(self) -> dict[str, Any]:
        """Our column → value, of what the client named."""
        return {_COLUMNS[name]: getattr(self, name) for name in self.model_fields_set}


_COLUMNS = {
    "album_name": "name",
    "description": "description",
    "album_thumbnail_asset_id": "thumbnail_asset_id",
    "is_activity_enabled": "is_activity_enabled",
    "order": "order",
}


class AddToAlbums(Wire):
    """Every asset into every album."""

    album_ids: list[WireId]
    asset_ids: list[WireId]


class AddedToAlbums(Wire):
    """Whether anything was added."""

    success: bool
    error: WhenKnown[Refusal] = None


class AlbumMember(Wire):
    """Somebody who sees an album."""

    user: UserSeen
    role: Role


class Contributor(Wire):
    """How many assets of an album are somebody's."""

    user_id: str
    asset_count: int


class AlbumResponse(Wire):
    """An album without its assets: the timeline has those. Dates are local, as if UTC."""

    id: str
    album_name: str
    description: str
    album_thumbnail_asset_id: str | None
    album_users: list[AlbumMember]
    asset_count: int
    shared: bool
    has_shared_link: bool
    is_activity_enabled: bool
    order: Order
    start_date: WhenKnown[WireTime] = None
    end_date: WhenKnown[WireTime] = None
    last_modified_asset_timestamp: WhenKnown[WireTime] = None
    contributor_counts: WhenKnown[list[Contributor]] = None
    created_at: WireTime
    updated_at: WireTime


class AlbumStatisticsResponse(Wire):
    """How many albums the caller has."""

    owned: int
    shared: int
    not_shared: int


def album_response(seen: SeenAlbum, viewer_id: str) -> AlbumResponse:
    """The owner comes first, then who looks, then the others by name."""
    album, contents = seen.album, seen.contents
    members = sorted(seen.members, key=lambda member: (member[1] != "owner", member[0].id != viewer_id))
    return AlbumResponse(
        id=album.id,
        album_name=album.name,
        description=album.description,
        album_thumbnail_asset_id=seen.thumbnail_asset_id,
        album_users=[AlbumMember(user=user_seen(user), role=role) for user, role in members],  # type: ignore[arg-type]
        asset_count=contents.count if contents else 0,
        shared=len(members) > 1 or seen.has_link,
        has_shared_link=seen.has_link,
        is_activity_enabled=album.is_activity_enabled,
        order=album.order,  # type: ignore[arg-type]  # the column knows these words alone
        start_date=contents.first if contents else None,
        end_date=contents.last if contents else None,
        last_modified_asset_timestamp=contents.changed_at if contents else None,
        contributor_counts=_contributors(seen.contributors),
        created_at=album.created_at,
        updated_at=album.updated_at,
    )


def _contributors(counted: Sequence[tuple[str, int]] | None) -> list[Contributor] | None:
    return None if counted is None else [Contributor(user_id=user, asset_count=count) for user, count in counted]


def statistics_response(counted: AlbumStatistics) -> AlbumStatisticsResponse:
    return AlbumStatisticsResponse(owned=counted.owned, shared=counted.shared, not_shared=counted.not_shared)
