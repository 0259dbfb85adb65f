"""Likes and comments in Immich's spelling. Source: spec/openapi.json."""

from enum import StrEnum
from typing import Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from cluster.db.tables.activity import Activity
from cluster.db.tables.user import User
from serve_app.services.activities import Said
from serve_app.wire.common import PlainText, Wire, WireId, WireTime
from serve_app.wire.user import UserSeen, user_seen


class ReactionType(StrEnum):
    """What is said; the values are the wire's."""

    COMMENT = "comment"
    LIKE = "like"


class ReactionLevel(StrEnum):
    """Of what it is said."""

    ALBUM = "album"
    ASSET = "asset"


class NewActivity(Wire):
    """A comment says something; a like does not."""

    album_id: WireId
    asset_id: WireId | None = None
    type: ReactionType
    comment: PlainText | None = None

    @model_validator(mode="after")
    def _comment_says_something(self) -> Self:
        if self.type is ReactionType.COMMENT and not self.comment:
            raise PydanticCustomError("comment", "Comment is required")
        return self

    def said(self) -> Said:
        return Said(self.album_id, self.asset_id, self.comment if self.type is ReactionType.COMMENT else None)


class ActivityResponse(Wire):
    """What somebody said."""

    id: str
    type: ReactionType
    user: UserSeen
    asset_id: str | None
    comment: str | None
    created_at: WireTime


class ActivityStatistics(Wire):
    """How much was said."""

    comments: int
    likes: int


def activity_response(activity: Activity, user: User) -> ActivityResponse:
    return ActivityResponse(
        id=activity.id,
        type=ReactionType.LIKE if activity.is_liked else ReactionType.COMMENT,
        user=user_seen(user),
        asset_id=activity.asset_id,
        comment=activity.comment,
        created_at=activity.created_at,
    )
