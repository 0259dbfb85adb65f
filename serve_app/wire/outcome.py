"""What became of each of many, in Immich's spelling. Source: spec/api.md §6, §9."""

from serve_app.services.outcomes import Outcome, Refusal
from serve_app.wire.common import WhenKnown, Wire


class OutcomeResponse(Wire):
    """What became of one of many."""

    id: str
    success: bool
    error: WhenKnown[Refusal] = None


def outcome_response(outcome: Outcome) -> OutcomeResponse:
    return OutcomeResponse(id=outcome.id, success=outcome.refusal is None, error=outcome.refusal)
