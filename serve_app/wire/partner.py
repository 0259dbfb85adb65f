"""Partners in Immich's spelling. Source: spec/openapi.json."""

from enum import StrEnum

from pydantic import StrictBool

from serve_app.services.partners import SeenPartner
from serve_app.wire.common import Wire, WireId
from serve_app.wire.user import UserSeen, user_seen


class Direction(StrEnum):
    """Who shows whom; the values are the wire's."""

    SHARED_BY = "shared-by"
    SHARED_WITH = "shared-with"


class NewPartner(Wire):
    """To whom the caller shows their timeline."""

    shared_with_id: WireId


class UpdatePartner(Wire):
    """Whether the caller wants theirs among their own."""

    in_timeline: StrictBool


class PartnerResponse(UserSeen):
    """The other one."""

    in_timeline: bool


def partner_response(seen: SeenPartner) -> PartnerResponse:
    return PartnerResponse(**user_seen(seen.user).model_dump(), in_timeline=seen.in_timeline)
