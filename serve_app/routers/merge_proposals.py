"""/merge-proposals: two people with names who look like one. Ours: Immich knows none; to agree is to merge the two."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import people
from serve_app.wire import person as wire
from serve_app.wire.common import WireId

router = APIRouter(prefix="/merge-proposals", tags=["people"], include_in_schema=False)


@router.get("")
def get_merge_proposals(
    caller: Annotated[Caller, Depends(allow("person.read"))], services: ServicesOf
) -> list[wire.ProposalResponse]:
    """What nobody has answered yet."""
    return [wire.proposal_response(seen) for seen in people.list_proposals(services, caller.user_id)]


@router.delete("/{first}/{second}", status_code=204)
def decline_merge_proposal(
    first: WireId, second: WireId, caller: Annotated[Caller, Depends(allow("person.update"))], services: ServicesOf
) -> None:
    """They are two."""
    people.decline_proposal(services, caller.user_id, first, second)
