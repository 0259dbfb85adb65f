"""/activities: what people say of an album. Source: spec/openapi.json."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import activities
from serve_app.wire import activity as wire
from serve_app.wire.common import WireId

router = APIRouter(prefix="/activities", tags=["activities"])


@router.get("")
def get_activities(
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("activity.read"))],
    albumId: WireId,
    assetId: WireId | None = None,
    level: wire.ReactionLevel | None = None,
    type: wire.ReactionType | None = None,
    userId: WireId | None = None,
) -> list[wire.ActivityResponse]:
    """The oldest first."""
    of_album = level is wire.ReactionLevel.ALBUM
    found = activities.list_activities(
        services,
        caller,
        albumId,
        asset_id=None if of_album else assetId,
        of_album=of_album,
        user_id=userId,
        liked=None if type is None else type is wire.ReactionType.LIKE,
    )
    return [wire.activity_response(*one) for one in found]


@router.post("", status_code=201)
def create_activity(
    body: wire.NewActivity, services: ServicesOf, caller: Annotated[Caller, Depends(allow("activity.create"))]
) -> wire.ActivityResponse:
    """What one likes already stays liked."""
    return wire.activity_response(*activities.create_activity(services, caller, body.said()))


@router.get("/statistics")
def get_activity_statistics(
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("activity.statistics"))],
    albumId: WireId,
    assetId: WireId | None = None,
) -> wire.ActivityStatistics:
    comments, likes = activities.count_activities(services, caller, albumId, assetId)
    return wire.ActivityStatistics(comments=comments, likes=likes)


@router.delete("/{id}", status_code=204)
def delete_activity(
    id: WireId, services: ServicesOf, caller: Annotated[Caller, Depends(allow("activity.delete"))]
) -> None:
    activities.delete_activity(services, caller, id)
